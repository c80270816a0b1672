"""Training samples of learned guidance: labelled paths with the noise and the time they are shown at."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from diffig.checks import check_at_least
from diffig.diffusion.noising import first_counter, noising, stream, taken_in_turn
from diffig.diffusion.prior import PathBatch
from diffig.method.guidance.label_manifest import read_labels, read_manifest
from diffig.method.guidance.label_store import SPLITS, LabelTable, Split
from diffig.method.guidance.path_labels import describe_paths
from diffig.method.latent.data import LatentPathData, PathDraws


class ScoredSet(Dataset[PathBatch]):
    """Sample number `first + i`: a labelled path, drawn at random for training and in order for validation."""

    def __init__(self, draws: PathDraws, table: LabelTable, split: Split, seed: int, size: int, first: int = 0) -> None:
        self.draws, self.table, self.split, self.seed = draws, table, split, seed
        self.size, self.first = size, first

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> PathBatch:
        counter, row = self.first + index, index
        if self.split == "train":
            row = int(stream(self.seed, "labelled path", counter).integers(len(self.table.k)))
        k = int(self.table.k[row])
        clean = self.draws.draw(k)[0]
        noise, time = noising(self.seed, f"{self.split} score", counter, tuple(clean.shape))
        labels = {"faithfulness": self.table.faithfulness[row], "complexity": self.table.complexity[row]}
        numbers = {"k": torch.tensor(k), "image": self.table.position[row], "counter": torch.tensor(counter)}
        return {"clean": clean, "noise": noise, "time": time, **labels, **numbers}


class ScoredPathData(LightningDataModule):
    """Batches of labelled paths: `clean` and `noise` `(B, T + 1, d)`, `time`, `faithfulness`, `complexity`, `k` `(B,)`.

    Args:
        data: the paths; its seed is that of the noise too.
        labels: folder of the labels that `PathLabels` made of these paths.
        samples: of one epoch; None takes that of `data`.
        batch_size, num_workers: of the loaders, for each device; None takes those of `data`.
        centre: take from each label the mean of its image's labels. Most of what makes one attribution more faithful
            than another is the image; only what is left differs between its paths, and guidance can change nothing
            else. Needs several paths for each image: set `latents.images` and `latents.val_images`.
    """

    def __init__(
        self,
        data: LatentPathData,
        labels: str | FilePath,
        samples: int | None = None,
        batch_size: int | None = None,
        num_workers: int | None = None,
        centre: bool = False,
    ) -> None:
        super().__init__()
        self.data, self.folder, self.centre = data, FilePath(labels), centre
        self.samples = check_at_least(data.samples if samples is None else samples, 1, "samples", "paths of one epoch")
        self.batch_size = data.batch_size if batch_size is None else batch_size
        self.num_workers = data.num_workers if num_workers is None else num_workers
        self._tables: dict[Split, LabelTable] = {}

    def setup(self, stage: str | None = None) -> None:
        """Encode the images and read the labels, once.

        Raises:
            FileNotFoundError: the labels are not complete.
            ValueError: they are labels of other paths.
        """
        if not self._tables:
            self.data.setup()
            depends = {"paths": describe_paths(self.data)}
            self.manifest: dict[str, Any] = read_manifest(self.folder, depends)
            tables = {split: read_labels(self.folder, split) for split in SPLITS}
            self._tables = {split: centred(table) for split, table in tables.items()} if self.centre else tables

    @property
    def statistics(self) -> dict[str, dict[str, float]]:
        """`mean` and `std` of the training labels of each quantity."""
        self.setup()
        table = self._tables["train"]
        columns = {"faithfulness": table.faithfulness.double(), "complexity": table.complexity.double()}
        return {name: {"mean": float(column.mean()), "std": float(column.std())} for name, column in columns.items()}

    @property
    def training_metadata(self) -> dict[str, Any]:
        """What an exported path score tells about its labels."""
        self.setup()
        depends = self.manifest["depends"]
        named = {key: depends[key] for key in ("classifier", "objective", "steps", "target")}
        named["centre"] = self.centre
        return {"labels": {"count": self.manifest["count"], "fingerprint": self.manifest["fingerprint"], **named}}

    @property
    def space_description(self) -> dict[str, Any]:
        """What the paths are, as the labels say it."""
        self.setup()
        paths: dict[str, Any] = self.manifest["depends"]["paths"]
        return paths

    def _set(self, split: Split, size: int, first: int = 0) -> ScoredSet:
        self.setup()
        return ScoredSet(self.data.draws(split), self._tables[split], split, self.data.seed, size, first)

    def train_dataloader(self) -> DataLoader[PathBatch]:
        """Return the loader of the next samples; the trainer has to ask anew for every epoch."""
        fresh = self._set("train", self.samples, first_counter(self.trainer, self.batch_size))
        mine = taken_in_turn(fresh, self.trainer)
        return DataLoader(fresh, self.batch_size, sampler=mine, num_workers=self.num_workers, drop_last=True)

    def val_dataloader(self) -> DataLoader[PathBatch]:
        """Return the loader of all labelled paths of held-out images, in order."""
        self.setup()
        held_out = self._set("val", len(self._tables["val"].k))
        return DataLoader(held_out, self.batch_size, num_workers=self.num_workers)


def centred(table: LabelTable) -> LabelTable:
    """Return the labels minus the mean over the paths of the same image and reference.

    Raises:
        ValueError: there are images with one path only, whose labels would all be 0.
    """
    keys = torch.stack([table.position, table.reference], 1)
    _, group, counts = keys.unique(dim=0, return_inverse=True, return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            f"{int((counts < 2).sum())} of {len(counts)} images have one labelled path, and centred labels compare "
            "paths of one image; lower latents.images and latents.val_images, or raise the labels' count and val_count"
        )

    def without_mean(column: Tensor) -> Tensor:
        total = torch.zeros(len(counts), dtype=column.dtype).index_add_(0, group, column)
        return column - (total / counts)[group]

    quantities = {"faithfulness": table.faithfulness, "complexity": table.complexity}
    return table._replace(**{name: without_mean(column) for name, column in quantities.items()})
