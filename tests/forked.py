"""Programs in processes of their own, forked from a server that has everything imported: a start costs no ten seconds.

What is forked takes signals, is killed and exits as the program that a shell starts. The server itself computes
nothing, so that a fork of it may use every thread and device. What only a fresh interpreter can show (what is imported
when, what a wheel holds) is asked of one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        *("diffig.evaluation.run", "diffig.evaluation.gallery", "diffig.evaluation.summary", "diffig.training.run"),
        *("lightning.pytorch", "matplotlib.pyplot"),
    ]
)


class Forked:
    """A call in a process of its own, in a folder; what it says on either stream is `said`.

    Left as a context, it is killed if it still runs.
    """

    def __init__(self, call: Callable[[], object], folder: Path, arguments: list[str]) -> None:
        self.path = folder / f"said-by-{arguments[0]}"
        given = call, str(folder), arguments, str(self.path), dict(os.environ), list(sys.path)
        self.process = SERVER.Process(target=_become, args=given)
        self.process.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.join()

    @property
    def said(self) -> str:
        """What it has said."""
        return self.path.read_text() if self.path.exists() else ""

    def poll(self) -> int | None:
        """Return the exit code, a signal's number with a minus where that ended it, or None while it runs."""
        return self.process.exitcode

    def wait(self, timeout: float = 300) -> int:
        """Return the exit code; TimeoutError where it takes longer than so many seconds."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise TimeoutError(self.said)
        return self.process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def until(self, true: Callable[[], bool], timeout: float = 300) -> None:
        """Return once something is true; an error where it ends before, or takes longer than so many seconds."""
        limit = time.monotonic() + timeout
        while not true():
            assert self.poll() is None, f"it ended before:\n{self.said}"
            assert time.monotonic() < limit, f"it took too long:\n{self.said}"
            time.sleep(0.01)


def program(name: str, words: list[str], folder: Path) -> Forked:
    """Return a running `diffig-<name>` with its words, `evaluate` or `train`."""
    return Forked(import_module(f"diffig.cli.{name}").main, folder, [f"diffig-{name}", *words])


def _become(
    call: Callable[[], object], folder: str, arguments: list[str], said: str, environment: dict[str, str],
    paths: list[str],
) -> NoReturn:  # fmt: skip
    """Be the process of a call, and end with its exit code."""
    code = 1
    try:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:], sys.argv = paths, arguments
        descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, closefd=False) for stream in (1, 2))
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        call()
        code = 0
    except SystemExit as stop:
        code = 1 if isinstance(stop.code, str) else int(stop.code or 0)
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
