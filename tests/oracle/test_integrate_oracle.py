"""The integrator against a loop over one image, one piece and one pixel at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffig.attribution import integrate
from diffig.paths import AlphaPath, LaplacianBasis, PointPath
from diffig.scores import ScoreFunction
from oracle import paths_oracle as oracle
from oracle.models import TanhNet, fixed, pictures

RULES = ["left", "right", "midpoint", "trapezoid", "idgi"]
SHAPE = (2, 5, 4)
TARGETS = torch.tensor([0, 3, 1])


def rising(batch, segments, *shape, seed=7):
    """Random progress from exactly 0 to exactly 1."""
    generator = torch.Generator().manual_seed(seed)
    inner = torch.rand((batch, segments - 1, *shape), generator=generator, dtype=torch.float64).sort(dim=1).values
    ends = torch.zeros((batch, 1, *shape), dtype=torch.float64)
    return torch.cat([ends, inner, ends + 1], 1)


def make_path(kind):
    """A path and what the oracle needs to know of it: the point of one image at one position."""
    images, baselines = pictures(3, *SHAPE)
    if kind == "points":
        inner = fixed((3, 4, *SHAPE), 5)  # it may leave the straight line's box: a path is any polyline
        points = torch.cat([baselines[:, None], inner, images[:, None]], 1)
        return PointPath(points), lambda row, at: oracle.polyline_point(points[row].numpy(), at)
    grids = {"one cell": (1, 1, 1), "coarse": (1, 2, 3), "channels": (2, 5, 4), "bands": (3, 2, 2)}
    alpha = rising(3, 6, *grids[kind])
    parts = LaplacianBasis(3).components(images - baselines) if kind == "bands" else None

    def point(row, at):
        own = None if parts is None else parts[row].numpy()
        return oracle.alpha_point(images[row].numpy(), baselines[row].numpy(), alpha[row].numpy(), at, own)

    return AlphaPath(images, baselines, alpha, parts), point


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", ["one cell", "coarse", "channels", "bands", "points"])
def test_integral_equals_the_loop(kind, rule):
    path, point = make_path(kind)
    net = TanhNet(SHAPE)
    score = ScoreFunction(net, "probability")
    for steps in (None, 1, 11):
        found = integrate(path, score, TARGETS, rule, steps=steps)
        cuts = np.linspace(0, path.n_segments, (steps or path.n_segments) + 1)
        for row, target in enumerate(TARGETS):
            model = oracle.TanhOracle(net, target)
            wanted, gap, mass = oracle.integrate(lambda at, row=row: point(row, at), model, cuts, rule)
            np.testing.assert_allclose(found.attribution[row].numpy(), wanted, rtol=1e-12, atol=1e-14)
            assert found.gap[row].item() == pytest.approx(gap, abs=1e-13)
            assert found.absolute_mass[row].item() == pytest.approx(mass, rel=1e-12)


@pytest.mark.parametrize("objective", ["probability", "logit", "log_probability", "margin"])
def test_score_and_gradient_equal_the_chain_rule(objective):
    net = TanhNet(SHAPE)
    images, _ = pictures(3, *SHAPE)
    score = ScoreFunction(net, objective, chunk_size=2)
    values, gradients = score.value_and_grad(images, TARGETS)
    assert torch.equal(values, score.score(images, TARGETS))
    for row, target in enumerate(TARGETS):
        model = oracle.TanhOracle(net, target, objective)
        assert values[row].item() == pytest.approx(model.value(images[row].numpy()), rel=1e-13)
        np.testing.assert_allclose(gradients[row].numpy(), model.gradient(images[row].numpy()), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("nodes", ["uniform", "score", "arc_length"])
def test_chunk_size_changes_memory_and_nothing_else(rule, nodes):
    path, _ = make_path("bands")
    results = [
        integrate(path, ScoreFunction(TanhNet(SHAPE), chunk_size=size), TARGETS, rule, steps=13, nodes=nodes)
        for size in (1, 3, 7, 64)
    ]
    for other in results[1:]:
        for left, right in zip(results[0], other, strict=True):
            torch.testing.assert_close(left, right, rtol=1e-11, atol=1e-13)


def test_trapezoid_shares_the_gradients_at_its_knots():
    path, _ = make_path("coarse")
    score = ScoreFunction(TanhNet(SHAPE), chunk_size=4)
    integrate(path, score, TARGETS, "trapezoid", steps=10)
    assert score.cost.backward_images == 3 * 11  # one more than pieces, not two for each piece


@pytest.mark.parametrize("rule", RULES)
def test_the_gap_shrinks_as_pieces_do(rule):
    """Guards the weights: a rule whose weights do not sum to 1 keeps its gap however fine the pieces."""
    path, _ = make_path("coarse")
    score = ScoreFunction(TanhNet(SHAPE))
    coarse, fine = (integrate(path, score, TARGETS, rule, steps=steps).gap.abs().max() for steps in (12, 480))
    assert fine < 1e-12 if rule == "idgi" else fine < coarse / 20
