"""How files are written, whole or not at all, and which versions of them are read."""

from diffig.io.atomic import (
    DiskFull,
    is_full,
    leftovers,
    whole,
    write_bytes,
    write_figure,
    write_json,
    write_picture,
    write_tensors,
    write_text,
)
from diffig.io.versions import KEY, NewerFormat, check_version

__all__ = [
    "KEY",
    "DiskFull",
    "NewerFormat",
    "check_version",
    "is_full",
    "leftovers",
    "whole",
    "write_bytes",
    "write_figure",
    "write_json",
    "write_picture",
    "write_tensors",
    "write_text",
]
