"""Files that are there as a whole or not at all, whatever kills the process that writes them or fills the disk.

A file grows beside its place, `<name>.<process>.part`, and is renamed when it is complete. Readers pass over parts.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFull(OSError):
    """A file has no room. What lay at its place before still does."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(
            f"{path} cannot be written: the disk is full, or your quota is used up; make room and run the same "
            "command again"
        )


def is_full(error: BaseException) -> bool:
    """Return whether an error, or one that it came of, says that there is no room; some say it in words alone."""
    found: BaseException | None = error
    while found is not None:
        if getattr(found, "errno", None) in FULL or any(f"os error {code})" in str(found) for code in FULL):
            return True
        found = found.__cause__ or found.__context__
    return False


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Yield where to write what takes the place of `path` when the context ends; nothing stays where it fails.

    The folder is made. Every process has its own part, as all ranks of a run write the same files.

    Raises:
        DiskFull: there is no room.
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, Exception) and not isinstance(error, DiskFull) and is_full(error):
            raise DiskFull(path) from error
        raise


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with whole(path) as partial:
        partial.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, content: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(content, indent=2, default=str) + "\n")


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors from any device to a safetensors file, whole or not at all, with the rights of other files."""
    from safetensors.torch import save_file

    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with whole(path) as partial:
        save_file(kept, partial, metadata=metadata)
        partial.chmod(0o644)


def write_picture(path: str | Path, picture: Tensor) -> None:
    """Write a picture `(C, H, W)` in [0, 1] as PNG, whole or not at all."""
    from torchvision.utils import save_image

    with whole(path) as partial:
        save_image(picture, partial, format="png")
