"""Which files are images."""

from __future__ import annotations

import functools

IDENTIFIED_ONLY = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF"}


def is_image(name: str) -> bool:
    """Return whether the name ends as one of a format that Pillow reads, whatever the case of its letters."""
    return name.lower().endswith(_endings())


@functools.cache
def _endings() -> tuple[str, ...]:
    from PIL import Image

    known = Image.registered_extensions()
    readable = set(Image.OPEN) - IDENTIFIED_ONLY  # Pillow tells these formats and has no pixels of them
    return tuple(sorted(ending for ending, kind in known.items() if kind in readable))
