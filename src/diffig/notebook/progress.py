"""A bar for whoever watches."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Literal, TypeVar

Item = TypeVar("Item")


def tracked(parts: Sequence[Item], title: str, shown: bool | Literal["auto"]) -> Iterable[Item]:
    """Return the parts, with a bar while they are gone through.

    Args:
        parts: of the work.
        title: beside the bar.
        shown: `auto` for more than one part in a terminal or a notebook.
    """
    watched = sys.stderr.isatty() or "ipykernel" in sys.modules
    if not (len(parts) > 1 and watched if shown == "auto" else shown):
        return parts
    from rich.console import Console
    from rich.progress import track

    return track(parts, description=title, console=Console(stderr=True))
