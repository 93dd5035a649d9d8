"""The `aimd` command: passes the arguments of each subcommand to a module of its own, imported only then.

So `aimd run` works without the dependencies of the sandbox, `aimd download` starts without a Kubernetes client, and
each command starts as fast as its own imports.
"""

# tests: tests/integration/test_command_line.py

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from aimd.cli.version import version_text

_VERBATIM = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}

app = typer.Typer(
    name="aimd",
    help="Serve AI models on Kubernetes clusters with AMD GPUs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; this is the console script."""
    app(sys.argv[1:] if arguments is None else list(arguments), prog_name="aimd")


def image_entry_point(arguments: Sequence[str]) -> None:
    """Run the operator if a container gets flags or no arguments, download a URI, or run a subcommand."""
    first = arguments[0] if arguments else ""
    if not first or (first.startswith("-") and first not in ("-h", "--help", "--version")):
        main(["run", *arguments])
    elif "://" in first:
        main(["download", *arguments])
    else:
        main(arguments)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 (typer calls it)
    if wanted:
        typer.echo(version_text())
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Declare the options before the subcommand."""


@app.command(context_settings=_VERBATIM, add_help_option=False)
def run(context: typer.Context) -> None:
    """Run the operator."""
    from aimd.cli.command_line import parse_flags

    flags = parse_flags(context.args)
    _print_version(wanted=flags.version)
    from aimd.cli.run import run_operator

    run_operator(flags)


@app.command(context_settings=_VERBATIM, add_help_option=False)
def sandbox(context: typer.Context) -> None:
    """Run a local cluster: a real control plane with KServe, and stand-ins for the nodes and the gateway."""
    _hand_over("aimd.cli.sandbox", context.args, program="aimd sandbox", extra="sandbox")


@app.command(context_settings=_VERBATIM, add_help_option=False)
def download(context: typer.Context) -> None:
    """Download a model's weights: `aimd download URI [DIRECTORY]`."""
    _hand_over("aimd.cli.download", ["download", *context.args], program="aimd", extra="downloads")


@app.command("check-size", context_settings=_VERBATIM, add_help_option=False)
def check_size(context: typer.Context) -> None:
    """Print the size of a model's weights as JSON: `aimd check-size URI`."""
    _hand_over("aimd.cli.download", ["check-size", *context.args], program="aimd", extra="downloads")


@app.command()
def crds(
    output: Annotated[Path, typer.Option(help="Folder to write one file per kind to.", file_okay=False)] = Path("crds"),
) -> None:
    """Write the CustomResourceDefinitions of all kinds."""
    from aimd.api.crd import write_crds

    write_crds(output)


@app.command()
def reference(
    chart: Annotated[Path, typer.Option(help="Folder of the chart.", file_okay=False)] = Path("charts/aimd"),
    output: Annotated[Path, typer.Option(help="Folder to write the pages to.", file_okay=False)] = Path("docs"),
) -> None:
    """Write the reference pages: configuration, chart values, conditions, fields."""
    from aimd.cli.reference import write_reference

    write_reference(chart, output)


def _hand_over(module: str, arguments: Sequence[str], *, program: str, extra: str) -> NoReturn:
    """Run the typer app `app` of a module; name the extra to install if a dependency is missing."""
    try:
        commands: typer.Typer = import_module(module).app
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("aimd"):
            raise
        typer.echo(f"{program}: no module {error.name}; install it with: pip install 'aimd[{extra}]'", err=True)
        raise typer.Exit(1) from None
    commands(list(arguments), prog_name=program)
    raise typer.Exit
