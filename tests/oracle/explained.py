"""A small classifier and a batch of explained images, for tests of metrics."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor, nn

from diffig.metrics import Explained
from diffig.randomness import Streams
from diffig.scores import ScoreFunction

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


class SmallNet(nn.Module):
    """A smooth float64 classifier of 3-channel images, with its normalisation inside."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv, self.head = nn.Conv2d(3, 6, 3, padding=1).double(), nn.Linear(24, 4).double()
        nn.init.normal_(self.head.weight, std=2.0, generator=torch.Generator().manual_seed(1))
        self.register_buffer("mean", torch.tensor(MEAN, dtype=torch.float64).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD, dtype=torch.float64).view(1, 3, 1, 1))
        self.largest_call = 0

    def forward(self, images: Tensor) -> Tensor:
        self.largest_call = max(self.largest_call, len(images))
        features = torch.tanh(self.conv((images - self.mean) / self.std))
        return self.head(nn.functional.adaptive_avg_pool2d(features, 2).flatten(1))


def explained_batch(count: int = 5, size: int = 6, chunk_size: int = 64, seed: int = 0) -> Explained:
    draw = torch.Generator().manual_seed(seed)
    images, maps = (torch.rand(count, 3, size, size, generator=draw, dtype=torch.float64) for _ in range(2))
    score = ScoreFunction(SmallNet(), chunk_size=chunk_size)
    targets = score.logits(images).argmax(1)
    targets[1] = (targets[1] + 1) % 4  # a misclassified image is judged like any other
    attributions, baselines = maps - 0.5, torch.zeros_like(images)
    change = score.score(images, targets) - score.score(baselines, targets)
    score.reset_cost()
    return Explained(
        images=images,
        attributions=attributions,
        targets=targets,
        labels=targets.clone(),
        baselines=baselines,
        score=score,
        indices=torch.arange(100, 100 + count),
        gap=attributions.sum((1, 2, 3)) - change,
        absolute_mass=attributions.abs().sum((1, 2, 3)),
        masks=squares(count, size),
        explain=Asked(score),
    )


def squares(count: int, size: int) -> Tensor:
    """Masks of objects of several sizes, with a pixel that is not to be counted."""
    masks = torch.zeros(count, 1, size, size, dtype=torch.uint8)
    for row in range(count):
        masks[row, :, 1 : 3 + row % (size - 3), 2:4] = 1
    masks[:, :, 0, 0] = 255
    return masks


class Asked:
    """A method that can be asked again: gradient times image, with a little noise that knows its seed."""

    def __init__(self, score: ScoreFunction) -> None:
        self.score, self.calls = score, 0

    def __call__(self, images, targets, indices, *, seed_shift=0, classifier=None):
        self.calls += 1
        score = ScoreFunction(classifier or self.score.classifier, chunk_size=self.score.chunk_size)
        noise = Streams(seed_shift, indices).normal(tuple(images.shape[1:]), purpose="asked").to(images)
        return images * score.value_and_grad(images, targets)[1] + 0.01 * noise


def take(explained: Explained, rows: list[int]) -> Explained:
    fields = {field.name: getattr(explained, field.name) for field in dataclasses.fields(explained)}
    return Explained(**{name: value[rows] if isinstance(value, Tensor) else value for name, value in fields.items()})


def with_maps(explained: Explained, attributions: Tensor, **changes: Tensor) -> Explained:
    return dataclasses.replace(explained, attributions=attributions, **changes)


def close(actual: Tensor, expected: Tensor, *, atol: float = 1e-9, rtol: float = 1e-7, name: str = "") -> None:
    np.testing.assert_allclose(actual.numpy(), expected.numpy(), atol=atol, rtol=rtol, err_msg=name)


def classify(net: nn.Module):
    return lambda image: net(torch.from_numpy(image)[None]).detach()[0].tolist()
