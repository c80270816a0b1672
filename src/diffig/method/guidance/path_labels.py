"""What learned guidance learns: how faithful and how complex the attribution of each training path is.

A label costs `T` gradients, so labels are made once, shard by shard; a run that was killed goes on where it stopped.
Shards lie in `<output>/labels/` as `train-00000.safetensors`; `manifest.json` says that they are all there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from diffig.checks import check_at_least, check_choice
from diffig.integration.integrate import integrate
from diffig.integration.soft_insertion_deletion import RATIOS, soft_insertion_deletion
from diffig.method.guidance.label_manifest import write_manifest
from diffig.method.guidance.label_settings import digest
from diffig.method.guidance.label_store import SPLITS, LabelStore, LabelTable, Split
from diffig.method.latent.data import LatentPathData
from diffig.metrics.sparseness import entropy
from diffig.paths.path import Path
from diffig.scores import ScoreFunction

log = logging.getLogger(__name__)
Target = Literal["label", "prediction"]


def path_labels(path: Path, targets: Tensor, score: ScoreFunction, steps: int | None = None) -> tuple[Tensor, Tensor]:
    """Return faithfulness and complexity, each `(B,)`, of the attributions that integration along a path gives.

    Faithfulness is `soft_insertion_deletion`, in [-1, 1]; complexity the entropy of |A| in nats.

    Args:
        path: `B` clean paths.
        targets: `(B,)` classes.
        score: costs `steps` gradients and 13 forward passes for each path.
        steps: midpoints of the integration; None takes one for each segment.
    """
    attribution = integrate(path, score, targets, "midpoint", steps=steps, nodes="uniform").attribution
    images, baselines = path.images, path.baselines
    return soft_insertion_deletion(attribution, images, baselines, targets, score, unit="element"), entropy(
        attribution.abs().flatten(1)
    )


def describe_paths(data: LatentPathData) -> dict[str, Any]:
    """Return as plain values what the paths of `data` depend on, autoencoder and a sample of the images included."""
    codec = data.space.autoencoder
    seen: dict[str, Tensor] = {}
    for split in SPLITS:
        count = len(data.draws(split).ends)
        seen[split], seen[f"{split} labels"] = data.images(split, torch.arange(min(16, count)))
    weights = digest(codec.state_dict()) if isinstance(codec, nn.Module) else type(codec).__name__
    return {**data.training_metadata, "held_out": count, "autoencoder": weights, "first_images": digest(seen)}


class PathLabels(LightningModule):
    """Makes the labels of path numbers `0, 1, ...` in `Trainer.predict`, on any number of devices.

    Args:
        score: what the attributions explain.
        data: the paths, after `setup()`.
        output: `labels/` is made in this folder.
        count, val_count: paths of training and of held-out images. Asking for more later makes only what is new.
        shard_size: paths in one file, which is what a killed run can lose.
        batch_size: paths at a time.
        steps: midpoints of the integration; None takes one for each segment.
        target: `label` or `prediction`, the class that is explained.
    """

    def __init__(
        self,
        score: ScoreFunction,
        data: LatentPathData,
        output: str | FilePath,
        count: int = 2048,
        val_count: int = 256,
        shard_size: int = 64,
        batch_size: int = 16,
        steps: int | None = None,
        target: Target = "label",
    ) -> None:
        super().__init__()
        check_choice(target, Target, "target")
        self.score, self.data, self.target = score, data, target
        self.counts: dict[Split, int] = {
            "train": check_at_least(count, 2, "module.count", "training paths that get labels"),
            "val": check_at_least(val_count, 2, "module.val_count", "paths of held-out images that get labels"),
        }
        self.shard_size = check_at_least(shard_size, 1, "module.shard_size", "paths in one file")
        self.batch_size = check_at_least(batch_size, 1, "module.batch_size", "paths at a time")
        self.steps = steps if steps is None else check_at_least(steps, 1, "module.steps", "midpoints of a path")
        # Sub-modules, so that the trainer moves them to the device.
        self.classifier = score.classifier
        codec = data.space.autoencoder
        self.autoencoder = codec if isinstance(codec, nn.Module) else None
        self.store = LabelStore(FilePath(output) / "labels", self.depends(), self.counts, self.shard_size)

    def depends(self) -> dict[str, Any]:
        """Return everything that the labels depend on, as plain values."""
        return {
            "paths": describe_paths(self.data),
            "ends": str(getattr(self.data.space, "ends", "")),
            "classifier": {
                "name": str(getattr(self.classifier, "name", type(self.classifier).__name__)),
                "weights": digest(self.classifier.state_dict()),
            },
            "objective": self.score.objective,
            "steps": self.steps or self.data.space.n_segments,
            "target": self.target,
            "ratios": list(RATIOS),
        }

    def dataloader(self) -> DataLoader[Any]:
        """Return the loader of shard numbers, one at a time: all of them, as those that are there are soon skipped."""
        numbers: Any = range(len(self.store.shards))
        return DataLoader(numbers, batch_size=1)

    def setup(self, stage: str) -> None:
        """Refuse a folder with other labels, and more processes than shards."""
        if self.trainer.world_size > len(self.store.shards):
            raise ValueError(
                f"{len(self.store.shards)} shards for {self.trainer.world_size} processes, and each needs one: set "
                f"module.shard_size below {self.shard_size} or use fewer trainer.devices"
            )
        self.store.open()

    def predict_step(self, batch: Tensor, batch_index: int) -> None:
        """Make the shard `batch` `(1,)`, unless it is there."""
        split, number = self.store.shards[int(batch)]
        if self.store.shard(split, number) is None:
            self.store.write(split, number, *self._make(split, self.store.numbers(split, number)))

    def on_predict_end(self) -> None:
        """Write the manifest when all shards are there."""
        self.trainer.strategy.barrier()
        if self.trainer.is_global_zero:
            self.finish()
        self.trainer.strategy.barrier()

    def finish(self) -> None:
        """Write the manifest, or say how many shards are missing."""
        missing = self.store.missing()
        if missing:
            total = len(self.store.shards)
            log.warning("%d of %d shards of labels are missing; run the same command again", len(missing), total)
            return
        shown = ("classifier", "objective", "steps", "target")
        also = {key: value for key, value in self.store.depends.items() if key in shown}
        write_manifest(self.store, {**also, "seed": self.data.seed})

    def _make(self, split: Split, numbers: range) -> tuple[LabelTable, dict[str, int]]:
        before, start = self.score.cost, time.perf_counter()
        tables = [self._label(split, part) for part in _parts(numbers, self.batch_size)]
        table = LabelTable(*(torch.cat(columns) for columns in zip(*tables, strict=True)))
        cost = self.score.cost - before
        return table, {**cost._asdict(), "milliseconds": round(1000 * (time.perf_counter() - start))}

    def _label(self, split: Split, numbers: range) -> LabelTable:
        draws = self.data.draws(split)
        places = [draws.place(number) for number in numbers]
        references, positions = (torch.tensor(column) for column in zip(*places, strict=True))
        images, labels = (tensor.to(self.device) for tensor in self.data.images(split, positions))
        baselines = self.data.references(split, positions, references).to(self.device)
        sequence = torch.stack([draws.draw(number)[0] for number in numbers]).to(self.device)
        targets = labels if self.target == "label" else self.score.logits(images).argmax(1)
        path = self.data.space.path(images, baselines, sequence)
        values = (value.float().cpu() for value in path_labels(path, targets, self.score, self.steps))
        return LabelTable(torch.tensor(numbers), positions, references, *values)


def _parts(numbers: range, size: int) -> Iterator[range]:
    return (numbers[start : start + size] for start in range(0, len(numbers), size))
