"""Training of a path model: denoising of paths drawn from the stick-breaking distribution, in whatever space."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from diffig.diffusion.prior import PathBatch, PathPrior
from diffig.io import write_picture
from diffig.optimisation import adamw_with_cosine
from diffig.renamed import old_arguments


@old_arguments(lr="learning_rate")
class PathDiffusion(LightningModule):
    """Learns a distribution of paths (Ho, Jain and Abbeel 2020). It draws nothing: noise and times lie in the batch.

    Args:
        prior: the denoiser with its noise schedule; `FieldPrior` or `LatentPrior`.
        learning_rate, weight_decay: of AdamW; the rate warms up for `warmup` steps and falls along a cosine to 0.
        sample_steps: denoising steps of the samples looked at in validation.
        compile: compile the denoiser in place (its keys stay as they are).
    """

    def __init__(
        self,
        prior: PathPrior,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-4,
        warmup: int = 50,
        sample_steps: int = 10,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["prior"])
        self.prior = prior
        self.learning_rate, self.weight_decay, self.warmup, self.sample_steps = (
            learning_rate,
            weight_decay,
            warmup,
            sample_steps,
        )
        if compile:
            prior.denoiser.compile()

    def training_step(self, batch: PathBatch, batch_index: int) -> Tensor:
        """Return the loss of one batch."""
        loss = self.prior.loss(batch)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: PathBatch, batch_index: int) -> None:
        """Log the loss on fixed noise and how far samples are from the distribution."""
        self.log("val/loss", self.prior.loss(batch), prog_bar=True, sync_dist=True)
        errors, samples = self.prior.check(batch, self.sample_steps)
        for name, value in errors.items():
            self.log(f"val/law_{name}", value, sync_dist=True)
        if batch_index == 0 and self.trainer.is_global_zero and not self.trainer.sanity_checking:
            self._picture(batch["clean"], samples)

    def _picture(self, true: Tensor, sampled: Tensor) -> None:
        datamodule: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        folder = FilePath(self.trainer.default_root_dir) / "paths"
        file = folder / f"step{self.global_step:06d}.png"
        write_picture(file, datamodule.picture(true.float(), sampled.float()))
        for logger in self.trainer.loggers:
            if hasattr(logger, "log_image"):
                logger.log_image("paths (true above, sampled below)", [str(file)])

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW with a linear warm-up and a cosine to 0 over the trainer's steps."""
        return adamw_with_cosine(
            self.prior.denoiser.parameters(), self.trainer, self.learning_rate, self.weight_decay, self.warmup
        )

    def export(self, output: FilePath, training_metadata: dict[str, Any] | None = None) -> None:
        """Write `prior.safetensors` into the folder `output`; the metadata join what the prior tells about itself."""
        self.prior.training_metadata = {**self.prior.training_metadata, **(training_metadata or {})}
        self.prior.save(output / "prior.safetensors")
