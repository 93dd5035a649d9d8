"""The table of fictional pod addresses."""

import pytest

from aimd.sandbox.addresses import AddressTable


def test_addresses_are_distinct_and_reused_last() -> None:
    table = AddressTable("10.250.0.0/29")
    first, second = table.allocate(), table.allocate()
    assert first != second
    table.release(first)
    assert [table.allocate() for _ in range(5)][-1] == first
    with pytest.raises(RuntimeError, match="no free pod address"):
        table.allocate()


def test_a_port_resolves_while_it_is_served() -> None:
    table = AddressTable()
    address = table.allocate()
    assert table.resolve(address, 8000) is None
    table.publish(address, 8000, 41234)
    assert table.resolve(address, 8000) == 41234
    table.withdraw(address, 8000)
    assert table.resolve(address, 8000) is None
    table.publish(address, 8000, 41234)
    table.release(address)
    assert table.resolve(address, 8000) is None
    with pytest.raises(KeyError):
        table.publish(address, 8000, 1)
