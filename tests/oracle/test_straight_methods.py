"""Methods on the straight line and around the gradient, against loops, known models, Captum and their own promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from diffig.attribution import (
    IDGI,
    ExpectedGradients,
    Gradient,
    IntegratedDecisionGradients,
    IntegratedGradients,
    LocalPathIntegration,
    PathWeightedIG,
    SmoothGrad,
    SplitIG,
)
from diffig.attribution.idg import sample
from diffig.attribution.lpi import k_means
from diffig.attribution.split_ig import split
from diffig.baselines import Average, Constant, Dataset
from diffig.paths import GuidedPath, StickBreakingPath, StraightPath
from diffig.randomness import Streams
from diffig.scores import ScoreFunction
from oracle import paths_oracle as oracle
from oracle.models import Additive, Cliff, Deep, Linear, TanhNet, pictures

SHAPE = (2, 3, 4)
TARGETS = torch.tensor([0, 3, 1])


class Wave(nn.Module):
    """Class 0 scores `m + 0.4 sin(4 pi m)` of the mean pixel: half way is passed three times. Class 1 scores less."""

    def forward(self, images):
        mean = images.flatten(1).mean(1)
        value = mean + 0.4 * torch.sin(4 * math.pi * mean)
        return torch.stack([value, -value], 1)


def close(found, wanted, rtol=1e-10):
    wanted = np.asarray(wanted)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=rtol * np.abs(wanted).max())


# ---- gradient and SmoothGrad -------------------------------------------------------------------------------------


def test_gradient_is_the_gradient_and_no_contribution():
    net, (images, _) = TanhNet(SHAPE), pictures(3, *SHAPE)
    method = Gradient(ScoreFunction(net, "log_probability"))
    found = method.explain(images, target=TARGETS)
    for row, target in enumerate(TARGETS):
        close(found.attribution[row], oracle.TanhOracle(net, target, "log_probability").gradient(images[row].numpy()))
    assert found.gap.isnan().all()
    assert found.absolute_mass.isnan().all()
    assert not method.multiplies_by_inputs


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("adaptive", [False, True])
def test_smoothgrad_equals_the_loop(squared, adaptive):
    net, (images, baselines) = TanhNet(SHAPE), pictures(3, *SHAPE)
    options = {"squared": squared, "adaptive": adaptive, "times_input": squared}
    method = SmoothGrad(ScoreFunction(net, chunk_size=5), seed=4, steps=7, noise_level=0.3, confidence=0.8, **options)
    indices = torch.tensor([5, 2, 9])
    found = method.attribute(images, baselines, TARGETS, indices=indices)
    streams = Streams(4, indices)
    noise = [streams.normal(SHAPE, purpose=f"smoothgrad {copy}").double().numpy() for copy in range(7)]
    for row, target in enumerate(TARGETS):
        model, image, total = oracle.TanhOracle(net, target), images[row].numpy(), np.zeros(SHAPE)
        for copy in range(7):
            noisy = np.empty(SHAPE)
            for place in np.ndindex(*SHAPE):
                width = 0.3 * (image.max() - image.min())
                if adaptive:
                    width = min(image[place], 1 - image[place]) / 1.2815515655446004  # the normal quantile of .9
                noisy[place] = image[place] + width * noise[copy][row][place]
            total += model.gradient(noisy) ** (2 if squared else 1)
        close(found[row], total / 7 * (image - baselines[row].numpy() if squared else 1))


@pytest.mark.parametrize("squared", [False, True])
def test_smoothgrad_equals_captum_given_the_same_noise(monkeypatch, squared):
    captum = pytest.importorskip("captum.attr")
    net, (images, _) = Deep(), pictures(3)
    found = SmoothGrad(ScoreFunction(net, "logit"), seed=1, steps=9, squared=squared).attribute(images, target=TARGETS)
    tunnel = captum.NoiseTunnel(captum.Saliency(net))
    for row in range(3):  # their deviation is one number for all images, ours follows each image's range
        streams = Streams(1, torch.tensor([row]))
        noise = torch.cat([streams.normal((3, 8, 8), purpose=f"smoothgrad {copy}") for copy in range(9)]).double()
        monkeypatch.setattr(torch, "normal", lambda mean, std, noise=noise: std * noise)
        wanted = tunnel.attribute(
            images[row : row + 1],
            nt_type="smoothgrad_sq" if squared else "smoothgrad",
            nt_samples=9,
            stdevs=0.15 * (images[row].max() - images[row].min()).item(),
            target=TARGETS[row : row + 1],
            abs=False,
        )
        assert wanted.abs().max() > 1e-3
        # They round the deviation to float32.
        torch.testing.assert_close(found[row : row + 1], wanted, rtol=0, atol=1e-6 * wanted.abs().max().item())


def test_adaptive_noise_spares_black_and_white_and_leaves_the_range_as_often_as_asked():
    images = torch.tensor([0.0, 1.0, 0.1, 0.5, 0.8], dtype=torch.float64).view(1, 1, 1, 5).repeat(1, 1, 4000, 1)
    deviation = SmoothGrad(Deep(), adaptive=True, confidence=0.9).deviation(images)
    assert (deviation[..., :2] == 0).all()
    noisy = images + deviation * Streams.default(1).normal((1, 4000, 5)).double()
    # The nearer border is as far as the quantile: half of the 10 % lies beyond it, and little beyond the other.
    outside = ((noisy < 0) | (noisy > 1)).double().mean((0, 1, 2))[2:]
    torch.testing.assert_close(outside, torch.tensor([0.05, 0.1, 0.05], dtype=torch.float64), rtol=0, atol=0.02)


# ---- left and right IG -------------------------------------------------------------------------------------------


def split_oracle(image, baseline, model, steps, phi, crossing, rule):
    """Left and right part and the number of steps on the left, by a loop over nodes."""
    offset = {"left": 0.0, "midpoint": 0.5, "right": 1.0}[rule]
    nodes = [baseline + (k + offset) / steps * (image - baseline) for k in range(steps)]
    start, end = model.value(baseline), model.value(image)
    beyond = [(model.value(node) - start) / (end - start) > phi for node in nodes]
    count = steps
    if crossing == "first" and any(beyond):
        count = beyond.index(True)
    while crossing == "last" and count > 0 and beyond[count - 1]:
        count -= 1
    pieces = [model.gradient(node) * (image - baseline) / steps for node in nodes]
    zero = np.zeros_like(image)
    return sum(pieces[:count], zero), sum(pieces[count:], zero), count


@pytest.mark.parametrize("rule", ["left", "midpoint", "right"])
@pytest.mark.parametrize("crossing", ["first", "last"])
@pytest.mark.parametrize("phi", [0.3, 0.9])
def test_split_equals_the_loop(rule, crossing, phi):
    net, (images, baselines) = TanhNet(SHAPE), pictures(3, *SHAPE)
    score = ScoreFunction(net, "logit", chunk_size=7)
    found = split(score, images, baselines, TARGETS, steps=20, phi=phi, crossing=crossing, rule=rule)
    for row, target in enumerate(TARGETS):
        model, image, baseline = oracle.TanhOracle(net, target, "logit"), images[row].numpy(), baselines[row].numpy()
        left, right, count = split_oracle(image, baseline, model, 20, phi, crossing, rule)
        scale = np.abs(left + right).max()
        np.testing.assert_allclose(found.left.attribution[row].numpy(), left, rtol=0, atol=1e-12 * scale)
        np.testing.assert_allclose(found.right.attribution[row].numpy(), right, rtol=0, atol=1e-12 * scale)
        assert found.position[row].item() == pytest.approx(count / 20, abs=1e-15)
        start, middle, end = (model.value(baseline + a * (image - baseline)) for a in (0, count / 20, 1))
        assert found.left.gap[row].item() == pytest.approx(left.sum() - (middle - start), abs=1e-11)
        assert found.right.gap[row].item() == pytest.approx(right.sum() - (end - middle), abs=1e-11)
        assert found.change_share[row].item() == pytest.approx((end - middle) / (end - start), abs=1e-11)


@pytest.mark.parametrize("crossing", ["first", "last"])
@pytest.mark.parametrize("target", [0, 1])  # a rising score and a falling one
def test_left_ig_holds_phi_of_the_change(crossing, target):
    images = torch.ones(1, 1, 3, 3, dtype=torch.float64)
    net, steps = Cliff(0.6, 15.0), 2000
    score = ScoreFunction(net, "margin")
    for phi in (0.5, 0.8, 0.9, 0.95):
        method = SplitIG(score, phi=phi, steps=steps, crossing=crossing)
        total = IntegratedGradients(score, steps=steps).attribute(images, 0.0, target).sum()
        left = method.attribute(images, 0.0, target).sum()
        # The score moves by at most 15 / 4 times the width of the step that holds the crossing.
        assert abs(left / total - phi) <= 15 / 4 / steps
        _, gap = method.attribute(images, 0.0, target, return_convergence_delta=True)
        assert abs(gap) < 1e-5


def test_left_and_right_are_the_whole():
    images, baselines = pictures(3)
    score = ScoreFunction(Deep(), "logit")
    left, right, full = (
        SplitIG(score, part=part, steps=30, phi=0.6).explain(images, baselines, TARGETS)
        for part in ("left", "right", "full")
    )
    whole = IntegratedGradients(score, steps=30).explain(images, baselines, TARGETS)
    assert left.attribution.abs().amax((1, 2, 3)).min() > 1e-4
    assert right.attribution.abs().amax((1, 2, 3)).min() > 1e-4
    for one, other, together, wanted in zip(left, right, full, whole, strict=True):
        torch.testing.assert_close(one + other, wanted, rtol=0, atol=1e-13)
        torch.testing.assert_close(together, wanted, rtol=0, atol=1e-13)


def test_a_wave_is_cut_at_its_first_or_its_last_crossing():
    images = torch.ones(1, 1, 2, 2, dtype=torch.float64)
    score, target = ScoreFunction(Wave(), "logit"), torch.tensor([0])
    line = np.linspace(0, 1, 100_001)
    crossings = line[1:][np.diff(np.sign(line + 0.4 * np.sin(4 * np.pi * line) - 0.55)) != 0]
    assert len(crossings) == 3
    first, last = (
        split(score, images, torch.zeros_like(images), target, steps=500, phi=0.55, crossing=crossing).position.item()
        for crossing in ("first", "last")
    )
    assert first == pytest.approx(crossings[0], abs=1 / 500)
    assert last == pytest.approx(crossings[2], abs=1 / 500)


@pytest.mark.parametrize("crossing", ["first", "last"])
def test_where_no_node_lies_beyond_the_threshold_the_left_part_is_all(crossing):
    net, (images, baselines) = Linear(SHAPE), pictures(3, *SHAPE)
    score = ScoreFunction(net, "logit")
    found = split(score, images, baselines, TARGETS, steps=2, phi=0.9, crossing=crossing)
    assert (found.position == 1).all()
    assert (found.right.attribution == 0).all()
    assert (found.mass_share == 0).all()
    torch.testing.assert_close(found.left.attribution, net.contributions(images, baselines, TARGETS))
    still = split(score, images, images, TARGETS, crossing=crossing)  # a score that does not change crosses nothing
    assert (still.position == 1).all()
    assert still.change_share.isnan().all()


def test_the_saturated_part_can_be_much_mass_and_little_change():
    """Beyond the cliff this score waves without getting anywhere."""

    class Saturated(nn.Module):
        def forward(self, images):
            mean = images.flatten(1).mean(1)
            value = torch.sigmoid(60 * (mean - 0.3)) + 0.02 * torch.sin(40 * math.pi * mean)
            return torch.stack([value, -value], 1)

    images = torch.ones(2, 1, 2, 2, dtype=torch.float64)
    found = split(ScoreFunction(Saturated(), "logit"), images, torch.zeros_like(images), torch.tensor([0, 0]), phi=0.9)
    assert (found.mass_share > 0.3).all()
    assert (found.change_share < 0.12).all()
    assert ((found.position > 0.3) & (found.position < 0.4)).all()


# ---- IDGI and IDG ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [StraightPath(), GuidedPath(6), StickBreakingPath()])
@pytest.mark.parametrize("steps", [1, 3, 17])
def test_idgi_telescopes_for_any_number_of_steps(path, steps):
    images, baselines = pictures(3)
    score = ScoreFunction(Deep(), "logit")
    found = IDGI(score, path, steps=steps, n_paths=2).explain(images, baselines, TARGETS)
    assert found.gap.abs().max() < 1e-12
    change = score.score(images, TARGETS) - score.score(baselines, TARGETS)
    assert change.abs().min() > 0.05
    torch.testing.assert_close(found.attribution.flatten(1).sum(1), change)


@pytest.mark.parametrize("size", [1e-25, 1e-20, 1e-10])
def test_idgi_telescopes_where_squared_gradients_underflow(size):
    """As at a black image that has next to no probability of the class."""

    class Rise(nn.Module):
        def forward(self, images):
            mean = images.flatten(1).mean(1)
            return torch.stack([torch.where(mean > 0.5, mean, size * mean), torch.zeros_like(mean)], 1)

    found = IDGI(ScoreFunction(Rise(), "logit"), steps=2).explain(torch.full((1, 3, 2, 2), 0.9), 0.0, 0)
    assert found.gap.abs().item() < 1e-6
    torch.testing.assert_close(found.attribution, torch.full((1, 3, 2, 2), 0.075))


def test_idgi_is_the_rule_of_integrated_gradients():
    images, baselines = pictures(3)
    wanted = IntegratedGradients(Deep(), steps=5, rule="idgi").attribute(images, baselines, TARGETS)
    assert torch.equal(IDGI(Deep(), steps=5).attribute(images, baselines, TARGETS), wanted)


def idg_oracle(image, baseline, model, steps, probes, as_released):
    """The map and the places of one image."""
    difference, h = image - baseline, 1 / (probes - 1)
    scores = [model.value(baseline + k * h * difference) for k in range(probes)]
    slopes = [(scores[k] - scores[k - 1]) / h for k in range(1, probes)]
    scaled = [(slope - min(slopes)) / (max(slopes) - min(slopes)) for slope in slopes]
    quota = [steps * value / sum(scaled) for value in scaled]
    counts = [math.floor(value) for value in quota]
    empty = sorted((k for k in range(probes - 1) if counts[k] == 0), key=lambda k: -(quota[k] - counts[k]))
    busy = sorted((k for k in range(probes - 1) if counts[k] > 0), key=lambda k: -(quota[k] - counts[k]))
    for k in (empty + busy)[: steps - sum(counts)]:
        counts[k] += 1
    attribution, places, running = np.zeros_like(image), [], 0.0
    for k, count in enumerate(counts):
        begin = running if as_released else k * h
        for number in range(count):
            places.append(begin + (number + 0.5) / count * h)
            gradient = model.gradient(baseline + places[-1] * difference)
            attribution += difference * gradient * (gradient * difference).sum() * h / count
        running += h if count else 0.0
    return attribution, places


@pytest.mark.parametrize("as_released", [False, True])
@pytest.mark.parametrize(("steps", "probes"), [(9, 9), (4, 12), (30, 5), (1, 4)])
def test_idg_equals_the_loop(as_released, steps, probes):
    net, (images, baselines) = TanhNet(SHAPE), pictures(3, *SHAPE)
    score = ScoreFunction(net, "logit", chunk_size=8)
    method = IntegratedDecisionGradients(score, steps=steps, probes=probes, as_released=as_released)
    found = method.explain(images, baselines, TARGETS)
    assert score.cost == (3 * (steps + probes), 3 * steps)
    assert found.gap.isnan().all()
    for row, target in enumerate(TARGETS):
        model = oracle.TanhOracle(net, target, "logit")
        wanted, _ = idg_oracle(images[row].numpy(), baselines[row].numpy(), model, steps, probes, as_released)
        close(found.attribution[row], wanted)


def test_idg_looks_where_the_score_makes_up_its_mind_and_the_released_program_does_not():
    images = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    score = ScoreFunction(Cliff(0.8, 1 / 0.03), "logit")
    grid = torch.linspace(0, 1, 50, dtype=torch.float64)[:, None, None, None].expand(-1, 1, 4, 4)
    values = score.score(grid, torch.zeros(50, dtype=torch.long))[None]
    places, widths = sample(values, 50)
    assert places.shape == (1, 50)
    assert (places.diff(dim=1) > 0).all()
    assert places.median().item() == pytest.approx(0.8, abs=0.01)
    assert widths.sum().item() <= 1
    slid, _ = sample(values, 50, as_released=True)
    assert slid.median().item() == pytest.approx(0.19, abs=0.01)
    assert slid.max().item() < 0.4
    # The sum is the integral of the squared slope: s / 6 for a logistic step of slope s.
    total = IntegratedDecisionGradients(score, steps=50).attribute(images, 0.0, 0).sum().item()
    assert total == pytest.approx(1 / 0.03 / 6, rel=0.02)
    wrong = IntegratedDecisionGradients(score, steps=50, as_released=True).attribute(images, 0.0, 0).sum().item()
    assert wrong < 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_idg_samples_a_straight_score_evenly(dtype):
    """So is one cell alone, whose only slope is the smallest and the largest."""
    assert sample(torch.tensor([[0.2, 0.9]], dtype=dtype), 1)[0].item() == 0.5
    line = torch.linspace(0, 1, 6, dtype=dtype)[None] * torch.tensor([[0.7], [0.0], [-3.0]], dtype=dtype) + 0.1
    places, widths = sample(torch.cat([line, torch.full((1, 6), torch.nan, dtype=dtype)]), 10)
    wanted = ((torch.arange(10) + 0.5) / 10).to(dtype).expand(4, -1)
    torch.testing.assert_close(places, wanted)
    torch.testing.assert_close(widths, torch.full_like(widths, 0.1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("steps", [16, 64, 128])
def test_idg_of_a_linear_score_is_the_squared_change_in_either_precision(dtype, steps):
    """Rounded scores have slopes that differ; sampled by these, cells would go without a gradient."""
    images, baselines = (part.to(dtype) for part in pictures(3, *SHAPE))
    score = ScoreFunction(Linear(SHAPE).to(dtype), "logit")
    found = IntegratedDecisionGradients(score, steps=steps).attribute(images, baselines, TARGETS).flatten(1).sum(1)
    change = score.score(images, TARGETS) - score.score(baselines, TARGETS)
    torch.testing.assert_close(found, change.square(), rtol=1e-4, atol=0)


# ---- weights along the line --------------------------------------------------------------------------------------


def test_even_weights_are_integrated_gradients():
    images, baselines = pictures(3)
    score = ScoreFunction(Deep(), "logit")
    found = PathWeightedIG(score, steps=13).explain(images, baselines, TARGETS)
    wanted = IntegratedGradients(score, steps=13).explain(images, baselines, TARGETS)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("p", "q"), [(0.5, 0.5), (2.0, 1.0), (1.0, 7.0)])
def test_weights_have_mean_one_also_where_the_density_has_no_bound(p, q):
    net, (images, baselines) = Linear(SHAPE), pictures(3, *SHAPE)
    found = PathWeightedIG(ScoreFunction(net, "logit"), steps=9, p=p, q=q).attribute(images, baselines, TARGETS)
    torch.testing.assert_close(found, net.contributions(images, baselines, TARGETS))


def test_the_density_form_is_its_integral():
    net, (images, baselines) = Additive(SHAPE), pictures(3, *SHAPE)
    found = PathWeightedIG(ScoreFunction(net, "logit"), steps=400, p=2, q=3).attribute(images, baselines, TARGETS)
    difference, wanted = images - baselines, torch.zeros_like(images)
    for k in range(4000):
        a = (k + 0.5) / 4000
        slope = 2 * net.weight[TARGETS] * torch.cos(2 * (baselines + a * difference))
        wanted += 12 * a * (1 - a) ** 2 * slope * difference / 4000
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("p", "q"), [(1.0, 1.0), (2.0, 1.0)])
def test_the_sampled_form_averages_over_baselines_on_the_line(p, q):
    net, (images, baselines) = Additive(SHAPE), pictures(3, *SHAPE)
    score = ScoreFunction(net, "logit")
    found = PathWeightedIG(score, steps=600, p=p, q=q, sampled=True).explain(images, baselines, TARGETS)
    levels = (torch.arange(3000, dtype=torch.float64) + 0.5) / 3000
    drawn = levels ** (1 / p)  # the quantiles of Beta(p, 1)
    starts = [baselines + b * (images - baselines) for b in drawn]
    wanted = torch.stack([net.contributions(images, start, TARGETS) for start in starts]).mean(0)
    torch.testing.assert_close(found.attribution, wanted, rtol=0, atol=1e-5)
    assert found.gap.abs().max() < 1e-3  # against the mean score of such baselines, not that of the black image


# ---- references --------------------------------------------------------------------------------------------------


def bank(size=5, seed=8):
    return pictures(size, *SHAPE, seed=seed)[0]


def test_expected_gradients_of_a_linear_score_are_known_draw_by_draw():
    net, (images, _) = Linear(SHAPE), pictures(3, *SHAPE)
    method = ExpectedGradients(ScoreFunction(net, "logit", chunk_size=4), references=Dataset(bank()), steps=11)
    picks, places = method.draws(images, Streams.default(3))
    found = method.explain(images, target=TARGETS)
    wanted = torch.stack(
        [
            torch.stack([net.weight[target] * (image - bank()[pick]) for pick in row]).mean(0)
            for image, target, row in zip(images, TARGETS, picks, strict=True)
        ]
    )
    torch.testing.assert_close(found.attribution, wanted)
    assert found.gap.abs().max() < 1e-12
    assert ((places >= 0) & (places < 1)).all()
    assert method.score.cost == (3 * (2 * 11 + 1), 3 * 11)


@pytest.mark.parametrize("stratified", [False, True])
def test_expected_gradients_are_unbiased_for_the_mean_of_integrated_gradients(stratified):
    net, (images, _) = Additive(SHAPE), pictures(2, *SHAPE)
    targets = TARGETS[:2]
    wanted = torch.stack(
        [net.contributions(images, reference.expand_as(images), targets) for reference in bank()]
    ).mean(0)
    options = {"references": Dataset(bank()), "steps": 20, "stratified": stratified}
    runs = [ExpectedGradients(ScoreFunction(net, "logit"), seed=seed, **options) for seed in range(150)]
    found = [run.explain(images, target=targets) for run in runs]
    maps = torch.stack([run.attribution for run in found])
    errors = (maps.mean(0) - wanted) / (maps.std(0) / len(runs) ** 0.5)
    assert errors.square().mean() < 2
    assert errors.abs().max() < 4.5
    gaps = torch.stack([run.gap for run in found])
    assert (gaps.mean(0).abs() < 4 * gaps.std(0) / len(runs) ** 0.5).all()


def test_strata_take_noise_away_and_are_filled_once():
    net, (images, _) = Additive(SHAPE), pictures(1, *SHAPE)
    references = Dataset(bank())
    spread = []
    for stratified in (False, True):
        runs = [
            ExpectedGradients(
                ScoreFunction(net, "logit"), seed=seed, references=references, steps=20, stratified=stratified
            )
            for seed in range(30)
        ]
        spread.append(torch.stack([run.attribute(images, target=0) for run in runs]).var(0).mean())
    assert spread[1] < spread[0] / 2
    picks, places = runs[0].draws(images, Streams.default(1))
    assert torch.equal((places[0] * 20).long(), torch.arange(20))
    assert torch.equal(picks[0].bincount(), torch.full((5,), 4))


def test_a_baseline_of_several_parts_changes_nothing_where_references_are_drawn():
    images, _ = pictures(2, *SHAPE)
    both = Average([Constant(0.0), Constant(1.0)])
    one, other = (
        ExpectedGradients(TanhNet(SHAPE), baseline, references=Dataset(bank()), steps=4) for baseline in (None, both)
    )
    assert torch.equal(one.attribute(images, target=1), other.attribute(images, target=1))
    assert one.score.cost == other.score.cost


@pytest.mark.parametrize(
    ("make", "repeats"),
    [
        (Gradient, 1),
        (SmoothGrad, 1),
        (lambda score, baseline: SmoothGrad(score, baseline, times_input=True), 2),
    ],
)
def test_slopes_are_not_taken_once_more_for_each_part_of_a_baseline(make, repeats):
    images, _ = pictures(2, *SHAPE)
    both = Average([Constant(0.0), Constant(1.0)])
    one, other = (make(ScoreFunction(TanhNet(SHAPE)), baseline) for baseline in (None, both))
    found = [method.attribute(images, target=1) for method in (one, other)]
    assert other.score.cost.backward_images == repeats * one.score.cost.backward_images
    assert torch.equal(*found) == (repeats == 1)


@pytest.mark.parametrize("stratified", [False, True])
def test_lpi_with_one_cluster_is_expected_gradients(stratified):
    images, _ = pictures(3, *SHAPE)
    options = {"references": Dataset(bank()), "steps": 30, "stratified": stratified}
    lpi = LocalPathIntegration(TanhNet(SHAPE), seed=3, n_clusters=1, **options)
    wanted = ExpectedGradients(TanhNet(SHAPE), seed=3, **options)
    assert torch.equal(lpi.draws(images, Streams.default(3))[0], wanted.draws(images, Streams.default(3))[0])
    assert torch.equal(lpi.attribute(images, target=TARGETS), wanted.attribute(images, target=TARGETS))


def test_lpi_draws_near_the_image():
    groups = torch.cat([level + 0.05 * bank(4, seed) for seed, level in enumerate((0.0, 0.45, 0.9))])
    images = torch.stack([torch.full(SHAPE, level, dtype=torch.float64) for level in (0.1, 0.5, 0.99)])
    for n_nearest, wanted in ((1, [{0}, {1}, {2}]), (2, [{0, 1}, None, {1, 2}]), (9, [{0, 1, 2}] * 3)):
        method = LocalPathIntegration(
            TanhNet(SHAPE), references=Dataset(groups), steps=60, n_clusters=3, n_nearest=n_nearest
        )
        picks, _ = method.draws(images, Streams.default(3))
        for row, expected in zip(picks, wanted, strict=True):
            if expected is not None:  # the image in the middle has two neighbours about as near
                assert {int(pick) // 4 for pick in row} == expected


def test_k_means_finds_groups_and_survives_equal_points():
    points = torch.cat([bank(6, seed).flatten(1) * 0.1 + seed for seed in range(4)])
    centres, member = k_means(points, 4, seed=0)
    assert [len(set(member[6 * group : 6 * group + 6].tolist())) for group in range(4)] == [1] * 4
    torch.testing.assert_close(centres[member[0]], points[:6].mean(0))
    centres, member = k_means(torch.ones(5, 3), 4, seed=0)
    assert centres.shape == (1, 3)
    assert (member == 0).all()


def test_a_new_bank_is_clustered_anew():
    images, _ = pictures(2, *SHAPE)
    method = LocalPathIntegration(TanhNet(SHAPE), references=Dataset(bank()), steps=20, n_clusters=2)
    before = method.attribute(images, target=0)
    method.references.bank = bank(9, seed=1)
    fresh = LocalPathIntegration(TanhNet(SHAPE), references=Dataset(bank(9, seed=1)), steps=20, n_clusters=2)
    after = method.attribute(images, target=0)
    assert torch.equal(after, fresh.attribute(images, target=0))
    assert not torch.equal(after, before)


# ---- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SplitIG(Deep(), part="middle"), r"part='middle' .* \['left', 'right', 'full'\]"),
        (lambda: SplitIG(Deep(), rule="idgi"), r"rule='idgi' .* \['left', 'midpoint', 'right'\]"),
        (lambda: SplitIG(Deep(), crossing="any"), r"crossing='any' .* \['first', 'last'\]"),
        (lambda: SplitIG(Deep(), phi=1.0), r"phi=1.0 must lie in \(0, 1\)"),
        (lambda: SmoothGrad(Deep(), noise_level=0), "noise_level=0 must be positive; .* method=gradient"),
        (lambda: SmoothGrad(Deep(), adaptive=True, confidence=1), r"confidence=1 must lie in \(0, 1\)"),
        (lambda: IntegratedDecisionGradients(Deep(), probes=1), "probes=1 must be a whole number of at least 2"),
        (lambda: PathWeightedIG(Deep(), p=0), "p=0 and q=1.0 must both be positive"),
        (lambda: ExpectedGradients(Deep(), steps=0), "steps=0 must be a whole number of at least 1"),
        (lambda: LocalPathIntegration(Deep(), n_clusters=0), "n_clusters=0 must be a whole number of at least 1"),
    ],
)
def test_settings_that_make_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("kind", [ExpectedGradients, LocalPathIntegration])
def test_a_bank_is_needed_and_must_fit(kind):
    images, _ = pictures(2)
    with pytest.raises(ValueError, match=f"{kind.name} has no bank of images; give references"):
        kind(Deep()).attribute(images, target=0)
    with pytest.raises(ValueError, match=r"the bank holds images \(2, 3, 4\), not \(3, 8, 8\)"):
        kind(Deep(), references=Dataset(bank())).attribute(images, target=0)
