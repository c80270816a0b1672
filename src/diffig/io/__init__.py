"""How files are written: whole or not at all."""

from diffig.io.atomic import DiskFull, whole, write_bytes, write_json, write_tensors, write_text

__all__ = ["DiskFull", "whole", "write_bytes", "write_json", "write_tensors", "write_text"]
