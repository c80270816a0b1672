"""Checkpoints that a killed run goes on from as if nothing had happened."""

from __future__ import annotations

import time
from math import inf
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn

from diffig.io import KEY, check_version, whole

CHECKPOINT_VERSION = 1


class Checkpoints(ModelCheckpoint):
    """The best state by `monitor`, and `last.ckpt` after each validation, every so many minutes and at the end.

    What Lightning's own callback leaves to its user, this one sees to:
    * `last.ckpt` is the last state, also where validation has become worse;
    * no file is written between the batches of one optimiser step, whose gradients it would lose;
    * `kill` costs no step that was taken: Lightning ends the training after the batch in hand, this one writes it;
    * a file is there as a whole or not at all: it is written beside its place and renamed.

    Args:
        dirpath: folder of the checkpoints.
        minutes: from one `last.ckpt` to the next; 0 writes after each step, None only after validations.
        monitor, mode, save_top_k: of the best ones, as in `ModelCheckpoint`.
    """

    def __init__(
        self,
        dirpath: str | Path,
        minutes: float | None = 10.0,
        monitor: str | None = "val/loss",
        mode: str = "min",
        save_top_k: int = 1,
    ) -> None:
        if minutes is not None and not minutes >= 0:
            raise ValueError(f"minutes={minutes} must be 0 or more; null writes checkpoints after validations only")
        super().__init__(
            dirpath, monitor=monitor, mode=mode, save_top_k=save_top_k, save_last=True, enable_version_counter=False
        )
        self.minutes = minutes
        self._step, self._whole, self._written = 0, True, time.monotonic()
        self._validated = False

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """State the version of what is written."""
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        checkpoint["diffig"] = {KEY: CHECKPOINT_VERSION}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Refuse the checkpoint of a later diffig, which cannot be gone on from."""
        super().on_load_checkpoint(trainer, pl_module, checkpoint)
        place = trainer.ckpt_path or "this checkpoint"
        check_version(checkpoint.get("diffig", {}), place, "a training's checkpoint", CHECKPOINT_VERSION)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        super().on_train_start(trainer, pl_module)
        self._step, self._whole, self._written = trainer.global_step, True, time.monotonic()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Set the step that loggers are told, which Lightning counts one too many of after some resumes."""
        # https://github.com/Lightning-AI/pytorch-lightning/issues/19367; private, and held by the tests of resuming.
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write `last.ckpt` where it is due."""
        self._whole, self._step = trainer.global_step != self._step, trainer.global_step
        self._validated = False
        # A run that goes on from a checkpoint right before a validation would skip it.
        if self.minutes is None or not self._whole or validates_next(trainer, batch_idx):
            return
        due = trainer.received_sigterm or time.monotonic() - self._written >= 60 * self.minutes
        if trainer.strategy.broadcast(due):  # the first rank's clock
            self._write_last(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what is best, and the last state where the epoch goes on."""
        self._validated = True
        if self._whole:
            super().on_validation_end(trainer, pl_module)
            if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking and not trainer.is_last_batch:
                self._keep_last(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what is best and the last state; a training that ends does so here."""
        # Without a validation at its end Lightning would go on with one batch too many of the finished epoch.
        if self._validated or finishes(trainer):
            super().on_train_epoch_end(trainer, pl_module)
            self._keep_last(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write nothing: by now an average may have taken the place of the weights."""

    def _keep_last(self, trainer: Trainer) -> None:
        if self._last_global_step_saved != trainer.global_step:
            self._write_last(trainer)

    def _write_last(self, trainer: Trainer) -> None:
        assert self.dirpath is not None
        self._replace(trainer, str(Path(self.dirpath) / f"{self.CHECKPOINT_NAME_LAST}{self.FILE_EXTENSION}"))
        self._written = time.monotonic()

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        self._replace(trainer, filepath)
        self._last_global_step_saved, self._last_checkpoint_saved = trainer.global_step, filepath

    def _replace(self, trainer: Trainer, filepath: str) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # and not that of a strategy's own
            trainer.strategy.checkpoint_io = InPlace()
        # One part for all ranks, among which some strategies divide a checkpoint.
        with whole(filepath, shared=True, moves=trainer.is_global_zero) as partial:
            trainer.save_checkpoint(partial, weights_only=False)
        trainer.strategy.barrier()


class InPlace(TorchCheckpointIO):
    """Writes checkpoints where they belong; Lightning's own grow in the machine's /tmp first, which is often small."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint; its folder is made."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with Path(path).open("wb") as file:
            torch.save(checkpoint, file)


def validates_next(trainer: Trainer, batch_idx: int) -> bool:
    """Return whether a validation follows batch `batch_idx` of the epoch."""
    if not trainer.enable_validation:
        return False
    every, batches = trainer.check_val_every_n_epoch, float(trainer.val_check_batch or inf)
    if every is None:
        return (trainer.fit_loop.total_batch_idx + 1) % batches == 0
    due = (batch_idx + 1) % batches == 0 or (trainer.is_last_batch and batches == inf)
    return (trainer.current_epoch + 1) % every == 0 and due


def finishes(trainer: Trainer) -> bool:
    """Return whether this epoch is the training's last."""
    steps = 0 <= trainer.max_steps <= trainer.global_step
    epochs = trainer.max_epochs is not None and 0 <= trainer.max_epochs <= trainer.current_epoch + 1
    return steps or epochs or trainer.should_stop
