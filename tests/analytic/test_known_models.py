"""Methods on scores whose attributions are known: linear, additive, and one whose features need each other."""

from __future__ import annotations

import pytest
import torch

from diffig.attribution import (
    CoarseToFine,
    FieldDiffIG,
    GradientXInput,
    GuidedIntegratedGradients,
    IntegratedGradients,
    StickBreakingIntegration,
)
from diffig.attribution.path_attributor import PathAttributor
from diffig.method import Guidance
from diffig.paths import ChannelBasis, CoarseToFinePath, GuidedPath, StickBreakingPath, StraightPath
from diffig.scores import ScoreFunction
from oracle.models import Additive, Linear, TanhNet, pictures

TARGETS = torch.tensor([0, 3, 1, 4])
GUIDED = {"absolute_mass": 0.4, "faithfulness": 0.3, "complexity": -0.2, "smoothness": 0.2, "gradients": 2}


def methods(net, steps=16):
    """Every complete method by name."""
    score = ScoreFunction(net, "logit")
    return {
        "ig": IntegratedGradients(score, steps=steps),
        "spi": StickBreakingIntegration(score, steps=steps, n_paths=3, concentration=2.0),
        "spi, truncated range": StickBreakingIntegration(score, steps=steps, concentration=(1.0, 20.0), cell_size=3),
        "gig": GuidedIntegratedGradients(score, steps=steps),
        "gig, unbounded": GuidedIntegratedGradients(score, steps=steps, fraction=0.1, max_distance=1.0),
        "coarse_to_fine": CoarseToFine(score, steps=steps),
        "gradient_x_input": GradientXInput(score),
        "diffig_field": FieldDiffIG(
            score, credit="riemann", steps=steps, sample_steps=2, footprint=(), guidance=Guidance(proposals=4)
        ),
        "diffig_field, guided": FieldDiffIG(
            score,
            credit="riemann",
            footprint=(),
            steps=steps,
            sample_steps=2,
            guidance=Guidance(**GUIDED),
            n_paths=2,
        ),
        "diffig_field, best": FieldDiffIG(
            score,
            credit="riemann",
            footprint=(),
            steps=steps,
            sample_steps=2,
            guidance=Guidance(absolute_mass=0.4, gradients=2),
            n_paths=2,
            aggregation="best_of",
        ),
    }


@pytest.mark.parametrize("name", methods(Linear()))
def test_linear_score(name):
    net = Linear()
    images, baselines = pictures()
    found = methods(net)[name].explain(images, baselines, TARGETS)
    wanted = net.contributions(images, baselines, TARGETS)
    torch.testing.assert_close(found.attribution, wanted, rtol=0, atol=1e-10)
    assert found.gap.abs().max() < 1e-10


def in_the_limit(score, kind, fineness):
    """A method whose pieces shrink with `fineness` on a path that stays the same."""
    if kind == "gig":
        return GuidedIntegratedGradients(score, steps=16 * fineness, max_distance=0.1 / fineness)
    path = {"ig": StraightPath(), "spi": StickBreakingPath(8, 0.5), "channels": CoarseToFinePath(ChannelBasis())}[kind]
    return PathAttributor(score, path, steps=64 * fineness)


@pytest.mark.parametrize("kind", ["ig", "spi", "channels", "gig"])
def test_additive_score_in_the_limit(kind):
    """Without interactions every monotone pixel path gives each feature its own change of the score."""
    net = Additive()
    images, baselines = pictures()
    wanted = net.contributions(images, baselines, TARGETS)
    score = ScoreFunction(net, "logit")
    coarse, fine = (
        (in_the_limit(score, kind, fineness).attribute(images, baselines, TARGETS) - wanted).abs().max().item()
        for fineness in (1, 8)
    )
    assert fine < coarse / 6
    assert fine < 0.05


@pytest.mark.parametrize("one", ["ig", "spi", "gig", "channels"])
@pytest.mark.parametrize("other", ["ig", "spi", "gig", "channels"])
def test_paths_differ_where_features_need_each_other(one, other):
    images, baselines = pictures(2, 3, 2, 2)
    net = TanhNet((3, 2, 2))
    maps = [in_the_limit(ScoreFunction(net, "logit"), kind, 2).attribute(images, baselines, 0) for kind in (one, other)]
    assert ((maps[0] - maps[1]).abs().max() > 1e-3) == (one != other)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 1.0])
def test_guided_ig_without_room_is_the_left_rule(fraction):
    images, baselines = pictures()
    score = ScoreFunction(TanhNet())
    guided = GuidedIntegratedGradients(score, steps=20, fraction=fraction, max_distance=0).explain(
        images, baselines, TARGETS
    )
    left = IntegratedGradients(score, steps=20, rule="left").explain(images, baselines, TARGETS)
    for found, wanted in zip(guided, left, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 9])
@pytest.mark.parametrize("path", ["straight", "guided", "stick_breaking", "coarse_to_fine"])
def test_idgi_telescopes(path, steps):
    """Exactly complete with any number of steps, on any path."""
    images, baselines = pictures()
    score = ScoreFunction(TanhNet())
    method = {
        "straight": IntegratedGradients(score, steps=steps, rule="idgi"),
        "guided": PathAttributor(score, GuidedPath(7), steps=steps, rule="idgi"),
        "stick_breaking": StickBreakingIntegration(score, steps=steps, rule="idgi"),
        "coarse_to_fine": CoarseToFine(score, steps=steps, rule="idgi"),
    }[path]
    assert method.explain(images, baselines, TARGETS).gap.abs().max() < 1e-13
    ordinary = IntegratedGradients(score, steps=steps, rule="left").explain(images, baselines, TARGETS)
    assert ordinary.gap.abs().max() > 1e-3


def test_idgi_survives_a_dead_gradient():
    images = torch.full((1, 1, 2, 2), 0.5, dtype=torch.float64)
    dead = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2), torch.nn.ReLU()).double()
    torch.nn.init.constant_(dead[1].weight, -1.0)
    torch.nn.init.constant_(dead[1].bias, -1.0)
    found = IntegratedGradients(ScoreFunction(dead, "logit"), steps=4, rule="idgi").explain(images, target=0)
    assert (found.attribution == 0).all()
    assert (found.gap == 0).all()


def test_the_absolute_mass_is_no_less_than_the_change():
    images, baselines = pictures()
    score = ScoreFunction(TanhNet())
    change = (score.score(images, TARGETS) - score.score(baselines, TARGETS)).abs()
    for name, method in methods(TanhNet(), 64).items():
        if "diffig" in name or name == "gradient_x_input":
            continue
        method.score = score
        found = method.explain(images, baselines, TARGETS)
        assert (found.absolute_mass >= change - 1e-3).all(), name
        assert (found.absolute_mass >= found.attribution.abs().flatten(1).sum(1) - 1e-12).all(), name
    single = GradientXInput(score).explain(images, baselines, TARGETS)
    torch.testing.assert_close(single.absolute_mass, single.attribution.abs().flatten(1).sum(1))


def test_what_does_not_move_gets_nothing():
    images, baselines = pictures()
    baselines[:, 1] = images[:, 1]
    for name, method in methods(TanhNet()).items():
        if name.startswith(("ig", "spi", "gig", "gradient")):
            assert (method.attribute(images, baselines, TARGETS)[:, 1] == 0).all(), name


def test_several_references_are_averaged():
    from diffig.baselines import Average, Constant

    images, _ = pictures()
    score = ScoreFunction(TanhNet())
    both = IntegratedGradients(score, Average([Constant(0), Constant(1)]), steps=16).explain(images, target=TARGETS)
    parts = [IntegratedGradients(score, Constant(value), steps=16).explain(images, target=TARGETS) for value in (0, 1)]
    for found, black, white in zip(both, *parts, strict=True):
        torch.testing.assert_close(found, (black + white) / 2, rtol=1e-12, atol=1e-14)
