"""One run in one folder: a second that wants it says so and stops before it has written anything.

The lock is the operating system's and ends with its process, so that a killed run is in nobody's way. The first rank
holds it for all ranks of a run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from hydra.experimental.callback import Callback

from diffig.cli.ranks import is_first_rank
from diffig.io import DiskFull, is_full, leftovers, whole

if TYPE_CHECKING:
    from omegaconf import DictConfig

LOCK = ".lock"
ROOM = 2**15  # bytes that a run needs to begin with
_held: dict[Path, TextIO] = {}


class FolderInUse(RuntimeError):
    """Another run is at work in the folder."""


class OneRunAFolder(Callback):
    """Takes the folder of a run, or of a whole sweep, before Hydra writes to it, until the process ends."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Take the run's folder, and remove what a kill has left half written; SystemExit where another run has it."""
        _take_or_exit(Path(config.hydra.run.dir), tidy=True)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Take the sweep's folder; SystemExit where another sweep has it."""
        _take_or_exit(Path(config.hydra.sweep.dir))


@contextlib.contextmanager
def taken(*folders: Path) -> Iterator[None]:
    """Hold the folders, which are made, for as long as the context lasts; those held already stay held.

    Raises:
        FolderInUse: another run has one of them.
    """
    with contextlib.ExitStack() as mine:
        for folder in folders:
            if take(folder):
                mine.callback(_release, folder.resolve())
        yield


def take(folder: Path) -> bool:
    """Return whether this call has taken the folder, which is made; False on other ranks and where it is held already.

    Raises:
        FolderInUse: another run has it.
    """
    if sys.platform == "win32" or not is_first_rank() or folder.resolve() in _held:
        return False
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / LOCK).open("a+")
    try:
        # Not flock: what a run forks would hold the folder after the run was killed.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.seek(0)
        owner = file.read().strip() or "another process"
        file.close()
        raise FolderInUse(
            f"{folder} is in use by {owner}; wait until that run has ended, or name another folder (hydra.run.dir=..., "
            "for a sweep hydra.sweep.dir=...)"
        ) from None
    except OSError:  # a file system without locks
        file.close()
        return False
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    _held[folder.resolve()] = file
    return True


def _release(folder: Path) -> None:
    _held.pop(folder).close()


def remove_parts(folder: Path) -> None:
    """Remove what was half written below a folder when its run was killed, but not where another run may be at work."""
    for part in leftovers(folder):
        inside = [folder / above for above in part.relative_to(folder).parents][:-1]
        if any((place / LOCK).exists() for place in inside):
            continue
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _take_or_exit(folder: Path, tidy: bool = False) -> None:
    try:
        if take(folder) and tidy:
            remove_parts(folder)
        with whole(folder / ".room") as partial:  # Hydra, which writes its own files next, would answer with a trace
            partial.write_bytes(b" " * ROOM)
        (folder / ".room").unlink()
    except (FolderInUse, DiskFull) as error:
        raise SystemExit(str(error)) from None
    except OSError as error:
        if is_full(error):
            raise SystemExit(str(DiskFull(folder))) from None
        raise
