"""Run benchmarks one by one, and print each figure beside its peer: `python -m bench [NAME …] [--keep]`.

With `--keep`, the results are written to bench/results.json and to the table in docs/performance.md.
"""

import importlib
import json
import sys
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from bench.figures import Figure, Figures
from bench.report import PAGE, RESULTS, markdown, merged, read_results, with_table

NAMES = ("unary", "queue", "events", "initial_sync", "propagation", "footprint", "downloads")


def main(arguments: list[str]) -> int:
    """Run the named benchmarks, or all of them; return status 1 if a limit is missed."""
    keep = "--keep" in arguments
    arguments = [argument for argument in arguments if argument != "--keep"]
    console = Console(width=140)
    measured: list[Figures] = []
    for name in arguments or NAMES:
        figures: Figures = importlib.import_module(f"bench.{name}").run()
        measured.append(figures)
        console.print(table_of(figures))
        if keep:
            results = merged(read_results() if RESULTS.exists() else [], measured)
            RESULTS.write_text(json.dumps([asdict(figures) for figures in results], indent=1) + "\n")
            PAGE.write_text(with_table(PAGE.read_text(), markdown(results)))
    return int(any(figure.met is False for figures in measured for figure in figures.figures))


def table_of(figures: Figures) -> Table:
    """Return a table with a row for each figure."""
    table = Table(title=figures.benchmark)
    for column in ("figure", "value", "unit", "beside", "ratio", "limit", "met"):
        table.add_column(column)
    for figure in figures.figures:
        table.add_row(*row_of(figure))
    return table


def row_of(figure: Figure) -> tuple[str, ...]:
    """Return the cells of a figure."""
    beside = f"{figure.reference_name} {figure.reference:,.1f}" if figure.reference is not None else ""
    limits = ", ".join(f"{limit.bound} {limit.value:g}" for limit in figure.limits)
    met = {True: "yes", False: "no", None: ""}[figure.met]
    ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else ""
    return (figure.title, f"{figure.value:,.1f}", figure.unit, beside, ratio, limits, met)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
