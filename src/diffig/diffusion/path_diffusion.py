"""Training of the path model: denoising of stick-breaking fields."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from diffig.diffusion.field_data import FieldBatch
from diffig.diffusion.law import law_errors
from diffig.diffusion.noise import LAST, Prediction, cosine, target
from diffig.diffusion.prior import FieldPrior


class PathDiffusion(LightningModule):
    """Learns the law of fields (Ho, Jain and Abbeel 2020, with v- or epsilon-prediction and a cosine schedule).

    Args:
        denoiser: predicts from `(noisy, times, concentration, cell_size)`.
        prediction: `v` or `epsilon`.
        lr, weight_decay: of AdamW; the rate warms up for `warmup` steps and falls along a cosine to 0.
        sample_steps: denoising steps of the samples looked at in validation.
        compile: compile the denoiser in place (its keys stay as they are).
        seed: of noise and times, keyed by rank and step so that ranks differ and a resumed run does not repeat.
    """

    def __init__(
        self,
        denoiser: nn.Module,
        prediction: Prediction = "v",
        lr: float = 2e-3,
        weight_decay: float = 1e-4,
        warmup: int = 50,
        sample_steps: int = 10,
        compile: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["denoiser"])
        self.prior = FieldPrior(denoiser, prediction)
        self.lr, self.weight_decay, self.warmup = lr, weight_decay, warmup
        self.sample_steps, self.seed = sample_steps, seed
        if compile:
            denoiser.compile()

    def _generator(self, split: str, batch_index: int) -> torch.Generator:
        step = self.global_step if split == "train" else 0
        parts = (self.seed, self.global_rank, step, batch_index, int(split == "train"))
        key = 0
        for part in parts:
            key = (key * 1_000_003 + part + 1) % (2**63 - 1)
        return torch.Generator(self.device).manual_seed(key)

    def loss(self, batch: FieldBatch, generator: torch.Generator) -> Tensor:
        """Return the denoising error (scalar) of a batch at stratified noise levels."""
        clean = batch["field"]
        count = len(clean)
        # One level in each of `count` slices of time: the same mean with less noise than independent draws.
        offset = torch.rand(count, generator=generator, device=clean.device, dtype=clean.dtype)
        slots = torch.randperm(count, generator=generator, device=clean.device)
        times = LAST * (slots + offset) / count
        noise = torch.randn(clean.shape, generator=generator, device=clean.device, dtype=clean.dtype)
        alpha, sigma = (level[:, None, None, None] for level in cosine(times))
        noisy = alpha * clean + sigma * noise
        output = self.prior.denoiser(noisy, times, batch["concentration"], batch["cell_size"])
        wanted = target(clean, noise, alpha, sigma, self.prior.prediction)
        return nn.functional.mse_loss(output, wanted)

    def training_step(self, batch: FieldBatch, batch_index: int) -> Tensor:
        """Return the loss of one batch."""
        loss = self.loss(batch, self._generator("train", batch_index))
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: FieldBatch, batch_index: int) -> None:
        """Log the loss on fixed noise and how far samples are from the law."""
        generator = self._generator("val", batch_index)
        self.log("val/loss", self.loss(batch, generator), prog_bar=True, sync_dist=True)
        noise = torch.randn(batch["field"].shape, generator=generator, device=self.device)
        samples = self.prior.sample(noise, batch["concentration"], batch["cell_size"], self.sample_steps)
        for name, value in law_errors(samples, batch["cell_size"]).items():
            self.log(f"val/law_{name}", value, sync_dist=True)
        if batch_index == 0 and self.trainer.is_global_zero and not self.trainer.sanity_checking:
            self._picture(batch["field"], samples)

    def _picture(self, true: Tensor, sampled: Tensor, count: int = 8) -> None:
        """Rows of fields, true ones above sampled ones, every other knot from left to right."""
        from torchvision.utils import make_grid, save_image

        count = min(count, len(true))
        shown = [field[:, ::2].flatten(0, 1)[:, None] for field in (true[:count].float(), sampled[:count].float())]
        grid = make_grid(torch.cat(shown), nrow=shown[0].shape[0] // count, padding=1, pad_value=1)
        grid = nn.functional.interpolate(((grid + 3) / 6).clamp(0, 1)[None], scale_factor=4)[0]
        folder = FilePath(self.trainer.default_root_dir) / "fields"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"step{self.global_step:06d}.png"
        save_image(grid, file)
        for logger in self.trainer.loggers:
            if hasattr(logger, "log_image"):
                logger.log_image("fields (true above, sampled below)", [str(file)])

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW with a linear warm-up and a cosine to 0 over the trainer's steps."""
        optimizer = torch.optim.AdamW(self.prior.denoiser.parameters(), self.lr, weight_decay=self.weight_decay)
        total = max(2, int(self.trainer.estimated_stepping_batches))
        warmup = max(1, min(self.warmup, total // 2))
        rising = LinearLR(optimizer, 1 / warmup, total_iters=warmup)
        schedule = SequentialLR(optimizer, [rising, CosineAnnealingLR(optimizer, total - warmup)], [warmup])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def export(self, path: str | FilePath, facts: dict[str, Any] | None = None, half: bool = False) -> None:
        """Write the denoiser as a `FieldPrior` file."""
        self.prior.facts = dict(facts or {})
        self.prior.save(path, half)
