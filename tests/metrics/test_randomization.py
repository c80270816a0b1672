"""Parameter randomisation: similarities against loops, layers and their order, and what the metrics make of them."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from diffig.metrics import EfficientRandomization, Randomization
from diffig.metrics.randomization import chosen, histogram_entropy
from diffig.metrics.reinitialised import layers_of, reinitialised
from diffig.metrics.similarity import hog, pearson, spearman, ssim
from diffig.scores import ScoreFunction
from oracle import similarity_oracle as oracle
from oracle.explained import close, explained_batch, with_maps
from oracle.models import Deep


def two_maps(count: int = 3, height: int = 16, width: int = 20, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    one = torch.rand(count, height, width, generator=draw, dtype=torch.float64)
    return one, one + 0.5 * torch.rand(count, height, width, generator=draw, dtype=torch.float64)


# --- similarities ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(16, 20), (9, 6)])
def test_similarities_equal_the_loops(height: int, width: int) -> None:
    one, other = two_maps(height=height, width=width)
    side = max(2, min(height, width) // 14)
    for row in range(3):
        first, second = one[row].numpy(), other[row].numpy()
        assert ssim(one, other)[row] == pytest.approx(oracle.ssim(first, second), abs=1e-12)
        assert spearman(one, other)[row] == pytest.approx(oracle.spearman(first, second), abs=1e-12)
        assert hog(one, other)[row] == pytest.approx(oracle.hog(first, second, side), abs=1e-9)


def test_spearman_shares_the_ranks_of_ties_as_scipy_does() -> None:
    stats = pytest.importorskip("scipy.stats")
    draw = torch.Generator().manual_seed(0)
    one, other = (torch.randint(0, 4, (5, 6, 6), generator=draw).double() for _ in range(2))
    expected = [
        stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(one.numpy(), other.numpy(), strict=True)
    ]
    np.testing.assert_allclose(spearman(one, other), expected, atol=1e-12)


@pytest.mark.parametrize("similarity", [ssim, spearman, hog])
def test_a_map_is_like_itself_in_any_unit_and_constant_maps_are_alike(similarity) -> None:
    one, _ = two_maps()
    for unit in (1e-3, 1e-200):
        close(similarity(one, one * unit), torch.ones(3, dtype=torch.float64), atol=1e-9)
    flat = torch.ones_like(one)
    close(similarity(flat, 0 * flat if similarity is spearman else 7 * flat), torch.ones(3, dtype=torch.float64))
    if similarity is not ssim:
        assert (similarity(one, flat) == 0).all()


def test_a_correlation_does_not_depend_on_units() -> None:
    one, other = (maps.flatten(1) for maps in two_maps())
    close(pearson(one * 1e-200, other * 1e-180), pearson(one, other))


def test_similarities_tell_noise_from_a_little_noise() -> None:
    one, near = two_maps(height=32, width=32)
    far = torch.rand(one.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    for similarity in (ssim, spearman, hog):
        assert (similarity(one, near) > similarity(one, far) + 0.2).all(), similarity
    assert pearson(one.flatten(1), -one.flatten(1)) == pytest.approx(-1)


def test_entropy_of_a_histogram_equals_numpy() -> None:
    one, _ = two_maps()
    for bins in (10, 100):
        expected = [oracle.histogram_entropy(values, bins) for values in one.numpy()]
        np.testing.assert_allclose(histogram_entropy(one, bins), expected, atol=1e-12)
    constant = torch.full((1, 4, 4), 3.0)
    assert histogram_entropy(constant, 10) == 0
    assert histogram_entropy(constant * torch.nan, 10).isnan()


# --- layers ---------------------------------------------------------------------------------------------------------


class Backwards(nn.Module):
    """Registers its layers in the wrong order, and has a parameter that belongs to no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.unused, self.first = nn.Linear(4, 2), nn.Linear(3, 3), nn.Linear(12, 4)
        self.shift = nn.Parameter(torch.tensor([1.0, 2.0, 3.0, 4.0]))

    def forward(self, images):
        return self.last(self.first(images.flatten(1)) + self.shift)


def test_layers_come_in_the_order_an_image_meets_them() -> None:
    net = Backwards()
    assert layers_of(net, torch.zeros(1, 3, 2, 2)) == ["unused", "", "first", "last"]
    assert not any(module._forward_pre_hooks for module in net.modules())
    assert layers_of(Deep(), torch.zeros(1, 3, 8, 8, dtype=torch.float64)) == ["body.0", "body.1", "body.4", "head"]


def test_without_parameters_there_is_nothing_to_randomise() -> None:
    with pytest.raises(ValueError, match=r"Flatten has no parameters.*leave out the metrics"):
        layers_of(torch.nn.Flatten(), torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1)])
def test_a_map_of_one_row_has_histograms_too(size: tuple[int, int]) -> None:
    drawn = torch.rand(2, *size, generator=torch.Generator().manual_seed(0))
    assert hog(drawn, drawn).tolist() == pytest.approx([1, 1])


def test_only_the_named_layers_change_and_the_classifier_does_not() -> None:
    net = Deep()
    net.train()
    state, random = copy.deepcopy(net.state_dict()), torch.random.get_rng_state()
    order = layers_of(net, torch.zeros(1, 3, 8, 8, dtype=torch.float64))
    changed = reinitialised(net, ["body.1", "head"], order, seed=0)
    assert net.training
    assert not changed.training
    assert torch.equal(torch.random.get_rng_state(), random)
    for name, value in net.state_dict().items():
        assert torch.equal(value, state[name])
        same = torch.equal(changed.state_dict()[name], value)
        assert same == (not name.startswith(("body.1.running", "head"))), name  # its weight was 1 and its bias 0 before


def test_a_layer_has_the_same_numbers_whatever_else_is_random() -> None:
    net = Deep()
    order = layers_of(net, torch.zeros(1, 3, 8, 8, dtype=torch.float64))
    alone, both, other = (
        reinitialised(net, layers, order, seed) for layers, seed in ((["body.4"], 0), (order, 0), (["body.4"], 1))
    )
    key = "body.4.weight"
    assert torch.equal(alone.state_dict()[key], both.state_dict()[key])
    assert not torch.equal(alone.state_dict()[key], other.state_dict()[key])


def test_no_random_state_is_touched(monkeypatch) -> None:
    net = Deep()

    def seeded(seed):
        raise AssertionError("the accelerators' random state has changed")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded)
    state = torch.get_rng_state()
    reinitialised(net, ["head"], ["body.0", "body.1", "body.4", "head"], 0)
    assert torch.equal(torch.get_rng_state(), state)


def test_two_layers_of_one_shape_get_different_numbers() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 12), nn.Linear(12, 12))
    changed = reinitialised(net, ["1", "2"], ["1", "2"], seed=0)
    assert not torch.equal(changed[1].weight, changed[2].weight)


def test_parameters_of_no_known_layer_are_drawn_with_their_mean_and_spread() -> None:
    net = Backwards()
    net.shift = nn.Parameter(torch.randn(20_000, generator=torch.Generator().manual_seed(0)) * 3 + 5)
    changed = reinitialised(net, [""], ["", "first", "last"], seed=0)
    assert torch.equal(changed.first.weight, net.first.weight)
    assert not torch.equal(changed.shift, net.shift)
    assert float(changed.shift.mean()) == pytest.approx(5, abs=0.1)
    assert float(changed.shift.std()) == pytest.approx(3, abs=0.1)


def test_depths_count_from_the_output() -> None:
    layers = list("abcde")
    assert [chosen(layers, depth, "cascading") for depth in (0.01, 0.4, 1.0)] == [["e"], ["d", "e"], layers]
    assert [chosen(layers, depth, "independent") for depth in (0.01, 0.4, 1.0)] == [["e"], ["d"], ["a"]]


# --- the metrics ----------------------------------------------------------------------------------------------------


def deep_batch(method, count: int = 3):
    """Explained by `method(images, classifier)`; the classifier has four layers."""
    explained, net = explained_batch(count, size=8), Deep()
    asked = []

    def explain(images, targets, indices, *, seed_shift=0, classifier=None):
        asked.append(classifier)
        return method(images, targets, classifier or net)

    explained = dataclasses.replace(explained, score=ScoreFunction(net), explain=explain)
    return with_maps(explained, method(explained.images, explained.targets, net)), asked


def gradient(images, targets, classifier):
    return ScoreFunction(classifier).value_and_grad(images, targets)[1]


def edges(images, targets, classifier):
    return images - images.mean((2, 3), keepdim=True)


def test_a_method_that_never_looks_at_the_classifier_fails_and_a_gradient_does_not() -> None:
    blind, _ = deep_batch(edges)
    seeing, _ = deep_batch(gradient)
    metric = Randomization()
    found, wanted = metric(blind), metric(seeing)
    assert list(found) == list(metric.names)
    for name in metric.names:
        close(found[name], torch.ones(3, dtype=torch.float64), atol=1e-9, name=name)
        assert (wanted[name] < 0.97).all(), name
    assert (EfficientRandomization()(blind)["emprt"] == 0).all()


def test_curves_are_similarities_at_each_depth_and_values_their_means() -> None:
    explained, asked = deep_batch(gradient)
    metric = Randomization(depths=(0.25, 1.0), seed=3)
    values, curves, maps = metric.measure(explained)
    assert len(asked) == metric.attributions == 4
    order = ["body.0", "body.1", "body.4", "head"]
    sets = {"cascading": (["head"], order), "independent": (["head"], ["body.0"])}
    true = explained.attributions.abs().sum(1)
    for kind, layers in sets.items():
        for place, names in enumerate(layers):
            changed = reinitialised(explained.score.classifier, names, order, 3)
            again = gradient(explained.images, explained.targets, changed)
            close(maps[f"{kind} {(0.25, 1)[place]:g}"], again.sum(1))
            for name, similarity in (("ssim", ssim), ("spearman", spearman), ("hog", hog)):
                close(curves[f"randomization_{kind}_{name}"][:, place], similarity(true, again.abs().sum(1)))
    for name, curve in curves.items():
        close(values[name], curve.mean(1))
    assert explained.score.cost.forward_images == 0


def test_a_changed_classifier_without_finite_attributions_has_no_similarity() -> None:
    asked_first = []

    def breaks(images, targets, classifier):
        asked_first.append(classifier)  # the true one
        maps = gradient(images, targets, classifier)
        if classifier is not asked_first[0]:
            maps[1, 0, 2, 2] = torch.nan
        return maps

    for name, value in Randomization(depths=(1.0,))(deep_batch(breaks)[0]).items():
        assert value.isnan().tolist() == [False, True, False], name


def test_emprt_is_the_relative_rise_of_the_entropy() -> None:
    explained, asked = deep_batch(gradient)
    value = EfficientRandomization(bins=20, seed=1)(explained)["emprt"]
    (changed,) = asked
    again = gradient(explained.images, explained.targets, changed)
    for row in range(3):
        true, random = (
            oracle.histogram_entropy(maps[row].sum(0).numpy(), 20) for maps in (explained.attributions, again)
        )
        assert value[row] == pytest.approx((random - true) / true, rel=1e-9)
    flat = with_maps(explained, torch.ones_like(explained.images))
    assert EfficientRandomization()(flat)["emprt"].isnan().all()


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="orders='upwards' is unknown"):
        Randomization(orders=("upwards",))
    with pytest.raises(ValueError, match=r"depths=\[0.0\] lie in \(0, 1\]"):
        Randomization(depths=(0.0,))
    with pytest.raises(ValueError, match="bins=1 must be at least 2"):
        EfficientRandomization(bins=1)
