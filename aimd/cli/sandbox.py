"""`aimd sandbox`: start and stop a local cluster."""

# tests: tests/integration/test_sandbox_cli.py

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import Annotated

import anyio
import typer
from anyio import CancelScope

from aimd.cli.demo import demonstrate
from aimd.cli.progress import progress_line
from aimd.runtime.errors import ApiError
from aimd.sandbox.binaries import EVERYTHING, locate_binaries, locate_manifests
from aimd.sandbox.chart import ChartError, OperatorIdentity
from aimd.sandbox.cluster import Sandbox, SandboxSettings, sandbox_cluster
from aimd.sandbox.go import BinariesUnavailable, Progress
from aimd.sandbox.processes import ProcessFailed
from aimd.sandbox.running_sandbox import (
    AlreadyRunning,
    SandboxState,
    claim,
    is_claimed,
    read_state,
    state_file,
    stop,
    write_state,
)

app = typer.Typer(
    help="Run a local cluster: a real control plane with KServe, and stand-ins for the nodes and the gateway.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Keep = Annotated[bool, typer.Option("--keep", help="Keep the sandbox running in the background.")]
Nodes = Annotated[int, typer.Option(min=0, metavar="N", help="Number of nodes; each has eight GPUs.")]

_FAILURES = (BinariesUnavailable, ProcessFailed, ChartError, ApiError, TimeoutError, AlreadyRunning)
_NODES = 2
_HUB_RATE = 6 * 2**20  # bytes per second: slow enough to watch a download
_POLL = 0.1
_LOOK_AROUND = """
Explore the cluster:
  kubectl -n ml-team get aimservice,aimmodel,aimservicetemplate,aimtemplatecache,aimartifact
  kubectl -n ml-team describe aimservice qwen-chat
  kubectl -n ml-team get inferenceservice,httproute,job,pod,pvc"""


@app.command()
def build() -> None:
    """Build the control plane, KServe and helm, unless they have been built."""
    with failures_as_sentences(), progress_line() as progress:
        _locate_everything(progress)


@app.command()
def up(
    nodes: Nodes = _NODES,
    *,
    keep: Keep = False,
    operator: Annotated[
        bool, typer.Option("--operator", help="Run aimd in the sandbox, with the RBAC roles of the chart.")
    ] = False,
) -> None:
    """Start the sandbox. Stop it with Ctrl-C or, after --keep, with `aimd sandbox down`."""
    with failures_as_sentences():
        if keep:
            _print_usage(_start_in_background(nodes, operator=operator))
        else:
            with claim():
                _run(nodes, operator=operator)


@app.command()
def demo(*, keep: Keep = False) -> None:
    """Start a sandbox, watch two AIMServices start in it, and send each a chat request."""
    with failures_as_sentences():
        if keep:
            state = _start_in_background(_NODES, operator=True)
            code = anyio.run(demonstrate, state.kubeconfig, state.gateway_url)
            _print_usage(state)
            typer.echo(_LOOK_AROUND)
        else:
            with progress_line() as progress:
                _locate_everything(progress)
            code = anyio.run(_demonstrate_in_sandbox)
    raise typer.Exit(code)


@app.command()
def down() -> None:
    """Stop the running sandbox and delete its files."""
    with failures_as_sentences():
        stop(_running())
    typer.echo("The sandbox has been stopped.")


@app.command()
def status() -> None:
    """Show the running sandbox; exit with status 1 if there is none."""
    _print_usage(_running())


@app.command()
def kubeconfig() -> None:
    """Print the path of a kubeconfig with administrator rights."""
    typer.echo(_running().kubeconfig)


@contextmanager
def failures_as_sentences() -> Iterator[None]:
    """End the command with status 1 and the text of the failure, if it is an expected one."""
    failures: list[Exception] = []
    try:
        yield
    except* _FAILURES as group:
        failures += _members(group)
    if failures:
        # If a process exits, others may fail because they depend on it.
        typer.echo(str(next((each for each in failures if isinstance(each, ProcessFailed)), failures[0])), err=True)
        raise typer.Exit(1)


def _members(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _members(error)
        else:
            yield error


def _running() -> SandboxState:
    running = read_state()
    if running is None:
        typer.echo(
            "The sandbox is still starting; try again in a few seconds."
            if is_claimed()
            else "No sandbox is running; start one with: aimd sandbox up",
            err=True,
        )
        raise typer.Exit(1)
    return running


def _locate_everything(progress: Progress) -> None:
    locate_binaries(EVERYTHING, progress)
    locate_manifests(progress)


async def _demonstrate_in_sandbox() -> int:
    async with AsyncExitStack() as stack:
        with progress_line() as progress:
            settings = SandboxSettings(progress=progress, hub_bytes_per_second=_HUB_RATE, operator=True)
            sandbox = await stack.enter_async_context(sandbox_cluster(settings))
        return await demonstrate(sandbox.kubeconfig, sandbox.gateway_url)


def _run(nodes: int, *, operator: bool) -> None:
    with progress_line() as progress:  # Outside of the event loop, so that Ctrl-C ends a build at once.
        _locate_everything(progress)
    anyio.run(partial(_run_until_signal, nodes, operator=operator))


async def _run_until_signal(nodes: int, *, operator: bool) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_cancel_on_signal, tasks.cancel_scope)
        async with AsyncExitStack() as stack:
            with progress_line() as progress:
                settings = SandboxSettings(nodes, progress, hub_bytes_per_second=_HUB_RATE, operator=operator)
                sandbox = await stack.enter_async_context(sandbox_cluster(settings))
            state = _state_of(sandbox, settings)
            sandbox.keeper.remove(state_file())
            write_state(state)
            _print_usage(state)
            await anyio.sleep_forever()


async def _cancel_on_signal(scope: CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for _ in signals:
            scope.cancel()


def _start_in_background(nodes: int, *, operator: bool) -> SandboxState:
    """Run `aimd sandbox up` detached, and return when that sandbox is ready. Raises what prevents that."""
    if is_claimed():
        raise AlreadyRunning
    with progress_line() as progress, tempfile.TemporaryFile() as output:
        _locate_everything(progress)
        progress("Starting the sandbox in the background")
        process = subprocess.Popen(  # noqa: S603 (our own command)
            [sys.executable, "-m", "aimd", "sandbox", "up", f"--nodes={nodes}", *(["--operator"] if operator else [])],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            state = _wait_for_state(process)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if state is None:
            output.seek(0)
            typer.echo(output.read().decode(errors="replace").rstrip(), err=True)
            raise typer.Exit(1)
    return state


def _wait_for_state(process: subprocess.Popen[bytes]) -> SandboxState | None:
    """Return the state once the process has written it; None if it ends before."""
    while process.poll() is None:
        state = read_state()
        if state is not None:
            return state
        time.sleep(_POLL)
    return None


def _state_of(sandbox: Sandbox, settings: SandboxSettings) -> SandboxState:
    return SandboxState(
        pid=os.getpid(),
        version=sandbox.version,
        folder=sandbox.folder,
        logs=sandbox.logs,
        kubeconfig=sandbox.kubeconfig,
        operator_command="" if settings.operator else _command_of(sandbox.operator),
        gateway_url=sandbox.gateway_url,
        hub_url=sandbox.hub_url,
        hub_root=sandbox.hub_root,
        audit_log=sandbox.audit_log,
        nodes=settings.nodes,
    )


def _command_of(operator: OperatorIdentity) -> str:
    """Return the shell command that runs the operator as the chart would."""
    variables = [f"{name}={shlex.quote(value)}" for name, value in operator.environment.items()]
    return " ".join([*variables, "aimd", "run", *(shlex.quote(argument) for argument in operator.arguments)])


def _print_usage(state: SandboxState) -> None:
    plural = "" if state.nodes == 1 else "s"
    typer.echo(
        f"""\
The sandbox is ready: Kubernetes {state.version}, {state.nodes} node{plural} with eight GPUs each.

  export KUBECONFIG={state.kubeconfig}

  routes      {state.gateway_url}
  model hub   {state.hub_url}, serves {state.hub_root}
  operator    {state.operator_command or f"runs in the sandbox; log: {state.logs / 'aimd.log'}"}
  logs        {state.logs}
  audit log   {state.audit_log}

To stop it, press Ctrl-C where it runs, or run: aimd sandbox down"""
    )
