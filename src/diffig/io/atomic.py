"""The one place where files come to be: readers see the old file or the whole new one, never half of it.

A file grows under another name in its own folder, for only there is a rename atomic, reaches the disk, and takes its
place. What a failure leaves behind is removed; what a kill leaves behind ends in `.part` and is nobody's file.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

FULL = (errno.ENOSPC, errno.EDQUOT)
# How libraries say it that write without Python's own files.
FULL_WORDS = ("No space left on device", "os error 28", "Disk quota exceeded")


class DiskFull(OSError):
    """There is no room for a file; the message is one line for a user."""


@contextmanager
def whole(path: str | Path, *, durable: bool = True, shared: bool = False, moves: bool = True) -> Iterator[Path]:
    """Give the place where the file is to be written, and move it to `path` when that is done.

    Args:
        path: of the file; its folder is made.
        durable: wait until the content is on the disk, so that a power cut leaves no empty file; a mark that the next
            start writes again need not be.
        shared: several processes write one file together, as a sharded checkpoint; else each has a place of its own.
        moves: whether this process moves the file; of those that share one, only the first.

    Raises:
        DiskFull: there is no room.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    own = "" if shared else f".{os.getpid()}-{secrets.token_hex(3)}"
    partial = target.with_name(f"{target.name}{own}.part")
    try:
        yield partial
        if moves:
            if durable and partial.is_file():
                _sync(partial)
            os.replace(partial, target)
    except BaseException as error:
        if moves and partial.is_file():
            partial.unlink()
        if _is_full(error):
            full = DiskFull(f"no space left for {target}: free some, or write elsewhere with dirs.output=...")
            full.errno = errno.ENOSPC
            raise full from error
        raise


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with whole(path) as partial:
        partial.write_bytes(content)


def write_text(path: str | Path, text: str, *, durable: bool = True) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with whole(path, durable=durable) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write a JSON file, whole or not at all; what JSON does not know is written as its text."""
    write_text(path, json.dumps(content, indent=2, default=str) + "\n")


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file, whole or not at all, with the rights of other files."""
    from safetensors.torch import save_file

    with whole(path) as partial:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial, metadata)
        partial.chmod(0o644)


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_full(error: BaseException) -> bool:
    if isinstance(error, DiskFull):
        return False
    return getattr(error, "errno", None) in FULL or any(words in str(error) for words in FULL_WORDS)
