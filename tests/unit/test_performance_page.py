"""The committed results of the benchmarks, and the page that shows them, belong together."""

from bench.report import PAGE, markdown, read_results, with_table


def test_the_table_shows_the_committed_results() -> None:
    page = PAGE.read_text()
    assert with_table(page, markdown(read_results())) == page, "run `make bench`"


def test_every_part_is_there() -> None:
    names = {figures.benchmark for figures in read_results()}
    assert names >= {"unary", "queue", "events", "initial-sync", "propagation", "footprint", "downloads"}
