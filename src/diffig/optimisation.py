"""How networks are optimised: AdamW, a linear warm-up, a cosine to 0."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch.nn import Parameter
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

if TYPE_CHECKING:
    from lightning.pytorch import Trainer
    from lightning.pytorch.utilities.types import OptimizerLRScheduler


def adamw_with_cosine(
    parameters: Iterable[Parameter], trainer: Trainer, learning_rate: float, weight_decay: float, warmup: int
) -> OptimizerLRScheduler:
    """Return what `configure_optimizers` returns: AdamW whose rate rises for `warmup` steps, then falls to 0.

    Args:
        parameters: what is optimised.
        trainer: whose number of optimiser steps the cosine spans.
        learning_rate, weight_decay: of AdamW.
        warmup: steps, at most half of all.
    """
    optimizer = torch.optim.AdamW(parameters, learning_rate, weight_decay=weight_decay)
    total = max(2, int(trainer.estimated_stepping_batches))
    rise = max(1, min(warmup, total // 2))
    rising = LinearLR(optimizer, 1 / rise, total_iters=rise)
    schedule = SequentialLR(optimizer, [rising, CosineAnnealingLR(optimizer, total - rise)], [rise])
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
