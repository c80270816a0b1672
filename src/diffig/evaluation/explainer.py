"""One batch of the evaluation: explain, measure, and say what it cost."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from diffig.attribution.base import Attributor
from diffig.data import Batch
from diffig.metrics import Explained, MetricSuite
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class Outcome(NamedTuple):
    """What a batch gave: tables of rows and of curve points, and the attributions `(B, C, H, W)` on the CPU."""

    rows: list[dict[str, Any]]
    curves: list[dict[str, Any]]
    attributions: Tensor
    indices: list[int]


class Explainer(LightningModule):
    """Explains and measures batches in `Trainer.predict`.

    Args:
        attributor: the method, with its score and baseline.
        metrics: what judges it.
        facts: columns that are the same in every row.
        target: `label` or `prediction`, the class that is explained.
    """

    def __init__(
        self, attributor: Attributor, metrics: MetricSuite, facts: dict[str, Any], target: str = "label"
    ) -> None:
        super().__init__()
        if target not in ("label", "prediction"):
            raise ValueError(f"target={target!r} is unknown; choose label or prediction")
        self.attributor, self.metrics, self.facts, self.target = attributor, metrics, facts, target
        self.classifier = attributor.score.classifier  # a sub-module, so that the trainer moves it to the device

    def predict_step(self, batch: Batch, batch_index: int) -> Outcome:
        """Return rows, curves and attributions of one batch."""
        images, labels, indices = batch
        score = self.attributor.score
        predictions = ScoreFunction(score.classifier, score.objective, score.chunk_size).logits(images).argmax(1)
        targets = labels if self.target == "label" else predictions
        before, start = score.cost, time.perf_counter()
        integral = self.attributor.explain(images, target=targets, indices=indices)
        if images.is_cuda:
            torch.cuda.synchronize()
        seconds, cost = (time.perf_counter() - start) / len(images), score.cost - before
        references = self.attributor.baseline.references(images, Streams(self.attributor.seed, indices))
        explained = Explained(
            images=images,
            attributions=integral.attribution,
            targets=targets,
            labels=labels,
            baselines=references[0],
            score=ScoreFunction(score.classifier, score.objective, score.chunk_size),
            indices=indices,
            gap=integral.gap,
            waste=integral.waste,
        )
        measured = self.metrics.measure(explained)
        each = {
            "image_index": indices.tolist(),
            "label": labels.tolist(),
            "prediction": predictions.tolist(),
            "gap": integral.gap.tolist(),
            "status": ["ok" if finite else "nonfinite" for finite in explained.finite.tolist()],
        }
        shared = {
            **self.facts,
            "seconds": seconds,
            "forward_images": cost.forward_images / len(images),
            "backward_images": cost.backward_images / len(images),
        }
        values = {name: value.tolist() for name, value in measured.values.items()}
        rows = [
            {**shared, **{key: column[row] for key, column in each.items()}, "metric": name, "value": values[name][row]}
            for row in range(len(images))
            for name in values
        ]
        return Outcome(
            rows, self._curves(measured.curves, each["image_index"]), integral.attribution.cpu(), each["image_index"]
        )

    def _curves(self, curves: dict[str, Tensor], indices: list[Any]) -> list[dict[str, Any]]:
        keys = ("dataset", "classifier", "objective", "baseline", "method", "n_paths", "steps", "seed")
        facts = {key: value for key, value in self.facts.items() if key in keys or key.startswith("guidance.")}
        axes = self.metrics.axes
        return [
            {**facts, "image_index": index, "curve": name, "x": x, "value": value}
            for name, curve in curves.items()
            for index, line in zip(indices, curve.tolist(), strict=True)
            for x, value in zip(axes[name], line, strict=True)
        ]
