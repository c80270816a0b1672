"""How files are written: whole or not at all, and one sentence for a full disk."""

from diffig.io.atomic import (
    DiskFull,
    is_full,
    whole,
    write_bytes,
    write_json,
    write_picture,
    write_tensors,
    write_text,
)

__all__ = [
    "DiskFull",
    "is_full",
    "whole",
    "write_bytes",
    "write_json",
    "write_picture",
    "write_tensors",
    "write_text",
]
