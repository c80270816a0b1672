"""Training of learned guidance: regression of a clean path's label on the noisy path."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn.functional import mse_loss

from diffig.diffusion.denoisers.dit1d import DiT1DRegressor
from diffig.diffusion.noise import NoiseSchedule
from diffig.diffusion.prior import PathBatch
from diffig.io import write_json, write_tensors
from diffig.method.guidance.learned import PathScore, Quantity
from diffig.optimisation import adamw_with_cosine
from diffig.renamed import old_arguments

TIMES = (0.0, 0.25, 0.5, 0.75)  # noise times that validation looks at


@old_arguments(schedule="noise_schedule", lr="learning_rate")
class PathScoreTraining(LightningModule):
    """Learns `J(gamma^0)` from `gamma^t` by squared error (Kim, Lee and Choi 2026). It draws nothing itself.

    The trainer's data module is a `ScoredPathData`; validation leaves `predictions.safetensors` and `correlation.json`
    in the trainer's folder.

    Args:
        length, dim: points and coordinates of the sequences.
        noise_schedule: the one that the prior to be guided has; None takes that of a new latent prior.
        quantity: `faithfulness` or `complexity`.
        size, width, depth, heads: of the `DiT1DRegressor`.
        learning_rate, weight_decay: of AdamW; the rate warms up for `warmup` steps and falls along a cosine to 0.
        compile: compile the regressor in place (its keys stay as they are).
        centre: what the data module was told, see `ScoredPathData`.
    """

    def __init__(
        self,
        length: int,
        dim: int,
        noise_schedule: NoiseSchedule | None = None,
        quantity: Quantity = "faithfulness",
        size: str = "tiny",
        width: int | None = None,
        depth: int | None = None,
        heads: int | None = None,
        learning_rate: float = 2e-4,
        weight_decay: float = 1e-4,
        warmup: int = 50,
        compile: bool = False,
        centre: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["noise_schedule"])
        regressor = DiT1DRegressor(length, dim, size, width, depth, heads)
        self.centre = centre
        self.path_score = PathScore(regressor, quantity, noise_schedule=noise_schedule or NoiseSchedule(levels=100))
        self.learning_rate, self.weight_decay, self.warmup = learning_rate, weight_decay, warmup
        self._seen: list[tuple[Tensor, ...]] = []
        if compile:
            regressor.compile()

    def setup(self, stage: str) -> None:
        """Take mean and standard deviation of the labels from the trainer's data module."""
        self.standardise(self.trainer.datamodule)  # type: ignore[attr-defined]

    def standardise(self, data: Any) -> None:
        """Take mean and standard deviation of the labels of a `ScoredPathData`.

        Raises:
            ValueError: all labels are alike.
        """
        score, found = self.path_score, data.statistics[self.path_score.quantity]
        if not found["std"] > 0:
            raise ValueError(
                f"all labels of {score.quantity} in {data.folder} are {found['mean']:.4g}; there is nothing to learn: "
                "look at the classifier and the objective they were made with"
            )
        # Numbers and not buffers: they belong to the labels, and the average of the weights leaves them alone.
        score.mean, score.std = found["mean"], found["std"]
        score.space, score.training_metadata = data.space_description, data.training_metadata

    def noisy(self, batch: PathBatch, times: Tensor) -> Tensor:
        """Return the batch's paths `(B, T + 1, d)` at noise levels `times` `(B,)`; both ends stay clean."""
        clean, noise = batch["clean"], batch["noise"]
        alpha, sigma = (level[:, None, None] for level in self.path_score.noise_schedule(times))
        inner = (alpha * clean + sigma * noise)[:, 1:-1]
        return torch.cat([clean[:, :1], inner, clean[:, -1:]], 1)

    def wanted(self, batch: PathBatch) -> Tensor:
        """Return the standardised labels `(B,)`."""
        return (batch[self.path_score.quantity] - self.path_score.mean) / self.path_score.std

    def training_step(self, batch: PathBatch, batch_index: int) -> Tensor:
        """Return the squared error of one batch."""
        times = self.path_score.noise_schedule.training_times(batch["time"])
        loss = mse_loss(self.path_score(self.noisy(batch, times), times), self.wanted(batch))
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self._seen = []

    def validation_step(self, batch: PathBatch, batch_index: int) -> None:
        """Predict at each of `TIMES`."""
        columns = []
        for time in TIMES:
            times = torch.full_like(batch["time"], time)
            columns.append(self.path_score(self.noisy(batch, times), times).float())
        self._seen.append((batch["k"], batch["image"], self.wanted(batch).float(), torch.stack(columns, 1)))

    def on_validation_epoch_end(self) -> None:
        """Log errors and correlations over all held-out paths."""
        numbers, images, wanted, predicted = (torch.cat(column) for column in zip(*self._seen, strict=True))
        if self.trainer.world_size > 1:
            parts = self.all_gather((numbers, images, wanted, predicted))
            numbers, images, wanted, predicted = (part.flatten(0, 1) for part in parts)
        # Ranks of unequal share see some paths twice: each counts once, in the order of its number.
        numbers, places = numbers.unique(return_inverse=True)
        first = torch.zeros_like(numbers).scatter_(0, places, torch.arange(len(places), device=places.device))
        images, wanted, predicted = images[first], wanted[first], predicted[first]
        errors = (predicted - wanted[:, None]).square().mean(0)
        self.log("val/loss", errors.mean(), prog_bar=True, sync_dist=True)
        found: dict[str, list[float]] = {"mse": errors.tolist(), "pearson": [], "spearman": [], "within_image": []}
        for column, time in enumerate(TIMES):
            pearson = correlation(predicted[:, column], wanted)
            spearman = correlation(ranks(predicted[:, column]), ranks(wanted))
            self.log(f"val/corr_t{time:.2f}", pearson, sync_dist=True)
            self.log(f"val/rank_corr_t{time:.2f}", spearman, sync_dist=True)
            found["pearson"].append(float(pearson))
            found["spearman"].append(float(spearman))
            # What differs between paths of one image is all that guidance can change.
            within = correlation(apart(predicted[:, column], images), apart(wanted, images))
            self.log(f"val/within_corr_t{time:.2f}", within, sync_dist=True)
            found["within_image"].append(float(within))
        if self.trainer.is_global_zero and not self.trainer.sanity_checking:
            self._keep({"k": numbers, "true": wanted, "predicted": predicted}, found)

    def _keep(self, columns: dict[str, Tensor], found: dict[str, list[float]]) -> None:
        folder, score = FilePath(self.trainer.default_root_dir), self.path_score
        about: dict[str, Any] = {"quantity": score.quantity, "mean": score.mean, "std": score.std}
        about |= {"step": self.global_step, "paths": len(columns["k"]), "times": list(TIMES), **found}
        write_tensors(folder / "predictions.safetensors", columns)
        write_json(folder / "correlation.json", about)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW with a linear warm-up and a cosine to 0 over the trainer's steps."""
        return adamw_with_cosine(
            self.path_score.parameters(), self.trainer, self.learning_rate, self.weight_decay, self.warmup
        )

    def export(self, output: str | FilePath, training_metadata: dict[str, Any] | None = None) -> None:
        """Write `path_score.safetensors` into the folder `output`; the metadata join what is known of the labels."""
        self.path_score.training_metadata = {**self.path_score.training_metadata, **(training_metadata or {})}
        self.path_score.save(FilePath(output) / "path_score.safetensors")


def correlation(left: Tensor, right: Tensor) -> Tensor:
    """Return Pearson's correlation of two columns `(n,)`; 0 where one of them is constant."""
    left, right = left.double() - left.double().mean(), right.double() - right.double().mean()
    size = left.norm() * right.norm()
    return torch.where(size > 0, (left * right).sum() / torch.where(size > 0, size, 1), 0).float()


def apart(column: Tensor, images: Tensor) -> Tensor:
    """Return `column` `(n,)` minus its mean over the rows of the same image."""
    _, group, counts = images.unique(return_inverse=True, return_counts=True)
    total = torch.zeros(len(counts), dtype=column.dtype, device=column.device).index_add_(0, group, column)
    return column - (total / counts)[group]


def ranks(column: Tensor) -> Tensor:
    """Return the ranks `(n,)` from 0; equal numbers share the mean of theirs."""
    _, places, counts = column.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0)
    return (last - (counts + 1) / 2)[places]
