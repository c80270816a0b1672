"""Training fields drawn on the fly from the stick-breaking distribution: there is no data set to keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from diffig.checks import check_at_least
from diffig.diffusion.noising import first_counter, noising, stream, taken_in_turn
from diffig.diffusion.prior import PathBatch
from diffig.method.field.space import FieldSpace
from diffig.paths.basis import PixelBasis
from diffig.paths.schedule import Schedule
from diffig.paths.stick_breaking import StickBreakingPath
from diffig.renamed import old_arguments


class FieldSet(Dataset[PathBatch]):
    """Field number `i` of a seed, `clean` `(T - 1, h, w)`, its parameters, and the noise and time of its training."""

    def __init__(
        self,
        size: int,
        seed: int,
        split: str,
        n_segments: int,
        grid: Sequence[int],
        concentration: Sequence[float],
        cell_sizes: Sequence[int],
        first: int = 0,
    ) -> None:
        self.size, self.first = size, first
        self.seed, self.split = seed, split
        self.space = FieldSpace(PixelBasis(), Schedule("together"), n_segments, (grid[0], grid[1]))
        self.cell_sizes, self.concentration = list(cell_sizes), tuple(concentration)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> PathBatch:
        counter = self.first + index
        rng = stream(self.seed, self.split, counter)
        low, high = self.concentration
        concentration = float(low * (high / low) ** rng.random())
        cell_size = int(rng.choice(self.cell_sizes))
        distribution = StickBreakingPath(self.space.n_segments, concentration, cell_size, "shared")
        progress = torch.from_numpy(distribution.progress(rng, 1, *self.space.grid)[:, 0])
        given = torch.tensor(concentration)
        field = self.space.encode(progress, given)
        noise, time = noising(self.seed, self.split, counter, tuple(field.shape))
        return {
            "clean": field,
            "concentration": given,
            "cell_size": torch.tensor(float(cell_size)),
            "noise": noise,
            "time": time,
            "counter": torch.tensor(counter),
        }


@old_arguments(n_knots="n_segments")
class FieldDataModule(LightningDataModule):
    """Batches of whitened fields with the parameters of the distribution they come from.

    Args:
        n_segments, grid: of the fields.
        concentration: range of `a`, drawn log-uniformly.
        cell_sizes: sides of the squares that share one process; the grid of cells is shifted at random.
        samples: fields of one epoch; none is drawn twice.
        val_samples: fields of the validation, always the same.
        batch_size, num_workers: of the loaders, for each device.
        seed: of the fields.
    """

    def __init__(
        self,
        n_segments: int = 16,
        grid: Sequence[int] = (8, 8),
        concentration: Sequence[float] = (1.0, 100.0),
        cell_sizes: Sequence[int] = (1, 2, 4, 8),
        samples: int = 25_600,
        val_samples: int = 1024,
        batch_size: int = 256,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.distribution = {"n_segments": n_segments, "grid": list(grid), "concentration": list(concentration)}
        self.distribution["cell_sizes"] = list(cell_sizes)
        self.samples = check_at_least(samples, 1, "data.samples", "fields of one epoch")
        self.val_samples = check_at_least(val_samples, 2, "data.val_samples", "fields of the validation")
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed

    def _set(self, size: int, split: str, first: int = 0) -> FieldSet:
        return FieldSet(size, self.seed, split, first=first, **self.distribution)  # type: ignore[arg-type]

    @property
    def training_metadata(self) -> dict[str, Any]:
        """What the exported prior tells about what it was trained on."""
        return {**self.distribution, "seed": self.seed}

    def train_dataloader(self) -> DataLoader[PathBatch]:
        """Return the loader of the next fields; the trainer asks anew for every epoch and after a resume."""
        fresh = self._set(self.samples, "train", first=first_counter(self.trainer, self.batch_size))
        mine = taken_in_turn(fresh, self.trainer)
        return DataLoader(fresh, self.batch_size, sampler=mine, num_workers=self.num_workers, drop_last=True)

    def val_dataloader(self) -> DataLoader[PathBatch]:
        """Return the loader of the validation fields."""
        return DataLoader(self._set(self.val_samples, "val"), self.batch_size, num_workers=self.num_workers)

    def picture(self, true: Tensor, sampled: Tensor, count: int = 8) -> Tensor:
        """Return rows of fields `(3, H, W)` in [0, 1], true ones above sampled ones, every other knot in a row."""
        from torchvision.utils import make_grid

        count = min(count, len(true))
        shown = [field[:, ::2].flatten(0, 1)[:, None] for field in (true[:count], sampled[:count])]
        grid = make_grid(torch.cat(shown), nrow=shown[0].shape[0] // count, padding=1, pad_value=1)
        return torch.nn.functional.interpolate(((grid + 3) / 6).clamp(0, 1)[None], scale_factor=4)[0]
