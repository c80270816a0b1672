"""How far long work has come: a bar in a terminal, a line now and then where the output is a file."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

log = logging.getLogger(__name__)


def in_terminal() -> bool:
    """Return whether somebody can watch a bar move."""
    return sys.stderr.isatty()


def progress() -> list[Callback]:
    """Return what tells how far a trainer is: a bar for a terminal, lines for a log file."""
    from lightning.pytorch.callbacks import RichProgressBar

    return [RichProgressBar()] if in_terminal() else [ProgressLog()]


class ProgressLog(Callback):
    """A line for a log file: what is done, of how much, and about how long the rest takes.

    Args:
        every: seconds between two lines at least; short work says nothing.
    """

    def __init__(self, every: float = 60.0) -> None:
        self.every = every
        self.begun = self.told = 0.0
        self.before = 0

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start(0)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Say how many batches are done."""
        total = trainer.num_predict_batches
        self._tell(trainer, "batch", batch_idx + 1, total[0] if isinstance(total, list) else total)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; a resumed training has steps behind it."""
        self._start(trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Say how many optimiser steps are done."""
        self._tell(trainer, "step", trainer.global_step, trainer.estimated_stepping_batches)

    def _start(self, before: int) -> None:
        self.begun = self.told = time.monotonic()
        self.before = before

    def _tell(self, trainer: Trainer, unit: str, done: int, total: float) -> None:
        now = time.monotonic()
        if now - self.told < self.every or done <= self.before or done >= total or not trainer.is_global_zero:
            return
        self.told = now
        left = (total - done) * (now - self.begun) / (done - self.before)
        rest = "" if total == float("inf") else f" of {total:.0f}, about {duration(left)} left"
        log.info("%s %d%s", unit, done, rest)


def duration(seconds: float) -> str:
    """Return seconds in words: `40 s`, `12 min`, `3 h 05 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
