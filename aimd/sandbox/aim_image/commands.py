"""The program of an AIM image: `serve` (the default), `dry-run` and `list-profiles`, with the real exit codes.

    python -m aimd.sandbox.aim_image.commands --generation 0.9 [--listen 8000=4711] [COMMAND]

The two options are the sandbox's: the generation of the image, and the local port for each port of the container.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from aimd.sandbox import model_server
from aimd.sandbox.aim_image.container_root import container_root
from aimd.sandbox.aim_image.generations import Generation, generation_named
from aimd.sandbox.aim_image.logs import ENTRYPOINT as LOG
from aimd.sandbox.aim_image.logs import set_levels
from aimd.sandbox.aim_image.runtime import Engine, Runtime
from aimd.sandbox.aim_image.selection import states


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 1 if it fails, and 2 if there is no such command."""
    options = _parser().parse_args(arguments)
    generation = generation_named(options.generation)
    command = _command_parser(generation).parse_args(options.command or ["serve"])
    try:
        return _run(command, generation, dict(options.listen))
    except ValueError as error:
        set_levels("WARNING", "WARNING", container_root(os.environ))
        LOG.error(f"Configuration error: {error}")
    except FileNotFoundError as error:
        LOG.error(f"File not found: {error}")
    except Exception as error:
        LOG.error(f"Unexpected error: {error}")
    return 1


def _run(command: argparse.Namespace, generation: Generation, ports: Mapping[int, int]) -> int:
    if command.name == "download-to-cache":
        print("error: the sandbox's images do not download weights; aimd's jobs do", file=sys.stderr)
        return 1
    runtime = Runtime(os.environ, generation)
    if command.name == "dry-run":
        print(runtime.dry_run(as_json=command.format == "json"))
        return 0
    if command.name == "list-profiles":
        print(runtime.list_profiles(command.format, command.state, unchecked=command.skip_compatibility_check))
        return 0
    return _serve(runtime, runtime.engine(), ports)


def _serve(runtime: Runtime, engine: Engine, ports: Mapping[int, int]) -> int:
    """Become the engine: a server under the environment of the profile, which fails without weights as vLLM does."""
    os.environ.update(engine.variables)
    folder = runtime.root.on_disk(engine.model) if engine.model.startswith("/") else None
    served = model_server.Served(engine.names, engine.model, engine.profile_id)
    return model_server.serve_engine(served, folder, ports.get(engine.port, 0))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aim_image", allow_abbrev=False)
    parser.add_argument("--generation", required=True)
    parser.add_argument("--listen", type=_mapping, action="append", default=[])
    parser.add_argument("command", nargs=argparse.REMAINDER)
    return parser


def _mapping(text: str) -> tuple[int, int]:
    port, _, local = text.partition("=")
    return int(port), int(local)


def _command_parser(generation: Generation) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="entrypoint.py", allow_abbrev=False)
    commands = parser.add_subparsers(dest="name", required=True)
    commands.add_parser("serve", allow_abbrev=False)
    dry_run = commands.add_parser("dry-run", allow_abbrev=False)
    dry_run.add_argument("--format", type=str.lower, choices=("yaml", "json"), default="yaml")
    shapes = ("text", "table") if generation.by_schema else ("text", "table", "json", "yaml")
    listing = commands.add_parser("list-profiles", allow_abbrev=False)
    listing.add_argument("--state", type=str.lower, choices=(*states(generation), "all"), default="all")
    listing.add_argument("--format", type=str.lower, choices=shapes, default="table")
    listing.add_argument("--skip-compatibility-check", action="store_true")
    listing.add_argument("--verbose", "-v", action="store_true")
    download = commands.add_parser("download-to-cache", allow_abbrev=False)
    download.add_argument("--model-id")
    download.add_argument("--use-hf-cache", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
