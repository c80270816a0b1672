"""Quantus as a second opinion on metrics, where it is right; and three reasons why it is asked no more than that."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from diffig.metrics import (
    Completeness,
    EfficientRandomization,
    Explained,
    Localisation,
    Randomization,
    Sensitivity,
    Sparseness,
)
from diffig.metrics.masking import pixel_map
from diffig.randomness import Streams
from diffig.scores import ScoreFunction
from oracle.explained import Asked, SmallNet, explained_batch, with_maps

# What it imports (OpenCV) may also lack a library of the system.
quantus = pytest.importorskip(
    "quantus", reason="a second opinion needs pip install 'diffig[quantus]'", exc_type=ImportError
)

PLAIN = {"normalise": False, "disable_warnings": True}
faults = pytest.mark.skipif(not quantus.__version__.startswith("0.6."), reason="these are faults of Quantus 0.6")


def asked(metric, explained: Explained, maps: Tensor | None, **words) -> np.ndarray:
    """What a metric of Quantus says of each image."""
    given = {} if maps is None else {"a_batch": maps.numpy().copy()}
    images, targets = explained.images.numpy(), explained.targets.numpy()
    return np.array(metric(model=words.pop("model", None), x_batch=images, y_batch=targets, **given, **words))


# ---- where it is right -------------------------------------------------------------------------------------------


def test_gini_is_its_sparseness_and_entropy_its_complexity() -> None:
    explained = explained_batch(5, size=9)
    ours = Sparseness()(explained)
    # It adds 1e-7 to every element, which large ones do not notice; neither score knows the scale.
    maps = 1e6 * explained.attributions
    for suffix, shown in (("", maps), ("_pixel", pixel_map(maps, "sum_abs")[:, None])):
        np.testing.assert_allclose(
            ours[f"gini{suffix}"], asked(quantus.Sparseness(**PLAIN), explained, shown), rtol=1e-9
        )
        np.testing.assert_allclose(
            ours[f"entropy{suffix}"], asked(quantus.Complexity(**PLAIN), explained, shown), rtol=1e-9
        )


def test_relevance_mass_and_rank() -> None:
    explained = explained_batch(5, size=9)
    explained.masks[explained.masks == 255] = 0  # it leaves no pixel out
    ours = Localisation(tolerance=0)(explained)
    signed = explained.attributions.sum(1, keepdim=True)
    masks = {"s_batch": explained.masks.numpy()}
    # The mass of what speaks for the class: by default it would add negative relevance up.
    mass = asked(quantus.RelevanceMassAccuracy(**PLAIN), explained, signed.clamp(min=0), **masks)
    rank = asked(quantus.RelevanceRankAccuracy(**PLAIN), explained, signed, **masks)
    np.testing.assert_allclose(ours["relevance_mass"], mass, rtol=1e-12)
    np.testing.assert_allclose(ours["relevance_rank"], rank, rtol=1e-12)
    assert mass.max() - mass.min() > 0.1
    assert rank.max() - rank.min() > 0.1


def test_max_sensitivity_to_the_same_changes() -> None:
    explained = explained_batch(4)
    streams, draws = Streams(0, explained.indices), iter(range(6))
    method = Asked(explained.score)

    def changed(arr: np.ndarray, **_) -> np.ndarray:
        noise = streams.uniform((3, 6, 6), purpose=f"sensitivity {next(draws)}").double() * 2 - 1
        return (explained.images + 0.05 * noise).clamp(0, 1).numpy().reshape(arr.shape)

    def explain(model, inputs, targets, **_) -> np.ndarray:
        images, classes = torch.as_tensor(inputs, dtype=torch.float64), torch.as_tensor(targets)
        return method(images, classes, explained.indices).numpy()

    explained = with_maps(explained, method(explained.images, explained.targets, explained.indices))
    ours = Sensitivity(radius=0.05, n_draws=6)(explained)["sensitivity_max"]
    metric = quantus.MaxSensitivity(nr_samples=6, perturb_func=changed, **PLAIN)
    model = explained.score.classifier
    theirs = asked(metric, explained, explained.attributions, model=model, explain_func=explain, channel_first=True)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


class Randomised:
    """A float32 classifier, gradient times image, and copies of it whose layers Quantus has made random."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
        from quantus.helpers.model.pytorch_model import PyTorchModel

        self.net = SmallNet().float().eval()
        copies = PyTorchModel(self.net, channel_first=True).get_random_layer_generator(order=order, seed=42)
        states = [deepcopy(copy.state_dict()) for _, copy in copies]

        def reinitialised(classifier: nn.Module, layers: list[str], *_) -> nn.Module:
            copy = deepcopy(classifier)
            copy.load_state_dict(states[len(layers) - 1])
            return copy

        monkeypatch.setattr("diffig.metrics.randomization.reinitialised", reinitialised)
        batch = explained_batch(4, size=12)
        images, targets, zero = batch.images.float(), batch.targets, torch.zeros(4)
        maps = self.maps(self.net, images, targets)
        base, score = torch.zeros_like(images), ScoreFunction(self.net)
        self.explained = Explained(images, maps, targets, targets, base, score, batch.indices, zero, explain=self.again)

    def maps(self, net: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        return images * ScoreFunction(net).value_and_grad(images, targets)[1]

    def again(self, images: Tensor, targets: Tensor, indices: Tensor, *, seed_shift=0, classifier=None) -> Tensor:
        return self.maps(classifier or self.net, images, targets)

    def asked(self, metric, channels) -> list:
        """Its scores of maps `channels(attributions)`, `(B, H, W)`."""

        def explain(model, inputs, targets, **_) -> np.ndarray:
            maps = self.maps(model, torch.as_tensor(inputs), torch.as_tensor(targets))
            return channels(maps)[:, None].numpy()

        images, targets = self.explained.images.numpy(), self.explained.targets.numpy()
        first = channels(self.explained.attributions)[:, None].numpy()
        return metric(
            model=self.net, x_batch=images, y_batch=targets, a_batch=first, explain_func=explain, channel_first=True
        )


def test_efficient_parameter_randomisation(monkeypatch: pytest.MonkeyPatch) -> None:
    both = Randomised(monkeypatch, "bottom_up")
    ours = EfficientRandomization(bins=20)(both.explained)["emprt"]
    metric = quantus.EfficientMPRT(complexity_func_kwargs={"n_bins": 20}, seed=42, **PLAIN)
    theirs = both.asked(metric, lambda maps: maps.sum(1))
    np.testing.assert_allclose(ours, np.array(theirs), atol=1e-6)
    assert np.ptp(theirs) > 0.1


def test_parameter_randomisation_layer_by_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    both = Randomised(monkeypatch, "top_down")
    curve = Randomization(("cascading",), (0.5, 1.0)).curves(both.explained)["randomization_cascading_spearman"]
    theirs = both.asked(quantus.MPRT(seed=42, **PLAIN), lambda maps: pixel_map(maps, "sum_abs"))
    assert list(theirs) == ["original", "head", "conv"]
    np.testing.assert_allclose(curve[:, 0], np.array(theirs["head"]), atol=1e-5)
    np.testing.assert_allclose(curve[:, 1], np.array(theirs["conv"]), atol=1e-5)
    assert np.abs(curve[:, 0] - curve[:, 1]).max() > 0.01


# ---- why it is asked no more -------------------------------------------------------------------------------------


@faults
def test_its_pointing_game_hits_where_there_is_no_object() -> None:
    explained = explained_batch(3)
    explained.masks[:] = 0
    signed = explained.attributions.sum(1, keepdim=True)
    words = {"s_batch": explained.masks.numpy()}
    assert asked(quantus.PointingGame(**PLAIN), explained, signed, **words).all()
    assert Localisation(tolerance=0)(explained)["pointing"].isnan().all()


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0)))

    def forward(self, images: Tensor) -> Tensor:
        return torch.einsum("bchw,kchw->bk", images, self.weight.to(images))


@faults
def test_its_completeness_fails_a_map_that_is_complete() -> None:
    net, batch = Linear().eval(), explained_batch(3)
    images, targets = batch.images.float(), batch.targets
    maps = images * net.weight[targets].detach()  # of a linear model these are the contributions
    black, score = torch.zeros_like(images), ScoreFunction(net, "logit")
    gap = maps.sum((1, 2, 3)) - (score.score(images, targets) - score.score(black, targets))
    explained = Explained(images, maps, targets, targets, black, score, batch.indices, gap)
    metric = quantus.Completeness(abs=False, **PLAIN)
    assert not asked(metric, explained, maps, model=net, channel_first=True).any()
    assert all((value.abs() < 1e-5).all() for value in Completeness()(explained).values())


@faults
def test_its_road_breaks_on_colours() -> None:
    explained = explained_batch(3, size=9)
    with pytest.raises(IndexError):
        asked(
            quantus.ROAD(**PLAIN),
            explained,
            explained.attributions,
            model=SmallNet().float().eval(),
            channel_first=True,
        )
