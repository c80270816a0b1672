"""What `diffig-evaluate` leaves of a run, left by a call in a notebook: rows, curves, small pictures and names."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from diffig.evaluation.explainer import Outcome
from diffig.evaluation.metric_info import write_metric_info
from diffig.evaluation.rows import COLUMNS, RowStore
from diffig.evaluation.thumbnails import ThumbnailStore
from diffig.io import write_json
from diffig.metrics import MetricSuite
from diffig.report.of_rows import UNSAID
from diffig.tracking.environment import environment

SIDE = 48  # pixels of the small pictures


class Keeper:
    """The folder of one method.

    Args:
        folder: is made; what an earlier call has left there goes.
        suite: what the method is judged by.
        categories: names of the classes, where they are known.
    """

    def __init__(self, folder: Path, suite: MetricSuite, categories: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.rows, self.pictures = RowStore(folder, secrets.token_hex()), ThumbnailStore(folder, SIDE)
        self.rows.prepare()
        self.indices: set[int] = set()
        write_metric_info(folder, suite.describe())
        write_json(folder / "environment.json", environment())
        write_json(folder / "classes.json", [str(name) for name in categories])

    def add(self, images: Tensor, outcome: Outcome) -> None:
        """Keep a batch `(B, C, H, W)` and what came of it."""
        self.indices |= set(outcome.indices)
        self.pictures.write(outcome.indices, images, outcome.attributions)
        self.rows.write("curves", outcome.curves)
        unsaid = dict.fromkeys(COLUMNS) | UNSAID
        self.rows.write("rows", [{**unsaid, **row} for row in outcome.rows])

    def finish(self) -> None:
        """Put the parts together."""
        self.pictures.merge(self.indices)
        self.rows.merge(self.indices)
