"""Training of an image diffusion model with Lightning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path as FilePath
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from diffig.checks import check_at_least
from diffig.data.batch import Batch
from diffig.data.module import ImageDataModule
from diffig.diffusion.noising import GOLDEN
from diffig.generative.image_diffusion import ImageDiffusion
from diffig.io import write_picture
from diffig.optimisation import adamw_with_cosine
from diffig.randomness import Streams
from diffig.renamed import old_arguments


@old_arguments(lr="learning_rate")
class ImageDiffusionTraining(LightningModule):
    """Trains an image diffusion model by the mean squared error of what it predicts (Ho, Jain and Abbeel 2020).

    Logs `train/loss`, and `val/loss` on noise that is the same for the same image. Each validation draws samples.

    Args:
        diffusion: trained in place, a loaded one is fine-tuned; or what builds one from a number of image channels.
        image_shape: `(C, H, W)`; needed where `diffusion` is still to be built.
        learning_rate, weight_decay: of AdamW; the rate warms up for `warmup` steps and falls along a cosine to 0.
        sample_steps: denoising steps of the samples in the picture.
        val_pictures: samples in it.
        seed: of noise and levels, keyed by rank and step: a resumed run does not repeat.
    """

    def __init__(
        self,
        diffusion: ImageDiffusion | Callable[[int], ImageDiffusion],
        image_shape: Sequence[int] | None = None,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.0,
        warmup: int = 50,
        sample_steps: int = 25,
        val_pictures: int = 8,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if learning_rate <= 0:
            raise ValueError(
                f"module.learning_rate={learning_rate} must be positive; 2e-3 suits small networks, 1e-4 large ones"
            )
        check_at_least(sample_steps, 1, "module.sample_steps", "denoising steps")
        if not isinstance(diffusion, ImageDiffusion):
            if image_shape is None:
                raise ValueError("image_shape=None: give the (C, H, W) that the diffusion model is to be built for")
            diffusion = diffusion(int(image_shape[0]))
        if image_shape is not None and image_shape[0] != diffusion.image_channels:
            raise ValueError(
                f"images have {image_shape[0]} channels, the diffusion model {diffusion.image_channels}; fine-tune one "
                "that was trained on such images, or build a new one (module.diffusion)"
            )
        self.save_hyperparameters(ignore=["diffusion", "image_shape"])
        self.diffusion = diffusion.requires_grad_(True)
        self.learning_rate, self.weight_decay, self.warmup = learning_rate, weight_decay, warmup
        self.sample_steps, self.val_pictures, self.seed = sample_steps, val_pictures, seed

    def generator(self, batch_index: int) -> torch.Generator:
        """Return the random numbers of a training step, the same on every device."""
        key = 0
        for part in (self.seed, self.global_rank, self.global_step, batch_index):
            key = (key * 1_000_003 + part + 1) % (2**63 - 1)
        return torch.Generator().manual_seed(key)

    def loss(self, images: Tensor, noise: Tensor, uniform: Tensor) -> Tensor:
        """Return the error of what the network predicts.

        Args:
            images: `(B, C, H, W)` in [0, 1].
            noise: shaped alike.
            uniform: `(B,)` numbers in [0, 1) that choose the levels.
        """
        levels = (uniform * self.diffusion.levels).long().clamp_max(self.diffusion.levels - 1).to(images.device)
        signal, sigma = self.diffusion.shares(levels)
        clean = 2 * images - 1
        output = self.diffusion.output(signal * clean + sigma * noise, levels)
        kind = self.diffusion.noise_schedule["prediction_type"]
        wanted = {"epsilon": noise, "sample": clean}.get(kind, signal * noise - sigma * clean)
        return (output - wanted).square().mean()

    def on_fit_end(self) -> None:
        """Leave the model in evaluation mode."""
        self.diffusion.eval()

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Return the loss of one batch, its levels spread evenly."""
        generator = self.generator(batch_index)
        noise = torch.randn(batch.images.shape, generator=generator).to(batch.images)
        offset = torch.rand((), generator=generator)
        loss = self.loss(batch.images, noise, (offset + torch.arange(len(noise)) * GOLDEN) % 1)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log the loss on fixed noise, and draw samples."""
        streams = Streams(self.seed, batch.indices)
        noise = streams.normal(tuple(batch.images.shape[1:]), purpose="val noise").to(batch.images)
        loss = self.loss(batch.images, noise, streams.uniform((), purpose="val level"))
        self.log("val/loss", loss, prog_bar=True, batch_size=len(noise), sync_dist=True)
        if batch_index == 0 and self.trainer.is_global_zero and not self.trainer.sanity_checking:
            self._picture(batch.images[: self.val_pictures])

    def _picture(self, images: Tensor) -> None:
        """Draw samples below real images, from the same noise at every validation."""
        from torchvision.utils import make_grid

        noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(self.seed)).to(images)
        samples = self.diffusion.sample(noise, min(self.sample_steps, self.diffusion.levels))
        grid = make_grid(torch.cat([images, samples]).float(), nrow=len(images), padding=1, pad_value=0.5)
        scale = max(1, 64 // images.shape[-1])
        grid = grid.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)
        folder = FilePath(self.trainer.default_root_dir) / "samples"
        file = folder / f"step{self.global_step:06d}.png"
        write_picture(file, grid)
        for logger in self.trainer.loggers:
            if hasattr(logger, "log_image"):
                logger.log_image("samples (real images above)", [str(file)])

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW with a linear warm-up and a cosine to 0 over the trainer's steps."""
        return adamw_with_cosine(
            self.diffusion.parameters(), self.trainer, self.learning_rate, self.weight_decay, self.warmup
        )

    def export(
        self, output: str | FilePath, datamodule: ImageDataModule, training_metadata: dict[str, Any] | None = None
    ) -> FilePath:
        """Write `output/image_diffusion/` and return that folder; call it after fitting."""
        self.diffusion.eval()
        about = {"dataset": datamodule.name, "image_shape": list(datamodule.image_shape)}
        folder = FilePath(output) / "image_diffusion"
        self.diffusion.save(folder, {**about, **(training_metadata or {})})
        return folder
