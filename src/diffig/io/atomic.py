"""The one place where files come to be: readers see the old file or the whole new one, never half of it.

A file grows under another name in its own folder, for only there is a rename atomic, reaches the disk, and takes its
place. What a failure leaves behind is removed; what a kill leaves behind ends in `.part`, is nobody's file,
and goes when the run is started again.
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
    from matplotlib.figure import Figure
    from torch import Tensor

PART = ".part"  # the ending of what is not whole yet
FULL = (errno.ENOSPC, errno.EDQUOT)
# How libraries say it that write without Python's own files.
FULL_WORDS = (
    *("No space left on device", "Disk quota exceeded"),
    *(f"os error {code})" for code in FULL),
)
MEMORY = "</torch_"  # what processes share in memory, of whose end PyTorch speaks like a disk's


class DiskFull(OSError):
    """A file has no room, which the message says in one line for a user; what lay at its place before still does."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(
            f"{path} cannot be written: the disk is full, or your quota is used up; make room and run the same "
            "command again"
        )
        self.path = Path(path)
        self.errno = errno.ENOSPC

    def __reduce__(self) -> tuple[type[DiskFull], tuple[Path]]:
        """Say it once also where it comes from another process."""
        return DiskFull, (self.path,)


def is_full(error: BaseException) -> bool:
    """Return whether an error, or one that it came of, says that there is no room; some say it in words alone."""
    found: BaseException | None = error
    seen: set[int] = set()  # what an error came of may have come of the error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        said = str(found)
        in_words = MEMORY not in said and any(words in said for words in FULL_WORDS)
        if getattr(found, "errno", None) in FULL or in_words:
            return True
        found = found.__cause__ or found.__context__
    return False


def leftovers(folder: Path) -> list[Path]:
    """Return what kills have left half written below a folder."""
    return sorted(folder.rglob(f"*{PART}"))


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
    own = "" if shared else f".{os.getpid()}-{secrets.token_hex(3)}"
    partial = target.with_name(f"{target.name}{own}{PART}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if moves:
            if durable and partial.is_file():
                _sync(partial)
            os.replace(partial, target)
    except BaseException as error:
        if moves and partial.is_file():
            partial.unlink()
        if isinstance(error, Exception) and not isinstance(error, DiskFull) and is_full(error):
            raise DiskFull(target) from error
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
    """Write tensors from any device to a safetensors file, whole or not at all, with the rights of other files."""
    from safetensors.torch import save_file

    with whole(path) as partial:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial, metadata)
        partial.chmod(0o644)


def write_picture(path: str | Path, picture: Tensor) -> None:
    """Write a picture `(C, H, W)` in [0, 1] as PNG, whole or not at all."""
    from torchvision.utils import save_image

    with whole(path) as partial:
        save_image(picture, partial, format="png")


def write_figure(path: str | Path, figure: Figure, dpi: int = 130, **options: Any) -> None:
    """Write a figure of matplotlib as PNG, whole or not at all; `options` are those of its `savefig`."""
    with whole(path) as partial:
        figure.savefig(partial, format="png", dpi=dpi, **options)


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
