"""One batch of the evaluation: explain, measure, and say what it cost."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.attribution.held import Held
from diffig.data import Batch
from diffig.metrics import Explained, MetricSuite
from diffig.precision import set_aside
from diffig.randomness import Streams


class Outcome(NamedTuple):
    """What a batch gave: tables of rows and of curve points, the attributions `(B, C, H, W)` on the CPU.

    `maps` are `(B, H, W)` by title, what a metric has explained again.
    """

    rows: list[dict[str, Any]]
    curves: list[dict[str, Any]]
    attributions: Tensor
    indices: list[int]
    maps: dict[str, Tensor]


class Explainer(LightningModule):
    """Explains and measures batches in `Trainer.predict`.

    Args:
        attributor: the method, with its score and baseline.
        metrics: what judges it.
        columns: by name, those that are the same in every row.
        target: `label` or `prediction`, the class that is explained.
        masks: from dataset indices to the objects' masks `(B, 1, H, W)`, None for datasets without.
    """

    def __init__(
        self,
        attributor: Attributor,
        metrics: MetricSuite,
        columns: dict[str, Any],
        target: str = "label",
        masks: Callable[[Sequence[int]], Tensor | None] | None = None,
    ) -> None:
        super().__init__()
        if target not in ("label", "prediction"):
            raise ValueError(f"target={target!r} is unknown; choose label or prediction")
        self.attributor, self.metrics, self.columns, self.target = attributor, metrics, columns, target
        self.masks = masks
        self.classifier = attributor.score.classifier  # a sub-module, so that the trainer moves it to the device

    def predict_step(self, batch: Batch, batch_index: int) -> Outcome:
        """Return rows, curves and attributions of one batch; half precision of a trainer is the classifier's alone."""
        images, labels, indices = batch
        with set_aside(images) as precise:
            return self._outcome(precise, labels, indices)

    def _outcome(self, images: Tensor, labels: Tensor, indices: Tensor) -> Outcome:
        score = self.attributor.score
        score.fit(images)
        predictions = score.like().logits(images).argmax(1)
        targets = labels if self.target == "label" else predictions
        before, start = score.cost, time.perf_counter()
        integral = self.attributor.explain(images, target=targets, indices=indices)
        if images.is_cuda:
            torch.cuda.synchronize()
        seconds, cost = (time.perf_counter() - start) / len(images), score.cost - before
        references = self.attributor.baseline.references(images, Streams(self.attributor.seed, indices))
        masks = None if self.masks is None else self.masks(indices.tolist())
        explained = Explained(
            images=images,
            attributions=integral.attribution,
            targets=targets,
            labels=labels,
            baselines=references[0],
            score=score.like(),
            indices=indices,
            gap=integral.gap,
            absolute_mass=integral.absolute_mass,
            masks=None if masks is None else masks.to(images.device),
            explain=self._again,
        )
        measured = self.metrics.measure(explained)
        if not measured.values:
            raise ValueError(
                f"none of {self.metrics.names} has a value: these metrics need masks of the objects, which the dataset "
                "does not have; choose other metrics=..., or dataset=coco_instances"
            )
        each = {
            "image_index": indices.tolist(),
            "label": labels.tolist(),
            "prediction": predictions.tolist(),
            "gap": integral.gap.tolist(),
            "status": ["ok" if finite else "nonfinite" for finite in explained.finite.tolist()],
        }
        costs = {
            "seconds": seconds,
            "forward_images": cost.forward_images / len(images),
            "backward_images": cost.backward_images / len(images),
        }
        if isinstance(self.attributor, Held):  # made elsewhere, at a cost that nobody has told
            costs = dict.fromkeys(costs, math.nan)
        shared = {**self.columns, **costs}
        values = {name: value.tolist() for name, value in measured.values.items()}
        rows = [
            {**shared, **{key: column[row] for key, column in each.items()}, "metric": name, "value": values[name][row]}
            for row in range(len(images))
            for name in values
        ]
        curves = self._curves(measured.curves, each["image_index"])
        maps = {title: shown.float().cpu() for title, shown in measured.maps.items()}
        return Outcome(rows, curves, integral.attribution.cpu(), each["image_index"], maps)

    def _again(
        self,
        images: Tensor,
        targets: Tensor,
        indices: Tensor,
        *,
        seed_shift: int = 0,
        classifier: nn.Module | None = None,
    ) -> Tensor:
        """The method asked by a metric: as it is but for a score of its own, so that its bill stays what it was."""
        attributor = copy.copy(self.attributor)
        attributor.score = attributor.score.like(classifier)
        attributor.seed += seed_shift
        return attributor.explain(images, target=targets, indices=indices).attribution

    def _curves(self, curves: dict[str, Tensor], indices: list[Any]) -> list[dict[str, Any]]:
        keys = ("dataset", "classifier", "objective", "baseline", "method", "n_paths", "steps", "seed")
        columns = {key: value for key, value in self.columns.items() if key in keys or key.startswith("guidance.")}
        axes = self.metrics.axes
        return [
            {**columns, "image_index": index, "curve": name, "x": x, "value": value}
            for name, curve in curves.items()
            for index, line in zip(indices, curve.tolist(), strict=True)
            for x, value in zip(axes[name], line, strict=True)
        ]
