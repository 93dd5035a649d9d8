"""Tables and code spans of the generated pages."""

from aimd.cli.markdown import code, table


def test_cells_are_escaped() -> None:
    assert list(table(("A", "B"), [("x|y", "<b>")])) == ["| A | B |", "| --- | --- |", "| x\\|y | \\<b> |"]


def test_empty_code_stays_empty() -> None:
    assert (code("x"), code("")) == ("`x`", "")
