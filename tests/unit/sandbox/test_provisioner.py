"""Storage quantities, as far as a provisioner compares them."""

from decimal import Decimal, InvalidOperation

import pytest

from aimd.sandbox.provisioner import quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [("1Gi", 2**30), ("500M", 500_000_000), ("1500m", Decimal("1.5")), ("12", 12), ("2.5Ki", 2560), ("1e3", 1000)],
)
def test_quantities(text: str, value: Decimal | int) -> None:
    assert quantity(text) == value


def test_no_quantity() -> None:
    with pytest.raises(InvalidOperation):
        quantity("many")
