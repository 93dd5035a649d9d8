"""Render the table of docs/performance.md from the committed results."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.figures import Bound, Figure, Figures, Limit

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results.json"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def read_results(path: Path = RESULTS) -> list[Figures]:
    """Return the results of the last run, as `python -m bench --json` wrote them."""
    return [
        Figures(entry["benchmark"], tuple(_figure(figure) for figure in entry["figures"]))
        for entry in json.loads(path.read_text())
    ]


def merged(known: Sequence[Figures], measured: Sequence[Figures]) -> list[Figures]:
    """Return the results, with those of some benchmarks replaced."""
    renewed = {figures.benchmark: figures for figures in measured}
    names = [figures.benchmark for figures in known]
    kept = [renewed.get(figures.benchmark, figures) for figures in known]
    return kept + [figures for figures in measured if figures.benchmark not in names]


def markdown(results: Sequence[Figures]) -> str:
    """Return one row for each figure."""
    lines = ["| Measurement | aimd | Compared with | Ratio | Limit |", "|---|---|---|---|---|"]
    lines += [_row(figure) for figures in results for figure in figures.figures]
    return "\n".join(lines)


def with_table(page: str, table: str) -> str:
    """Return the page with the table between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _figure(entry: dict[str, Any]) -> Figure:
    limits = entry.pop("limits", ())
    made = tuple(Limit(Bound(limit["bound"]), limit["value"], limit["absolute"]) for limit in limits)
    return Figure(**entry, limits=made)


def _row(figure: Figure) -> str:
    beside = f"{figure.reference_name} {_number(figure.reference)}" if figure.reference is not None else ""
    ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else ""
    met = {True: "", False: ": missed", None: ""}[figure.met]
    limits = ", ".join(
        f"{limit.bound} {limit.value:g}{f' {figure.unit}' if limit.absolute else ''}" for limit in figure.limits
    )
    return f"| {figure.title} | {_number(figure.value)} {figure.unit} | {beside} | {ratio} | {limits}{met} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"
