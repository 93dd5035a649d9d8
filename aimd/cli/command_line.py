"""The command line of `aimd run`: Go's spellings of flags, and one line that says what is wrong."""

# tests: tests/unit/cli/test_settings.py

import sys
from collections.abc import Iterator, Sequence
from shutil import get_terminal_size
from typing import NoReturn

from pydantic import ValidationError

from aimd.cli.environment import without_credentials
from aimd.cli.flag_help import help_text
from aimd.cli.settings import Flags


def parse_flags(arguments: Sequence[str]) -> Flags:
    """Return the flags of a command line.

    Ends the process with the text of `--help`, or with status 2 and one line that names what is wrong.
    """
    try:
        return Flags(_cli_parse_args=[*_uniform(arguments)])
    except ValidationError as error:
        for detail in error.errors():
            flag = str(detail["loc"][0]).replace("_", "-") if detail["loc"] else ""
            where = f"--{flag}={without_credentials(str(detail['input']))}: " if flag else ""
            print(
                f"aimd run: {where}{without_credentials(detail['msg'].removeprefix('Value error, '))}", file=sys.stderr
            )
        raise SystemExit(2) from None


def _uniform(arguments: Sequence[str]) -> Iterator[str]:
    """Yield each flag as `--flag=value`, whichever of Go's spellings it has."""
    rest = iter(arguments)
    for argument in rest:
        if argument in ("-h", "-help", "--help"):
            _print_help()
        name, equals, text = argument.lstrip("-").partition("=")
        field = Flags.model_fields.get(name.replace("-", "_")) if "_" not in name else None
        if not argument.startswith("-"):
            _refuse(f"unexpected argument {without_credentials(argument)!r}: flags start with --")
        elif field is None:
            _refuse(f"unknown flag {argument.partition('=')[0]}")
        elif equals:
            yield f"--{name}={text}"
        elif field.annotation is bool:
            yield f"--{name}=true"
        else:
            value = next(rest, None)
            if value is None:
                _refuse(f"--{name} needs a value")
            yield f"--{name}={value}"


def _refuse(problem: str) -> NoReturn:
    print(f"aimd run: {problem}; see aimd run --help", file=sys.stderr)
    raise SystemExit(2)


def _print_help() -> NoReturn:
    print(help_text(min(get_terminal_size().columns, 100)))
    raise SystemExit(0)
