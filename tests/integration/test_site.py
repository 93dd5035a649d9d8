"""The documentation site builds without a warning, and what is broken fails the build."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.pages import ROOT

FAULTS = {
    "[x](routing.md#nowhere)": "does not contain an anchor '#nowhere'",
    "[x](nowhere.md)": "'how-to/nowhere.md' is not found",
    "[x](/routing.md)": "absolute link '/routing.md'",
}


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Builds the site of a repository, as `make docs` does."""
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(site)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_the_site_builds(tmp_path: Path) -> None:
    """Links between pages, anchors, pages that the navigation forgets, files that are not there: each is an error."""
    done = build(ROOT, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "how-to" / "by-name.html").read_text()
    assert "kind: AIMService" in strip_tags(page)
    # Otherwise the theme keeps table cells on one line, and their last column is cut off.
    assert 'href="../css/extra.css"' in page
    assert "white-space: normal" in (tmp_path / "site" / "css" / "extra.css").read_text()


def test_what_is_broken_fails_the_build(tmp_path: Path) -> None:
    """The settings in mkdocs.yml do check; with `--quiet`, for one, they would not."""
    for name in ("docs", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("mkdocs.yml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "docs" / "forgotten.md").write_text("# Forgotten\n")
    with (tmp_path / "docs" / "how-to" / "caching.md").open("a") as page:
        page.write("\n" + "\n\n".join(FAULTS))
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode == 1
    assert [message for message in (*FAULTS.values(), "- forgotten.md") if message not in done.stderr] == []


def strip_tags(html: str) -> str:
    """Text without markup."""
    return "".join(part.partition(">")[2] for part in html.split("<"))
