"""Credits against loops over one feature at a time, on paths, walks and with every way to cut."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from diffig.attribution import (
    IG2,
    SAMP,
    AdversarialGradientIntegration,
    FRInGe,
    GuidedIntegratedGradients,
    IntegratedGradients,
    ManifoldGuidedIG,
    PathWeightedIG,
    SplitIG,
    integrate,
)
from diffig.attribution.trace import path_of
from diffig.baselines import Dataset
from diffig.credit import IDGI, Agreeing, Proportional, Riemann
from diffig.integration.quadrature import cut
from diffig.scores import ScoreFunction
from oracle import credit_oracle as oracle
from oracle.codecs import Lossy
from oracle.models import ReLUNet, TanhNet, fixed, pictures
from oracle.paths_oracle import TanhOracle, guided_ig
from oracle.test_integrate_oracle import SHAPE, TARGETS, make_path

CREDITS = {
    "proportional": (Proportional(), {"p": 1, "q": 1}),
    "squared": (Proportional(2, 1, where="left"), {"p": 2, "q": 1, "where": "left"}),
    "gradient alone": (Proportional(1.5, 0, where="right"), {"p": 1.5, "q": 0, "where": "right"}),
    "step alone": (Proportional(0, 1), {"p": 0, "q": 1}),
    "even": (Proportional(0, 0), {"p": 0, "q": 0}),
    "trapezoid": (Proportional(1, 2, where="trapezoid"), {"p": 1, "q": 2, "where": "trapezoid"}),
    "footprint": (Proportional(2, 1, 0.2), {"p": 2, "q": 1, "width": 0.2}),
    "footprint of the step": (Proportional(2, 1, 0.7, "step"), {"p": 2, "q": 1, "width": 0.7, "unit": "step"}),
    "agreeing": (Agreeing(), {"p": 1, "q": 1, "agreeing": True}),
    "agreeing squares": (Agreeing(2, 0.2), {"p": 2, "q": 2, "agreeing": True, "width": 0.2}),
    "agreeing alike": (Agreeing(0), {"p": 0, "q": 0, "agreeing": True}),
    "idgi": (IDGI(), {"p": 2, "q": 0, "where": "left"}),
}


@pytest.mark.parametrize("kind", ["coarse", "bands", "points"])
@pytest.mark.parametrize("name", CREDITS)
def test_a_credit_equals_the_loop(name, kind):
    credit, options = CREDITS[name]
    path, point = make_path(kind)
    net = TanhNet(SHAPE)
    for steps, nodes, chunk in ((1, "uniform", 64), (7, "uniform", 6), (7, "score", 6)):
        score = ScoreFunction(net, "probability", chunk_size=chunk)
        asked = credit.needs_scores and credit.where != "left"
        cuts = cut(path, score, TARGETS, steps, nodes, asked).positions
        found = integrate(path, score, TARGETS, credit, steps=steps, nodes=nodes)
        for row, target in enumerate(TARGETS):
            model = TanhOracle(net, target)
            wanted = oracle.attribution(lambda at, row=row: point(row, at), model, cuts[row].tolist(), **options)
            np.testing.assert_allclose(found.attribution[row].numpy(), wanted, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("name", CREDITS)
@pytest.mark.parametrize("kind", ["one cell", "bands", "points"])
@pytest.mark.parametrize("nodes", ["uniform", "score", "arc_length"])
def test_no_change_of_the_score_is_lost(name, kind, nodes):
    path, _ = make_path(kind)
    for objective in ("probability", "logit"):
        for steps in (1, 2, 7, 64):
            found = integrate(
                path, ScoreFunction(TanhNet(SHAPE), objective), TARGETS, CREDITS[name][0], steps=steps, nodes=nodes
            )
            assert found.gap.abs().max() <= 1e-10


BANK = torch.rand(7, 3, 8, 8, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
WALKS = {
    "gig": lambda score, credit: GuidedIntegratedGradients(score, steps=5, credit=credit),
    "ma_gig": lambda score, credit: ManifoldGuidedIG(score, steps=5, autoencoder=Lossy(), credit=credit),
    "samp": lambda score, credit: SAMP(score, steps=8, credit=credit),
    "samp, uneven": lambda score, credit: SAMP(score, pixels_per_step=9, fragments=3, credit=credit),
    "agi": lambda score, credit: AdversarialGradientIntegration(score, n_classes=3, max_steps=4, credit=credit),
    "ig2": lambda score, credit: IG2(score, references=Dataset(BANK, 3), n_references=2, steps=6, credit=credit),
    "fringe": lambda score, credit: FRInGe(
        score, divergence=0.3, max_steps=2, radius=0.1, cg_iterations=3, credit=credit
    ),
    "split_ig": lambda score, credit: SplitIG(score, steps=5, phi=0.5, credit=credit),
    "split_ig, right": lambda score, credit: SplitIG(score, part="right", steps=5, phi=0.5, credit=credit),
    "path_weighted_ig": lambda score, credit: PathWeightedIG(score, steps=5, credit=credit),
}


@pytest.mark.parametrize("walk", WALKS)
@pytest.mark.parametrize("credit", [IDGI(), Proportional(2, 1, 0.1), Agreeing(2)], ids=str)
def test_walks_are_complete_too(walk, credit):
    images, _ = pictures(3, 3, 8, 8, seed=4)
    found = WALKS[walk](ScoreFunction(ReLUNet(), "probability"), credit).explain(images, target=TARGETS)
    assert found.gap.abs().max() <= 1e-10
    assert found.attribution.abs().sum() > 0


def test_guided_ig_divides_its_own_steps():
    images, baselines = pictures(2, *SHAPE)
    net, credit = TanhNet(SHAPE), Proportional(2, 1)
    method = GuidedIntegratedGradients(net, steps=9, fraction=0.25, max_distance=0.1, credit=credit)
    found = method.explain(images, baselines, TARGETS[:2]).attribution
    for row, target in enumerate(TARGETS[:2]):
        model = TanhOracle(net, target)
        points, _ = guided_ig(images[row].numpy(), baselines[row].numpy(), model, 9, 0.25, 0.1)
        wanted = sum(
            oracle.divide(model.gradient(old), new - old, model.value(new) - model.value(old), p=2, q=1)
            for old, new in itertools.pairwise(points)
        )
        np.testing.assert_allclose(found[row].numpy(), wanted, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("ends", [None, "residual", "decoded"])
def test_a_walk_divides_its_steps_as_the_stored_path_would(ends):
    images, _ = pictures(3, 3, 8, 8, seed=4)
    score, credit = ScoreFunction(ReLUNet(), "probability"), Proportional(2, 1, where="left")
    options = {"steps": 6, "credit": credit}
    if ends is None:
        method = GuidedIntegratedGradients(score, **options)
    else:
        method = ManifoldGuidedIG(score, autoencoder=Lossy(), ends=ends, **options)
    walked = method.explain(images, target=TARGETS)
    stored = integrate(path_of(method, images, TARGETS), score, TARGETS, credit)
    for left, right in zip(walked, stored, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-12)


def test_the_riemann_sum_of_a_walk_is_the_one_without_a_credit():
    images, _ = pictures(3, 3, 8, 8, seed=4)
    for walk in WALKS.values():
        first, second = (
            walk(ScoreFunction(ReLUNet()), credit).explain(images, target=TARGETS) for credit in (None, Riemann())
        )
        assert all(torch.equal(left, right) for left, right in zip(first, second, strict=True))


def test_parts_of_a_split_share_the_whole():
    images, _ = pictures(3, *SHAPE)
    score, credit = ScoreFunction(TanhNet(SHAPE)), Proportional(2, 1)
    left, right, full = (
        SplitIG(score, part=part, steps=9, phi=0.5, credit=credit).explain(images, target=TARGETS).attribution
        for part in ("left", "right", "full")
    )
    whole = IntegratedGradients(score, steps=9, credit=credit).explain(images, target=TARGETS).attribution
    torch.testing.assert_close(left + right, full, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(full, whole, rtol=1e-9, atol=1e-13)


def test_looking_for_nodes_gives_the_scores_of_the_cuts():
    path, _ = make_path("bands")
    score = ScoreFunction(TanhNet(SHAPE))
    integrate(path, score, TARGETS, Proportional(), steps=8, nodes="score")
    assert score.cost == (3 * (17 + 8), 3 * 8)
    score.reset_cost()
    integrate(path, score, TARGETS, Proportional(), steps=8)
    assert score.cost == (3 * (9 + 8), 3 * 8)
    score.reset_cost()
    integrate(path, score, TARGETS, IDGI(), steps=8)
    assert score.cost == (3 * (2 + 8), 3 * 8)


def test_a_broken_gradient_stays_with_its_image():
    class Broken(TanhNet):
        def forward(self, images):
            return super().forward(images) * torch.where(images.flatten(1)[:, :1] > 2, torch.nan, 1)

    path, _ = make_path("points")
    path._points[1, 1:, 0, 0, 0] = 3.0
    for credit in (Proportional(2, 1, 0.1), Agreeing(), IDGI()):
        found = integrate(path, ScoreFunction(Broken(SHAPE)), TARGETS, credit, steps=5)
        assert found.attribution[1].isnan().all()
        assert found.attribution[[0, 2]].isfinite().all()
        assert found.gap[[0, 2]].abs().max() < 1e-10


def test_a_saturated_score_loses_nothing():
    """Where no gradient is left but the score still moves, shares follow the step."""

    class Stairs(torch.nn.Module):
        def forward(self, images):
            level = (4 * images.flatten(1).mean(1)).floor() + 0 * images.flatten(1).sum(1)
            return torch.stack([level, torch.zeros_like(level)], 1)

    images = fixed((2, 1, 4, 4), 3).abs().clamp(0.1, 1)
    for credit in (Proportional(2, 1), Agreeing(2), IDGI(), Proportional(1, 1, 0.2)):
        found = IntegratedGradients(ScoreFunction(Stairs(), "logit"), steps=3, credit=credit).explain(images, target=0)
        assert found.gap.abs().max() < 1e-12
        if credit.footprint.width == 0:
            shares = found.attribution / found.attribution.flatten(1).sum(1)[:, None, None, None]
            torch.testing.assert_close(shares, images / images.flatten(1).sum(1)[:, None, None, None])
