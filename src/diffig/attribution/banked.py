"""Methods that draw references of their own from a bank of images and have no use for a baseline."""

from __future__ import annotations

from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.baselines import Baseline, Dataset
from diffig.scores import ScoreFunction


class BankedAttributor(Attributor):
    """An attributor with a bank of references.

    Args:
        score, baseline, seed: as in `Attributor`.
        references: the bank; the evaluation fills it from the training split. Its `draws` play no part.
    """

    asks_baseline = False

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        references: Dataset | None = None,
    ) -> None:
        super().__init__(score, baseline, seed)
        self.references = references or Dataset()

    def _bank(self, images: Tensor) -> Tensor:
        """The bank `(N, C, H, W)`; ValueError where it is empty or holds images of another size."""
        return self.references.checked_bank(images, self.name, "references=Dataset(bank=train_images)")
