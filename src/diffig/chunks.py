"""How many images go through a classifier at once where nobody says it: as many as the machine has room for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

MOST = 64
HELD = 220
"""Bytes that a gradient keeps for each byte of an image: 37 in torchvision's ResNet-18, 217 in its DenseNet-121."""
SHARE = 4
"""Of the memory, one part in four: paths, maps and other programs want some, too."""


def fitting(images: Tensor) -> int:
    """Return how many images of this size go through a classifier at once, 1 to 64.

    It depends on the size of the images and the memory that their device has in all, not on what is free just now, so
    that a run is the same when it is run again.
    """
    each = images[0].numel() * images.element_size() * HELD
    return max(1, min(MOST, memory_of(images.device) // SHARE // max(1, each)))


def memory_of(device: torch.device) -> int:
    """Return the bytes of memory that a device has in all; of a processor what this process may have of it.

    Of a processor it is the least of what the machine has and what containers and schedulers grant; 8 GiB where the
    system does not tell.
    """
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        installed = 2**33
    return min([installed, *granted_bytes()])


def granted_bytes(system: Path = Path("/")) -> Iterator[int]:
    """Yield every limit of memory that control groups, version 1 or 2, set to this process; nothing where none does.

    A group is also bound by what holds it. In a container the groups' folder begins at the container's own group, so
    the path that the process is told need not be there; what lies above it is.
    """
    try:
        told = (system / "proc/self/cgroup").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in told:
        _, controllers, group = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = system / "sys/fs/cgroup" / ("memory" if controllers else "")
        place = top / group.strip("/")
        for folder in (place, *place.parents):
            with suppress(OSError, ValueError):  # not there, or `max`
                yield int((folder / ("memory.limit_in_bytes" if controllers else "memory.max")).read_text())
            if folder == top:
                break
