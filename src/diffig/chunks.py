"""How many images go through a classifier at once where nobody says it: as many as the machine has room for."""

from __future__ import annotations

import os

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
    """Return the bytes of memory that a device has in all; of a processor where the system does not tell, 8 GiB."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**33
