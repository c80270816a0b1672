"""Ctrl-C and `kill` end a program with one line and the exit code that shells expect of an interrupt, 130."""

from __future__ import annotations

import _thread
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

CODE = 130


class Interrupted(SystemExit):
    """The user has stopped the run, and has been told how it goes on."""

    def __init__(self) -> None:
        super().__init__(CODE)


def was_interrupted(stop: BaseException) -> bool:
    """Return whether `stop` comes of an interrupt or of `kill`.

    Lightning catches an interrupt, tidies up and exits with 1; at `kill` it ends a training by an exit of its own kind,
    whose code says that all went well.
    """
    if isinstance(stop, SystemExit):
        return isinstance(stop.__context__, KeyboardInterrupt) or type(stop).__name__ == "SIGTERMException"
    return isinstance(stop, KeyboardInterrupt)


@contextmanager
def heard() -> Iterator[None]:
    """Ask again for an interrupt that came where Python can only note it, in the end of an object say, and drops it."""
    noted = sys.unraisablehook

    def ask_again(lost: Any) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            threading.Timer(0.1, _thread.interrupt_main).start()  # at once, it would be dropped here as well
        else:
            noted(lost)

    sys.unraisablehook = ask_again
    try:
        yield
    finally:
        sys.unraisablehook = noted


def interruptible(program: Callable[[], Any]) -> Callable[[], Any]:
    """Return the program, which says one line where it is interrupted outside of a run, among its imports say."""

    @functools.wraps(program)
    def said() -> Any:
        try:
            with heard():
                return program()
        except KeyboardInterrupt:
            print("interrupted; run the same command again", file=sys.stderr)
            raise Interrupted from None

    return said
