"""Call a function in a fresh Python process, so that CPU time and memory are its own.

    python -m bench.fresh    reads a pickled (function, arguments) from standard input, writes the pickled result

The function must be importable by name; a coroutine function runs on asyncio. Its standard output is redirected to
standard error.
"""

import asyncio
import inspect
import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, NoReturn, ParamSpec, TypeVar, overload

P = ParamSpec("P")
T = TypeVar("T")

_PATIENCE = 600.0
READY = "ready"
"""What a process that runs beside prints when it is."""


class MeasurementFailed(RuntimeError):
    """The process ended without a result; the text is the end of its log."""


@overload
def in_fresh_process(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T: ...
@overload
def in_fresh_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...
def in_fresh_process(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return the result of `function(*args, **kwargs)`. Raises MeasurementFailed."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.fresh"],
        input=pickle.dumps((function, args, kwargs)),
        capture_output=True,
        check=False,
        timeout=_PATIENCE,
    )
    if done.returncode:
        raise MeasurementFailed(f"{function.__qualname__}:\n{done.stderr.decode(errors='replace')[-4000:]}")
    return pickle.loads(done.stdout)


@contextmanager
def beside(function: Callable[P, Awaitable[None]], *args: P.args, **kwargs: P.kwargs) -> Iterator[int]:
    """Run `function` in a fresh process while the block runs, once it has printed `READY`; yield its pid.

    Raises MeasurementFailed if it ends before.
    """
    command = [sys.executable, "-m", "bench.fresh"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            process.stdin.write(pickle.dumps((function, args, kwargs)))
            process.stdin.close()
            log: deque[str] = deque(maxlen=40)
            for line in process.stderr:
                if line.decode().strip() == READY:
                    break
                log.append(line.decode(errors="replace"))
            else:
                raise MeasurementFailed(f"{function.__qualname__}:\n{''.join(log)}")
            threading.Thread(target=_drain, args=(process.stderr,), daemon=True).start()
            yield process.pid
        finally:
            process.kill()


def _drain(stream: IO[bytes]) -> None:
    for _ in stream:
        pass


def _main() -> None:
    function, args, kwargs = pickle.load(sys.stdin.buffer)
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    result = function(*args, **kwargs)
    if inspect.isawaitable(result):
        asyncio.run(_finish(result, answer))
    _leave(result, answer)


async def _finish(result: Awaitable[object], answer: BinaryIO) -> None:
    _leave(await result, answer)


def _leave(result: object, answer: BinaryIO) -> NoReturn:
    """Write the result and exit at once, without waiting for what the function has left running."""
    with answer:
        pickle.dump(result, answer)
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    _main()
