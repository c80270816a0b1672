"""The settings that labels depend on: stored beside them, hashed, and compared in words where they differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import torch
from torch import Tensor


def plain(depends: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they come back from a JSON file: numbers, words, lists and dictionaries."""
    values: dict[str, Any] = json.loads(json.dumps(dict(depends), default=str))
    return values


def fingerprint(depends: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits of plain values."""
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return 16 hexadecimal digits of the content of named tensors."""
    whole = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        whole.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        whole.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()[:16]


def differences(there: Any, wanted: Any, name: str = "") -> str:
    """Return in words where two nests of plain values differ, `name: there, not wanted`, at most four of them."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        keys = [key for key in {**there, **wanted} if there.get(key) != wanted.get(key)]
        return "; ".join(
            differences(there.get(key), wanted.get(key), f"{name}.{key}" if name else key) for key in keys[:4]
        )
    return f"{name}: {there} there, {wanted} asked for"


def read_json(file: FilePath) -> Any:
    """Return the content of a JSON file; ValueError where it is none."""
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is no JSON file any more ({error}); delete it and run the command again") from error
