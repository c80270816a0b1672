"""A training of seconds: on the CPU, without logs, checkpoints or bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from diffig.training.ema import EMA


def trained(module: pl.LightningModule, data: Any, steps: int, folder: Path) -> pl.Trainer:
    """The trainer after `steps` steps, with the moving average of the weights in the module."""
    trainer = pl.Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[EMA(0.9)],
    )
    trainer.fit(module, data)
    return trainer
