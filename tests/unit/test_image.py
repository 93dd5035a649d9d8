"""The image's recipe: everything the package needs is copied, nobody in it is root, and it says what it is."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_what_the_package_includes_reaches_the_build() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {path.split("/")[0] for path in (*wheel["packages"], *wheel["force-include"])}
    copied = {word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", RECIPE, re.MULTILINE) for word in line.split()}
    let_in = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines()}
    assert (needed - copied, needed - let_in) == (set(), set())
    assert {name for name in copied if not (ROOT / name).exists()} == set()


def test_the_packaged_chart_holds_the_crds() -> None:
    """The chart links to them; a link that leads nowhere renders none."""
    link = ROOT / "charts" / "aimd" / "files" / "crds"
    assert link.is_symlink()
    assert len(list(link.glob("*.yaml"))) == 10


def test_it_runs_as_a_numeric_user_that_is_not_root() -> None:
    """Kubernetes checks `runAsNonRoot` by number."""
    users = re.findall(r"^USER (.+)$", RECIPE, re.MULTILINE)
    assert users == ["65532:65532"]


def test_its_base_is_pinned_by_digest() -> None:
    bases = re.findall(r"^(?:ARG BASE=|FROM )(\S+)", RECIPE, re.MULTILINE)
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", bases[0])
    assert bases[1:] == ["${BASE}", "${BASE}"]


def test_it_says_what_it_is() -> None:
    labels = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", RECIPE))
    assert labels == {"title", "description", "licenses", "version", "revision"}
    assert re.search(r"^ENV .*\bAIMD_COMMIT=\$\{REVISION\}$", RECIPE, re.MULTILINE)
    assert re.findall(r"^ARG VERSION=(.+)$", RECIPE, re.MULTILINE) == [PROJECT["project"]["version"]]
