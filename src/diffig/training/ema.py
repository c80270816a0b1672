"""A moving average of the weights that warms up, so that short runs are not evaluated at their start."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class EMA(WeightAveraging):
    """Exponential moving average with decay `min(decay, (1 + n) / (10 + n))` after `n` updates.

    Args:
        decay: of the average once it is warm.
        device: where the average lives; null keeps it on the CPU while the module is moved after set-up.
    """

    def __init__(self, decay: float = 0.999, device: str | None = None) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay} must lie in [0, 1); 0.999 suits a few thousand steps")

        def average(ema: Tensor, current: Tensor, count: int | Tensor) -> Tensor:
            keep = min(decay, (1 + int(count)) / (10 + int(count)))
            return keep * ema + (1 - keep) * current

        try:
            super().__init__(device=device, use_buffers=False, avg_fn=average)
        except RuntimeError:
            raise ValueError(f"device={device!r} is no device; give cpu, cuda or cuda:0, or null") from None

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average into the module also where a resumed training has no step left, and so no end of its own."""
        if self._average_model is not None:
            self._copy_average_to_current(pl_module)
