"""What the pages of the documentation show is what tests run and apply."""

import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from tests.pages import NOT_RUN, PAGES, PROGRAMS, ROOT, applied, blocks, commands, mentioned, name_of, shown, unread

LANGUAGES = {"console", "yaml", "python", ""}
MAKE = re.compile(r"`make ([^`]+)`")
SNIPPET_ONLY = re.compile(r'--8<-- ".+"\n')


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_something_that_tests_know(page: Path) -> None:
    """Manifests are included from `examples/`, and the page applies them; other YAML is values of the chart."""
    for block in blocks(page):
        assert block.language in LANGUAGES
        assert block.language != "yaml" or SNIPPET_ONLY.fullmatch(block.text) or "--8<--" not in block.text
        assert block.language == "console" or "$ " not in block.text, "commands stand in blocks of language console"
        if block.language == "console":
            assert block.text.startswith("$ ")
        if block.language == "yaml" and not block.text.startswith("--8<--"):
            schema = json.loads((ROOT / "charts" / "aimd" / "values.schema.json").read_text())
            Draft7Validator(schema).validate(yaml.safe_load(block.text))
        assert block.language != "" or not set(block.text.split()) & set(PROGRAMS), "commands stand in console blocks"
    assert unread(page) == 0, "a block that no test sees"
    for name in shown(page):
        assert any(Path(name).is_relative_to(path) for path in applied(page)), f"{name} is shown and not applied"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_is_run_or_an_exception(page: Path) -> None:
    """If this fails: begin with a program that test_pages.py has, or say in `NOT_RUN` why the command cannot run."""
    assert [
        command.text
        for command in commands(page)
        if command.text.split()[0] not in PROGRAMS and command.text not in NOT_RUN
    ] == []


def test_commands_in_running_text_can_be_run() -> None:
    """If this fails: write the command with what it acts on, because tests/e2e/test_pages.py runs it as it stands."""
    texts = {command.text for page in PAGES for command in mentioned(page)}
    assert {text for text in texts if len(text.split()) < 3} == set()


def test_every_target_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = {word for page in PAGES for text in MAKE.findall(page.read_text()) for word in text.split()}
    assert told
    assert {word for word in told if "=" not in word} - targets == set()


def test_every_exception_is_still_there() -> None:
    told = {command.text for page in PAGES for command in (*commands(page), *mentioned(page))}
    assert NOT_RUN.keys() - told == set()
