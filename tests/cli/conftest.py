"""The programs, driven as a user drives them but inside this process, where imports are paid once."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

# The smallest evaluation that is still a whole one.
TINY = ("dataset.size=8", "classifier.width=8", "metrics=fast", "trainer=cpu", "steps=4", "limit=6", "batch_size=3")
Program = Callable[..., int]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the classifier of all tests is kept."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Program:
    """`program("evaluate", "method=ig", ...)` runs `diffig-evaluate method=ig ...` and returns its exit code."""
    monkeypatch.chdir(tmp_path)

    def call(name: str, *words: str) -> int:
        if name == "evaluate":
            from diffig.cli.evaluate import main
        elif name == "train":
            from diffig.cli.train import main
        elif name == "explain":
            from diffig.cli.explain import program as main
        else:
            from diffig.cli.report import program as main
        monkeypatch.setattr(sys, "argv", [f"diffig-{name}", *words])
        GlobalHydra.instance().clear()
        root = logging.getLogger()
        before, level = list(root.handlers), root.level
        try:
            main()
        except SystemExit as stop:
            if isinstance(stop.code, str):  # what the interpreter does with a message
                print(stop.code, file=sys.stderr)
                return 1
            return stop.code or 0
        finally:
            for handler in [handler for handler in root.handlers if handler not in before]:
                root.removeHandler(handler)
                with contextlib.suppress(OSError):  # as the interpreter does at its end, where a disk is full
                    handler.close()
            root.setLevel(level)
        return 0

    return call


@pytest.fixture
def evaluate(program: Program, cache: Path) -> Callable[..., int]:
    """`evaluate("method=ig", ...)` is a tiny `diffig-evaluate` with a shared classifier."""

    def call(*words: str) -> int:
        flags = [word for word in words if word.startswith("-")]
        rest = [word for word in words if not word.startswith("-")]
        return program("evaluate", *flags, *TINY, f"dirs.cache={cache}", *rest)

    return call
