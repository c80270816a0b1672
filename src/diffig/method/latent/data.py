"""Training paths of the published DiffIG: stick-breaking sequences between the latents of baselines and images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from diffig.baselines import Baseline, Constant
from diffig.checks import check_at_least
from diffig.data.module import ImageDataModule
from diffig.diffusion.noising import first_counter, noising, stream, taken_in_turn
from diffig.diffusion.prior import PathBatch
from diffig.method.field.sequence import FieldSequence
from diffig.method.latent.space import LatentSpace
from diffig.paths.stick_breaking import draw_concentration
from diffig.randomness import Streams

Split = Literal["train", "val"]


class Place(NamedTuple):
    """Which reference and which image of its split a path joins."""

    reference: int
    image: int


class PathDraws:
    """An endless numbered list of paths; number `k` is the same whoever asks.

    Args:
        starts: `(R, n, d)` latents of the references of each image.
        ends: `(n, d)` latents of the images.
        space: draws the sequences.
        concentration: range of `a`, drawn log-uniformly.
        seed, split: of the streams.
    """

    def __init__(
        self,
        starts: Tensor,
        ends: Tensor,
        space: LatentSpace | FieldSequence,
        concentration: Sequence[float],
        seed: int,
        split: Split,
    ) -> None:
        self.starts, self.ends, self.space = starts, ends, space
        self.concentration, self.seed, self.split = tuple(concentration), seed, split
        self._orders: dict[int, Tensor] = {}

    def place(self, k: int) -> Place:
        """Return what path `k` joins: all images once, in random order, before any comes twice; references in turn."""
        count = len(self.ends)
        turn, position = divmod(k, count)
        if turn not in self._orders:
            order = stream(self.seed, f"{self.split} order", turn).permutation(count)
            self._orders = {turn: torch.from_numpy(order)}  # one turn at a time is asked for
        return Place(k % len(self.starts), int(self._orders[turn][position]))

    def draw(self, k: int) -> tuple[Tensor, float]:
        """Return path `k` `(T + 1, d)` and its concentration."""
        reference, image = self.place(k)
        rng = stream(self.seed, f"{self.split} path", k)
        concentration = draw_concentration(rng, self.concentration)
        return self.space.sequence(self.starts[reference, image], self.ends[image], concentration, rng), concentration


class SequenceSet(Dataset[PathBatch]):
    """Sample number `first + i` of a training: a clean path with the noise and the time it is trained at."""

    def __init__(self, draws: PathDraws, size: int, first: int = 0) -> None:
        self.draws, self.size, self.first = draws, size, first

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> PathBatch:
        counter = self.first + index
        clean, concentration = self.draws.draw(counter)
        noise, time = noising(self.draws.seed, self.draws.split, counter, tuple(clean.shape))
        numbers = {"concentration": torch.tensor(concentration), "counter": torch.tensor(counter)}
        return {"clean": clean, "noise": noise, "time": time, **numbers}


class LatentPathData(LightningDataModule):
    """Batches of sequences between latents of a dataset's images and of their baselines.

    Args:
        dataset: its training images make the training paths, its validation images the others.
        space: latent coordinates, whose autoencoder encodes every image once, or fields as sequences.
        baseline: where paths start; several references take turns.
        concentration: range of `a`, drawn log-uniformly; the paper's is 1 to 20.
        images, val_images: how many training and validation images are used, chosen at random; None for all. The
            number of paths stays `samples`, so fewer images have more paths each.
        samples: paths of one epoch; none is drawn twice.
        val_samples: paths of the validation, always the same.
        batch_size, num_workers: of the loaders, for each device.
        seed: of the paths and of the noise.
    """

    def __init__(
        self,
        dataset: ImageDataModule,
        space: LatentSpace | FieldSequence,
        baseline: Baseline | None = None,
        concentration: Sequence[float] = (1.0, 20.0),
        images: int | None = None,
        val_images: int | None = None,
        samples: int = 12_800,
        val_samples: int = 256,
        batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.dataset, self.space, self.baseline = dataset, space, baseline or Constant(0.0)
        self.concentration, self.seed = (float(concentration[0]), float(concentration[1])), int(seed)
        self.limits = {"train": images, "val": val_images}
        self.samples = check_at_least(samples, 1, "latents.samples", "paths of one epoch")
        self.val_samples = check_at_least(val_samples, 2, "latents.val_samples", "paths of the validation")
        self.batch_size, self.num_workers = batch_size, num_workers
        self._draws: dict[str, PathDraws] = {}
        self._positions: dict[str, Tensor] = {}

    def setup(self, stage: str | None = None) -> None:
        """Encode the images of both parts and their references, once."""
        if self._draws:
            return
        self.dataset.setup()
        for split in ("train", "val"):
            count = len(self._part(split))
            order = torch.from_numpy(stream(self.seed, f"{split} images", 0).permutation(count))
            self._positions[split] = order[: self.limits[split]]
            self._draws[split] = self._encoded(split)

    def _part(self, split: str) -> Any:
        return self.dataset.train_set if split == "train" else self.dataset.val_set

    def _encoded(self, split: Any, chunk_size: int = 64) -> PathDraws:
        starts, ends = [], []
        for positions in torch.arange(len(self._positions[split])).split(chunk_size):
            images, _, indices = self._load(split, positions)
            ends.append(self.space.encode(images))
            references = self.baseline.references(images, Streams(self.seed, indices))
            starts.append(torch.stack([self.space.encode(reference) for reference in references]))
        return PathDraws(torch.cat(starts, 1), torch.cat(ends), self.space, self.concentration, self.seed, split)

    def _load(self, split: str, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        part = self._part(split)
        items = [part[int(self._positions[split][position])] for position in positions]
        images = torch.stack([item[0] for item in items])
        labels, indices = (torch.tensor([int(item[place]) for item in items]) for place in (1, 2))
        return images, labels, indices

    def images(self, split: Split, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return images `(n, C, H, W)` and labels `(n,)` at `positions` `(n,)` of a split, as `Place.image` counts."""
        images, labels, _ = self._load(split, positions)
        return images, labels

    def references(self, split: Split, positions: Tensor, reference: Tensor) -> Tensor:
        """Return the baselines `(n, C, H, W)` of images at `positions`, number `reference` `(n,)` of each."""
        images, _, indices = self._load(split, positions)
        every = torch.stack(self.baseline.references(images, Streams(self.seed, indices)))
        return every[reference, torch.arange(len(images))]

    def draws(self, split: Split) -> PathDraws:
        """Return the numbered paths of a split."""
        self.setup()
        return self._draws[split]

    @property
    def shape(self) -> tuple[int, int]:
        """Points and coordinates `(T + 1, d)` of a sequence."""
        return self.space.n_segments + 1, self.draws("train").ends.shape[1]

    @property
    def training_metadata(self) -> dict[str, Any]:
        """What an exported prior tells about what it was trained on."""
        # `n_knots` is the word of label stores, whose mark this is part of: another word would make them other labels.
        drawn = {
            "n_knots": self.space.n_segments,
            "spacing": self.space.spacing,
            "concentration": list(self.concentration),
        }
        data = {"dataset": self.dataset.name, "images": len(self.draws("train").ends), "baseline": self.baseline.name}
        field = self.space.description if isinstance(self.space, FieldSequence) else {}
        return {**drawn, **field, **data, "seed": self.seed}

    def train_dataloader(self) -> DataLoader[PathBatch]:
        """Return the loader of the next paths; the trainer asks anew for every epoch and after a resume."""
        fresh = SequenceSet(self.draws("train"), self.samples, first_counter(self.trainer, self.batch_size))
        mine = taken_in_turn(fresh, self.trainer)
        return DataLoader(fresh, self.batch_size, sampler=mine, num_workers=self.num_workers, drop_last=True)

    def val_dataloader(self) -> DataLoader[PathBatch]:
        """Return the loader of the validation paths."""
        held_out = SequenceSet(self.draws("val"), self.val_samples)
        return DataLoader(held_out, self.batch_size, num_workers=self.num_workers)

    @torch.no_grad()
    def picture(self, true: Tensor, sampled: Tensor, count: int = 3, points: int = 9) -> Tensor:
        """Return decoded paths `(3 or C, H, W)` in [0, 1], each true one above the sampled one of the same ends."""
        from torchvision.utils import make_grid

        assert isinstance(self.space, LatentSpace), "sequences of fields have no model of their own"
        count = min(count, len(true))
        shown = torch.linspace(0, true.shape[1] - 1, min(points, true.shape[1])).round().long()
        pairs = torch.stack([true[:count], sampled[:count]], 1).flatten(0, 1)[:, shown].cpu()
        first = self.dataset.val_set.image(0)
        latents = self.space.grid(pairs, first[None]).flatten(0, 1)
        images = torch.cat([self.space.autoencoder.decode(part) for part in latents.split(64)])
        grid = make_grid(images, nrow=len(shown), padding=1, pad_value=1)
        return torch.nn.functional.interpolate(grid[None], scale_factor=max(1, 96 // first.shape[-1]))[0]
