"""A bar for whoever waits."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Literal, Self

PATIENCE = 3.0
"""Seconds after which a call is long."""


class Bar:
    """How far a call has come: images that are done, and images that went through the model for them.

    Args:
        title: beside the bar.
        images: that are explained.
        shown: `auto` in a terminal or a notebook once the call is long.
    """

    def __init__(self, title: str, images: int, shown: bool | Literal["auto"]) -> None:
        self.title, self.images = title, images
        self.done, self.asked = 0, 0
        self.wanted = (sys.stderr.isatty() or "ipykernel" in sys.modules) if shown == "auto" else shown
        self.since = time.monotonic() + (PATIENCE if shown == "auto" else 0)
        self.bar: Any = None

    def count(self, images: int) -> None:
        """Count images that went through the model."""
        self.asked += images
        self._show()

    def advance(self, images: int) -> None:
        """Count images that are done."""
        self.done += images
        self._show()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def _show(self) -> None:
        if not self.wanted or time.monotonic() < self.since:
            return
        if self.bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}")
            times = TimeElapsedColumn(), TimeRemainingColumn()
            self.bar = Progress(*columns, *times, console=Console(stderr=True))
            self.bar.start()
            self.bar.add_task(self.title, total=None, said="")
        said = f"{self.done} of {self.images} images, {self.asked:,} through the model"
        total = self.images if self.done else None  # until the first is done nothing is known of the rest
        self.bar.update(self.bar.task_ids[0], completed=self.done, total=total, said=said)
