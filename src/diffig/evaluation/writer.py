"""Writes what every batch gave, on every rank, as soon as it is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter

from diffig.evaluation.explainer import Outcome
from diffig.evaluation.rows import RowStore
from diffig.evaluation.thumbnails import ThumbnailStore


class RowWriter(BasePredictionWriter):
    """Writes rows, curves and thumbnails of each batch as parts, and the attributions of the images in the picture.

    Args:
        store: where parts lie.
        shown: dataset indices of the images for the picture.
        thumbnails: where the thumbnails of all images go; None for none.
    """

    def __init__(self, store: RowStore, shown: set[int], thumbnails: ThumbnailStore | None = None) -> None:
        super().__init__("batch")
        self.store, self.shown, self.thumbnails = store, shown, thumbnails

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write one batch; rows come last, because their presence says that the batch is done."""
        assert isinstance(prediction, Outcome)
        for row, index in enumerate(prediction.indices):
            if index in self.shown:
                maps = {title: shown[row] for title, shown in prediction.maps.items()}
                self.store.keep(index, prediction.attributions[row], maps)
        if self.thumbnails:
            self.thumbnails.write(prediction.indices, batch.images, prediction.attributions, trainer.global_rank)
        self.store.write("curves", prediction.curves, trainer.global_rank)
        self.store.write("rows", prediction.rows, trainer.global_rank)
