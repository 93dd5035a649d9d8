"""Every rule in docs/rules has code that follows it and a test that proves it, and both name it by its id."""

import re
from collections import Counter
from pathlib import Path

from tests.guides import ADD_A_FIELD

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "rules"
RULE = re.compile(
    r"^### (?P<id>[A-Z]+-[A-Z]+-[0-9]+)\n\n(?P<rule>[^#*].+?)\n\n\*Why:\* (?P<why>.+?)(?=\n\n#|\Z)",
    re.MULTILINE | re.DOTALL,
)
SOURCES = re.compile(r"(?:\[(?:user page|API|compatible|aimd)\]|\[[^\]]+\]\(https://[^)]+\))")
PAGE_TEXTS = {path.name: path.read_text() for path in sorted(PAGES.glob("*.md")) if path.name != "README.md"}
RULES = [(page, match) for page, text in PAGE_TEXTS.items() for match in RULE.finditer(text)]
IDS = [match["id"] for _, match in RULES]
PREFIXES = sorted({found.partition("-")[0] for found in IDS})
ID = re.compile(rf"\b(?:{'|'.join(PREFIXES)})-[A-Z]+-[0-9]+\b")
UNOPENABLE = re.compile(
    r"\bspec/[a-z-]+\.md|\bdecisions\.md|\b[Dd]ecisions? [0-9]+|§|\bW[0-9]{1,2}\b|\bC-[0-9]+\b|\bD-[0-9]+\b"
)
TEXT = {".py", ".md", ".yaml", ".yml", ".toml", ".json", ".tpl", ".txt"}
THIS = Path(__file__).resolve()


def read(*folders: str) -> dict[Path, str]:
    """The text files below the folders, by their path."""
    found = (path for folder in folders for path in sorted((ROOT / folder).rglob("*")) if path.suffix in TEXT)
    return {path.relative_to(ROOT): path.read_text() for path in found if path.resolve() != THIS}


def named(*folders: str) -> dict[str, list[Path]]:
    """Where each id is named."""
    places: dict[str, list[Path]] = {}
    for path, text in read(*folders).items():
        for found in set(ID.findall(text)):
            places.setdefault(found, []).append(path)
    return places


def test_every_heading_is_a_rule_with_its_reason_and_source() -> None:
    """If this fails: write `### ID`, the rule and `*Why:* … [source]` as docs/rules/README.md says, a blank line
    between."""
    headings = [heading for text in PAGE_TEXTS.values() for heading in re.findall(r"^### (\S+)", text, re.MULTILINE)]
    assert [heading for heading in headings if heading not in IDS] == []
    assert [match["id"] for _, match in RULES if not SOURCES.search(match["why"])] == [], (
        "the reason ends with no source"
    )


def test_every_id_exists_once_and_is_on_the_page_of_its_prefix() -> None:
    """If this fails: give the rule the next free number of its group, with the prefix of its page; never reuse one."""
    assert [found for found, count in Counter(IDS).items() if count > 1] == []
    pages = {prefix: {page for page, match in RULES if match["id"].startswith(f"{prefix}-")} for prefix in PREFIXES}
    assert {prefix: found for prefix, found in pages.items() if len(found) != 1} == {}
    introduced = re.findall(r"`([A-Z]+)` for", (PAGES / "README.md").read_text())
    assert sorted(introduced) == PREFIXES, "docs/rules/README.md names each prefix with its page"


def test_every_rule_is_named_by_the_code_that_follows_it() -> None:
    """If this fails and no function decides the rule: delete it; the pages contain only rules that aimd follows."""
    code = named("aimd")
    assert [found for found in IDS if found not in code] == [], (
        f"end the docstring of the function that decides each rule with its id; {ADD_A_FIELD}"
    )


def test_every_rule_is_named_by_a_test_that_proves_it() -> None:
    tests = named("tests")
    assert [found for found in IDS if found not in tests] == [], (
        f"name each id in the docstring of the test that proves the rule; {ADD_A_FIELD}"
    )


def test_every_id_that_is_named_exists() -> None:
    places = named("aimd", "tests", "bench", "docs", "charts", "examples")
    assert {found: paths for found, paths in places.items() if found not in IDS} == {}, (
        f"correct these ids, or write the rules into their pages in docs/rules; {ADD_A_FIELD}"
    )


def test_nothing_is_cited_that_a_reader_cannot_open() -> None:
    folders = ("aimd", "tests", "bench", "docs", "charts", "crds", "examples")
    cited = [
        f"{path}:{number}: {line.strip()}"
        for path, text in read(*folders).items()
        for number, line in enumerate(text.splitlines(), 1)
        if UNOPENABLE.search(line)
    ]
    assert cited == [], "name a rule of docs/rules, a page of docs/ or a public document instead"
