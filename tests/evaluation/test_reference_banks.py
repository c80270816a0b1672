"""Which baselines wait for training images: one rule, for the evaluation that has them and for a file that has none."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from diffig.attribution import IntegratedGradients
from diffig.baselines import Average, Baseline, Constant, Dataset
from diffig.evaluation.preparation import empty_banks, fill_banks
from diffig.scores import ScoreFunction


def method(smooth_net: torch.nn.Module, baseline: Baseline) -> IntegratedGradients:
    return IntegratedGradients(ScoreFunction(smooth_net), baseline=baseline, steps=2)


def test_banks_inside_averages_and_references_are_found(smooth_net: torch.nn.Module) -> None:
    full, empty, own = Dataset(torch.zeros(2, 3, 4, 4)), Dataset(), Dataset()
    assert empty_banks(method(smooth_net, Constant(0.0))) == []
    assert empty_banks(method(smooth_net, full)) == []
    asked = method(smooth_net, Average([Constant(0.0), full, empty]))
    assert empty_banks(asked) == [empty]
    asked.references = own  # type: ignore[attr-defined]
    assert empty_banks(asked) == [empty, own]


def test_filled_from_the_training_images_by_the_seed(smooth_net: torch.nn.Module) -> None:
    images = torch.arange(20.0)[:, None, None, None].expand(20, 3, 4, 4) / 20
    data = SimpleNamespace(train_set=[(image, 0, place) for place, image in enumerate(images)])
    banks = []
    for seed in (0, 0, 1):
        asked = method(smooth_net, Average([Constant(0.0), Dataset()]))
        fill_banks(asked, data, seed, size=5)  # type: ignore[arg-type]
        assert empty_banks(asked) == []
        banks.append(asked.baseline.baselines[1].bank)  # type: ignore[attr-defined]
    assert banks[0].shape == (5, 3, 4, 4)
    assert torch.equal(banks[0], banks[1])
    assert not torch.equal(banks[0], banks[2])
    assert len(banks[0].flatten(1)[:, 0].unique()) == 5
