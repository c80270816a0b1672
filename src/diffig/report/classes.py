"""Names of classes, where runs know them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path


def class_names(folders: Iterable[str | Path]) -> list[str]:
    """Return the names that the runs of one dataset have left in ``classes.json``, by label.

    Empty where no run has any, and where runs contradict each other.
    """
    found = set()
    for folder in folders:
        try:
            told = json.loads((Path(folder) / "classes.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(told, list):
            found.add(tuple(map(str, told)))
    return list(found.pop()) if len(found) == 1 else []


def named(names: Sequence[str], label: str) -> str:
    """Return ``3 cat`` for the label ``3``; the label alone where it has no name of its own."""
    known = label.isdecimal() and int(label) < len(names)
    return f"{label} {names[int(label)]}" if known and names[int(label)] != label else label
