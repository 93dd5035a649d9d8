"""`aimd download` and `aimd check-size`: the commands of an artifact's jobs, which people can run, too."""

# tests: tests/integration/test_command_line.py

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, NoReturn

import anyio
import structlog
import typer

from aimd.downloads.failures import DownloadFailure
from aimd.downloads.progress import Progress
from aimd.downloads.run import Show, check_size, download, write_termination
from aimd.downloads.settings import DownloadSettings, settings_from, termination_log

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)

Uri = Annotated[
    str,
    typer.Argument(
        help="Source URI: hf://organization/repository[@revision] or s3://bucket/prefix.", show_default=False
    ),
]


@app.command("download")
def download_command(
    uri: Uri,
    directory: Annotated[
        Path | None, typer.Argument(help="Target folder. Defaults to $TARGET_DIR, then /cache.", show_default=False)
    ] = None,
) -> None:
    """Download weights, resume where an earlier run stopped, and verify every file."""
    settings = _settings(uri, directory)
    with _ProgressDisplay() as show:
        code = anyio.run(download, settings, show)
    _leave(code)


@app.command("check-size")
def check_size_command(uri: Uri) -> None:
    """Print the size of weights: the last line is JSON with `url` and `sizeBytes`."""
    _leave(anyio.run(check_size, _settings(uri, None)))


def _settings(uri: str, directory: Path | None) -> DownloadSettings:
    # The log goes to stderr, because stdout is the contract of check-size.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    # Process 1 of a container ignores the signal by default. No cleanup is needed: a download may be killed at any
    # point.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    try:
        return settings_from(os.environ, uri, directory)
    except DownloadFailure as failure:
        typer.echo(failure.detail, err=True)
        write_termination(termination_log(os.environ), failure)
        raise typer.Exit(failure.reason.exit_code) from None


def _leave(code: int) -> NoReturn:
    """Exit even if a thread hangs in a dead volume, which Python would wait for."""
    for thread in threading.enumerate():
        if thread.name == "AnyIO worker thread":
            thread.join(timeout=1)
            if thread.is_alive():
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
    raise typer.Exit(code)


class _ProgressDisplay:
    """Context of a progress bar on a terminal, and of one line per report elsewhere."""

    def __enter__(self) -> Show:
        if not sys.stdout.isatty():
            return _print_line
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        self._bar.start()
        task = self._bar.add_task("downloading", total=None)
        return lambda progress: self._bar.update(task, completed=progress.present, total=progress.total or None)

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "_bar"):
            self._bar.stop()


def _print_line(progress: Progress) -> None:
    print(f"downloaded {progress.present} of {progress.total} bytes ({progress.percentage} %)", flush=True)
