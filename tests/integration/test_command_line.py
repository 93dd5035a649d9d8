"""The `aimd` command: dispatch, exit codes, and what each subcommand must not import."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from aimd import __version__

OPERATOR = ("aimd.controllers", "aimd.planning", "aimd.runtime.client", "kr8s")
SANDBOX = ("aimd.sandbox", "starlette", "uvicorn")
DOWNLOADS = ("aimd.downloads", "huggingface_hub")

WATCHED_RUN = """
import sys
from aimd.cli.main import image_entry_point
try:
    image_entry_point(sys.argv[2:])
finally:
    roots = sys.argv[1].split(",")
    loaded = [name for name in sys.modules if any(name == root or name.startswith(root + ".") for root in roots)]
    print("LOADED", *sorted(loaded), file=sys.stderr)
"""


def aimd(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m aimd` as a process of its own."""
    return subprocess.run([sys.executable, "-m", "aimd", *arguments], capture_output=True, text=True, timeout=60)


def loaded_by(forbidden: tuple[str, ...], *arguments: str) -> list[str]:
    """Which of the forbidden packages a command imports."""
    command = [sys.executable, "-c", WATCHED_RUN, ",".join(forbidden), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    report = [line for line in done.stderr.splitlines() if line.startswith("LOADED")]
    assert report, done.stderr
    return report[0].split()[1:]


@pytest.mark.parametrize(
    ("arguments", "forbidden"),
    [
        (("--version",), (*OPERATOR, *SANDBOX, *DOWNLOADS)),
        (("--help",), (*OPERATOR, *SANDBOX, *DOWNLOADS)),
        (("run", "--nope"), (*OPERATOR, *SANDBOX, *DOWNLOADS)),
        (("download", "--help"), (*OPERATOR, *SANDBOX)),
        (("check-size", "--help"), (*OPERATOR, *SANDBOX)),
        (("crds", "--help"), (*OPERATOR, *SANDBOX, *DOWNLOADS)),
    ],
)
def test_a_command_imports_only_what_it_needs(arguments: tuple[str, ...], forbidden: tuple[str, ...]) -> None:
    assert loaded_by(forbidden, *arguments) == []


def test_the_operator_needs_no_extra() -> None:
    code = "import sys, aimd.cli.run; sys.exit(any(name.split('.')[0] in sys.argv[1:] for name in sys.modules))"
    extras = ("starlette", "uvicorn", "huggingface_hub", "opentelemetry")
    assert subprocess.run([sys.executable, "-c", code, *extras], timeout=60).returncode == 0


def test_traces_without_their_library_end_with_a_hint() -> None:
    code = "import sys; sys.modules['opentelemetry'] = None; from aimd.cli.main import main; main(['run', '--tracing'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (
        2,
        "aimd run: --tracing: no module opentelemetry; install it with: pip install 'aimd[tracing]'\n",
    )


@pytest.mark.parametrize(
    "arguments", [("--version",), ("run", "--version"), ("--leader-elect", "--version"), ("-version",)]
)
def test_version(arguments: tuple[str, ...]) -> None:
    done = aimd(*arguments)
    python = platform.python_version()
    assert (done.returncode, done.stdout) == (0, f"aimd {__version__} (commit unknown, Python {python})\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("run", "--nope"), "--nope"),
        (("--nope",), "--nope"),
        (("--leader-elect", "--nope"), "--nope"),
        (("run", "stray"), "stray"),
        (("dance",), "dance"),
        (("download",), "uri"),
    ],
)
def test_wrong_use_ends_with_status_2(arguments: tuple[str, ...], complaint: str) -> None:
    done = aimd(*arguments)
    assert done.returncode == 2
    assert complaint in done.stderr.lower()


def test_the_image_downloads_what_looks_like_a_uri(tmp_path: Path) -> None:
    done = aimd("nowhere://org/model", str(tmp_path))
    assert done.returncode not in (0, 2)
    assert "nowhere://org/model" in done.stdout + done.stderr


def test_help_names_every_subcommand() -> None:
    printed = aimd("--help").stdout
    assert all(name in printed for name in ("run", "sandbox", "download", "check-size", "crds"))


def test_crds_are_written(tmp_path: Path) -> None:
    assert aimd("crds", "--output", str(tmp_path)).returncode == 0
    assert len(list(tmp_path.glob("*.yaml"))) == 10
