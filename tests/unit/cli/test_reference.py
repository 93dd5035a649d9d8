"""The reference pages say what the code and the chart say."""

from collections.abc import Callable
from pathlib import Path

import pytest

from aimd.cli.command_line import parse_flags
from aimd.cli.conditions_page import conditions_page
from aimd.cli.fields_page import fields_page
from aimd.cli.reference import GENERATED, chart_values, chart_values_page, configuration_page
from aimd.cli.settings import WITHOUT_EFFECT, Flags
from tests.guides import ADD_A_CONDITION, ADD_A_FIELD, ADD_A_FLAG

ROOT = Path(__file__).parents[3]
VALUES = ROOT / "charts" / "aimd" / "values.yaml"


@pytest.mark.parametrize(
    ("page", "render", "guide"),
    [
        ("configuration.md", configuration_page, ADD_A_FLAG),
        ("chart-values.md", lambda: chart_values_page(VALUES.read_text()), ADD_A_FLAG),
        ("conditions.md", lambda: conditions_page(GENERATED), ADD_A_CONDITION),
        ("fields.md", lambda: fields_page(GENERATED, ROOT / "docs" / "rules"), ADD_A_FIELD),
    ],
)
def test_pages_are_current(page: str, render: Callable[[], str], guide: str) -> None:
    assert (ROOT / "docs" / page).read_text() == render(), f"run `make reference` and commit docs/{page}; {guide}"


def test_a_comment_goes_with_the_key_below_it() -> None:
    text = "# Of all.\na:\n  # Two\n  # lines.\n  b: [1]\n  c: 2\n# Last.\nd: {}\n"
    found = [(value.path, value.default, value.text) for value in chart_values(text)]
    assert found == [("a", "", "Of all."), ("a.b", "[1]", "Two lines."), ("d", "{}", "Last.")]


def test_what_is_in_force_names_every_flag_that_has_an_effect() -> None:
    logged = parse_flags(["--watch-namespaces=a,b", "--kubeconfig=/k"]).in_effect
    assert set(logged) == {name.replace("_", "-") for name in Flags.model_fields} - {
        name.replace("_", "-") for name in (*WITHOUT_EFFECT, "version")
    }
    assert (logged["watch-namespaces"], logged["kubeconfig"], logged["discovery-slots"]) == (("a", "b"), "/k", 10)


@pytest.mark.parametrize("value", ["cpu", "=1", "cpu=much"])
def test_a_wrong_request_of_download_pods_is_refused(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse_flags([f"--downloader-requests={value}"])
    assert end.value.code == 2
    assert "--downloader-requests" in capsys.readouterr().err
