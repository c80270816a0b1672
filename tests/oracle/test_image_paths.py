"""Blur IG, Spectral IG, SAMP and Reveal-IG against formulas written out, and against what they promise."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from diffig.attribution import SAMP, BlurIG, IntegratedGradients, RevealIG, SAMPPlusPlus, SpectralIG
from diffig.baselines import Average, Blur, Constant
from diffig.checks import NonFiniteWarning
from diffig.paths import GreedyPixelPath, HaarBasis, ScaleSpacePath, SpectralPath
from diffig.paths.blur_ig import gaussian_blur
from diffig.paths.spectra import CosineSpectrum
from diffig.paths.spectral_ig import progress
from diffig.randomness import Streams
from diffig.scores import ScoreFunction
from oracle import image_paths_oracle as oracle
from oracle.models import Additive, FourFeatures, Linear, Spy, TanhNet, fixed, pictures
from oracle.paths_oracle import TanhOracle

SHAPE = (3, 6, 5)
TARGETS = torch.tensor([0, 3, 1, 4])
BASES = ["svd", "svd_joint", "dct", "haar", "laplacian"]


def small_pictures():
    return pictures(4, *SHAPE, seed=12)


def made(generator, images, baselines, net=None):
    """The path of a generator, for classes 0 where they matter."""
    targets = torch.zeros(len(images), dtype=torch.long)
    return generator.generate(images, baselines, targets, ScoreFunction(net or TanhNet(images.shape[1:]), "logit"))


# ---- Blur IG ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["constant", "reflect"])
@pytest.mark.parametrize("size", [(6, 5), (1, 1), (1, 7), (2, 3), (16, 4)])
@pytest.mark.parametrize("truncate", [4.0, 2.5])
def test_the_blur_is_scipys_for_every_width_in_one_batch(padding, size, truncate):
    """Kernels reach up to 40 times further than the image."""
    sigmas = torch.tensor([0.0, 0.1, 0.4, 1.0, 3.7, 50.0], dtype=torch.float64)
    images, _ = pictures(6, 2, *size)
    found = gaussian_blur(images, sigmas, padding, truncate)
    assert torch.equal(found[0], images[0])
    for row, sigma in enumerate(sigmas.tolist()):
        wanted = oracle.blur(images[row].numpy(), sigma, padding, truncate)
        np.testing.assert_allclose(found[row].numpy(), wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("spacing", ["linear", "sqrt"])
@pytest.mark.parametrize("padding", ["constant", "reflect"])
def test_blur_ig_is_a_sum_over_blurred_frames(padding, spacing):
    images, _ = small_pictures()
    net = TanhNet(SHAPE)
    left = 1 - np.arange(11) / 10
    sigmas = 2.5 * (np.sqrt(left) if spacing == "sqrt" else left)
    method = BlurIG(net, steps=10, rule="left", sigma_max=2.5, reference_side=None, padding=padding, spacing=spacing)
    found = method.attribute(images, target=TARGETS)
    for row, target in enumerate(TARGETS):
        wanted = oracle.blur_ig_by_frames(images[row].numpy(), TanhOracle(net, target), sigmas, padding)
        assert np.abs(found[row].numpy() - wanted).max() <= 1e-12 * np.abs(wanted).max()


def test_blur_ig_has_the_limit_of_the_authors_formula():
    """Their sum has an error of first order: 8 times the steps, an eighth of it."""
    images, _ = small_pictures()
    net = TanhNet(SHAPE)
    method = BlurIG(net, steps=1000, sigma_max=2.0, reference_side=None, truncate=10.0)
    found = method.attribute(images[:1], target=3)[0].numpy()
    errors = []
    for steps in (50, 400):
        wanted = oracle.blur_ig_by_derivative(images[0].numpy(), TanhOracle(net, 3), 2.0, steps, "constant", 10.0, 1e-6)
        errors.append(np.abs(found - wanted).max() / np.abs(wanted).max())
    assert errors[1] < 4e-3
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.1)


@pytest.mark.parametrize("rule", ["left", "right", "midpoint", "trapezoid", "idgi"])
def test_blur_ig_is_complete_to_the_blurred_image(rule):
    images, _ = small_pictures()
    score = ScoreFunction(TanhNet(SHAPE))
    steps = 8 if rule == "idgi" else 1500
    found = BlurIG(score, steps=steps, rule=rule, sigma_max=2.0, reference_side=None).explain(images, target=TARGETS)
    blurred = np.stack([oracle.blur(image, 2.0, "constant") for image in images.numpy()])
    wanted = score.score(images, TARGETS) - score.score(torch.from_numpy(blurred), TARGETS)
    tolerance = 1e-12 if rule == "idgi" else 2e-3 * wanted.abs().max()
    torch.testing.assert_close(found.attribution.flatten(1).sum(1), wanted, rtol=0, atol=float(tolerance))
    torch.testing.assert_close(found.gap, found.attribution.flatten(1).sum(1) - wanted, rtol=0, atol=1e-12)


def test_scale_space_starts_blurred_and_ends_at_the_image():
    images, baselines = small_pictures()
    path = made(ScaleSpacePath(7, sigma_max=50, reference_side=60), images, baselines)
    points = path.points(0, 8)
    assert torch.equal(points[:, -1], images)
    sigma = 50 * 6 / 60  # the longer side has 6 pixels
    wanted = gaussian_blur(images, torch.full((4,), sigma, dtype=torch.float64))
    assert torch.equal(points[:, 0], wanted)
    between = path.at(torch.full((4, 1), 3.5, dtype=torch.float64))[:, 0]
    half = gaussian_blur(images, torch.full((4,), sigma / 2, dtype=torch.float64))
    torch.testing.assert_close(between, half, rtol=0, atol=1e-14)  # a blur, not the mean of two


def test_blur_ig_takes_no_notice_of_baselines():
    images, baselines = small_pictures()
    plain = BlurIG(TanhNet(SHAPE), steps=5)
    both = BlurIG(TanhNet(SHAPE), Average([Constant(0.0), Constant(1.0)]), steps=5)
    assert torch.equal(plain.attribute(images, baselines, 0), both.attribute(images, target=0))
    assert both.score.cost.backward_images == 4 * 5


# ---- Spectral IG ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("overlap", [0.1, 0.4])
def test_singular_paths_equal_one_pair_at_a_time(joint, overlap):
    images, baselines = small_pictures()
    basis = "svd_joint" if joint else "svd"
    path = made(SpectralPath(basis, overlap, n_segments=10), images, baselines)
    times = torch.tensor([0.5, 2.0, 3.3, 7.7, 9.9], dtype=torch.float64)
    found = path.at(times.expand(4, -1))
    for row in range(4):
        for k, time in enumerate(times.tolist()):
            wanted = oracle.spectral_point(images[row].numpy(), baselines[row].numpy(), time / 10, overlap, joint)
            np.testing.assert_allclose(found[row, k].numpy(), wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("gate", ["linear", "cosine", "sigmoid", "step"])
@pytest.mark.parametrize("overlap", [0.0, 0.4, 1.0])
def test_spectral_paths_join_their_ends_bitwise(basis, gate, overlap):
    for dtype in (torch.float32, torch.float64):
        images, baselines = pictures(3, 3, 7, 10, dtype=dtype)
        points = made(
            SpectralPath(basis, overlap, gate, n_segments=9), images, baselines, TanhNet((3, 7, 10), dtype=dtype)
        ).points(0, 10)
        assert points.isfinite().all()
        assert torch.equal(points[:, 0], baselines)
        assert torch.equal(points[:, -1], images)
        assert points.dtype == dtype


@pytest.mark.parametrize("basis", BASES)
def test_full_overlap_is_integrated_gradients(basis):
    images, baselines = small_pictures()
    net = TanhNet(SHAPE)
    found = SpectralIG(net, steps=9, basis=basis, overlap=1.0).attribute(images, baselines, TARGETS)
    wanted = IntegratedGradients(net, steps=9).attribute(images, baselines, TARGETS)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-13 * wanted.abs().max().item())
    part = SpectralIG(net, steps=9, basis=basis, overlap=0.4).attribute(images, baselines, TARGETS)
    assert (part - wanted).abs().max() > 1e-2 * wanted.abs().max()


@pytest.mark.parametrize("basis", ["svd", "dct", "haar"])
@pytest.mark.parametrize("turn", ["left-right", "upside-down", "transposed"])
def test_spectral_paths_turn_with_the_image(basis, turn):
    images, baselines = pictures(3, 2, 8, 8, seed=4)

    def turned(tensor):
        return tensor.mT if turn == "transposed" else tensor.flip(-1 if turn == "left-right" else -2)

    generator = SpectralPath(basis, n_segments=6)
    points = made(generator, images, baselines).points(0, 7)
    again = made(generator, turned(images), turned(baselines)).points(0, 7)
    torch.testing.assert_close(again, turned(points), rtol=0, atol=1e-13)
    assert (again - points).abs().max() > 0.1


def test_without_overlap_singular_pairs_come_one_by_one():
    images, baselines = pictures(1, 1, 6, 6, seed=3)
    path = made(SpectralPath("svd", 0.0, n_segments=1000), images, baselines)
    values = torch.linalg.svdvals((images - baselines)[0, 0])
    for time in (0.001, 0.3, 0.6, 0.9):
        point = path.at(torch.tensor([[1000 * time]], dtype=torch.float64))[0, 0, 0]
        here = torch.linalg.svdvals(point - baselines[0, 0])
        there = torch.where(1 - values / values[0] < time, values, 0)
        torch.testing.assert_close(here, there, rtol=0, atol=1e-12)


def test_the_cosine_transform_is_scipys():
    difference = fixed((2, 3, 5, 8), 1)
    spectrum = CosineSpectrum(difference)
    wanted = dctn(difference.numpy(), axes=(2, 3), norm="ortho")
    np.testing.assert_allclose(spectrum.coefficients.numpy(), wanted, rtol=0, atol=1e-13)
    whole = spectrum.combine(torch.ones(2, 1, 1, 5, 8, dtype=torch.float64))[:, 0]
    torch.testing.assert_close(whole, difference, rtol=0, atol=1e-13)
    strengths = spectrum.strengths[0, 0]
    assert strengths[0, 0] == 1
    assert strengths[4, 7] == 0
    assert strengths[2, 0] == pytest.approx(1 - 0.5 / math.sqrt(2))


def test_haar_bands_are_differences_of_block_means():
    difference = fixed((2, 1, 6, 9), 2)
    bands = HaarBasis(3).components(difference)
    means = []
    for side in (4, 2):
        mean = torch.empty_like(difference)
        for y in range(0, 6, side):
            for x in range(0, 9, side):
                block = difference[..., y : y + side, x : x + side]
                mean[..., y : y + side, x : x + side] = block.mean((2, 3), keepdim=True)
        means.append(mean)
    wanted = torch.stack([means[0], means[1] - means[0], difference - means[1]], 1)
    torch.testing.assert_close(bands, wanted, rtol=0, atol=1e-14)
    aligned = HaarBasis(3).components(fixed((1, 1, 8, 8), 3))[0].flatten(1)  # no block is cut: orthogonal bands
    torch.testing.assert_close(aligned @ aligned.T, torch.diag((aligned**2).sum(1)), rtol=0, atol=1e-13)


def test_gates_rise_from_0_to_1_in_their_own_ways():
    times = torch.linspace(0, 1, 101, dtype=torch.float64)
    strength = torch.tensor(0.5, dtype=torch.float64)
    gates = {gate: progress(times, strength, 0.4, gate) for gate in ("linear", "cosine", "sigmoid", "step")}
    for gate in gates.values():
        assert (gate[:31] == 0).all()  # starts at (1 - .4)(1 - .5) = .3
        torch.testing.assert_close(gate[70:], torch.ones_like(gate[70:]), rtol=0, atol=1e-12)
        assert (gate.diff() >= -1e-12).all()
    quarter = {name: gate[40].item() for name, gate in gates.items()}
    assert quarter["linear"] == pytest.approx(0.25)
    assert quarter["cosine"] == pytest.approx((1 - math.cos(math.pi / 4)) / 2)
    low, high, here = (1 / (1 + math.exp(-place)) for place in (-6, 6, -3))
    assert quarter["sigmoid"] == pytest.approx((here - low) / (high - low))
    assert quarter["step"] == 0


@pytest.mark.parametrize("basis", BASES)
def test_spectral_ig_on_additive_scores_gives_their_contributions(basis):
    """Without interactions every path has the same integral, turning back included."""
    images, baselines = small_pictures()
    net = Additive(SHAPE)
    found = SpectralIG(ScoreFunction(net, "logit"), steps=600, basis=basis).explain(images, baselines, TARGETS)
    wanted = net.contributions(images, baselines, TARGETS)
    torch.testing.assert_close(found.attribution, wanted, rtol=0, atol=1e-4 * wanted.abs().max().item())
    assert found.gap.abs().max() < 1e-4


def test_spectral_ig_of_an_image_that_is_its_baseline_is_0():
    images, _ = small_pictures()
    for basis in BASES:
        found = SpectralIG(TanhNet(SHAPE), steps=4, basis=basis).explain(images, images, TARGETS)
        assert (found.attribution == 0).all()


def test_a_bad_image_does_not_stop_the_decomposition_of_the_others():
    images, baselines = small_pictures()
    alone = SpectralIG(TanhNet(SHAPE), steps=4).attribute(images[:1], baselines[:1], 0)
    images[1, 0, 2, 2] = torch.nan
    with pytest.warns(NonFiniteWarning, match=r"\[1\]"):
        found = SpectralIG(TanhNet(SHAPE), steps=4).attribute(images, baselines, 0)
    torch.testing.assert_close(found[:1], alone, rtol=1e-12, atol=1e-15)
    assert found[1].isnan().all()


# ---- SAMP -------------------------------------------------------------------------------------------------------


def some_equal_pixels():
    images, baselines = small_pictures()
    baselines[:2, :, 0, :2] = images[:2, :, 0, :2]  # two pixels of two images have nowhere to go
    return images, baselines


@pytest.mark.parametrize("direction", ["insertion", "deletion"])
@pytest.mark.parametrize(("pixels", "fragments", "momentum"), [(4, 1, 1.0), (7, 12, 1.0), (3, 40, 0.5), (30, 6, 0.3)])
def test_samp_equals_one_image_at_a_time(direction, pixels, fragments, momentum):
    images, baselines = some_equal_pixels()
    net = TanhNet(SHAPE)
    options = {"pixels_per_step": pixels, "fragments": fragments, "momentum": momentum}
    found = SAMP(net, directions=direction, **options).explain(images, baselines, TARGETS)
    path = GreedyPixelPath(**options, direction=direction).generate(images, baselines, TARGETS, ScoreFunction(net))
    for row, target in enumerate(TARGETS):
        points, wanted = oracle.samp(
            images[row].numpy(),
            baselines[row].numpy(),
            TanhOracle(net, target),
            pixels,
            fragments,
            momentum,
            direction == "deletion",
        )
        assert np.abs(found.attribution[row].numpy() - wanted).max() <= 1e-12 * np.abs(wanted).max()
        if direction == "deletion":
            points = points[::-1]
        ours = path.points(0, path.n_segments + 1)[row].numpy()
        waiting = path.n_segments + 1 - len(points)  # for the slowest image of the batch
        pad = [points[0]] * waiting + points if direction == "deletion" else points + [points[-1]] * waiting
        np.testing.assert_allclose(ours, np.stack(pad), rtol=0, atol=1e-13)


def test_both_directions_are_averaged():
    images, baselines = some_equal_pixels()
    options = {"pixels_per_step": 5, "fragments": 8}
    both, there, back = (
        SAMP(TanhNet(SHAPE), directions=directions, **options).explain(images, baselines, TARGETS)
        for directions in ("both", "insertion", "deletion")
    )
    for value, one, other in zip(both, there, back, strict=True):
        torch.testing.assert_close(value, (one + other) / 2, rtol=1e-12, atol=1e-15)
    assert (there.attribution - back.attribution).abs().max() > 1e-2 * both.attribution.abs().max()


@pytest.mark.parametrize("direction", ["insertion", "deletion"])
@pytest.mark.parametrize("steps", [1, 2, 7, 20, 64])
@pytest.mark.parametrize("objective", ["logit", "probability"])
def test_the_walk_keeps_its_promises(direction, steps, objective):
    images, baselines = some_equal_pixels()
    score = ScoreFunction(TanhNet(SHAPE), objective)
    path = GreedyPixelPath(steps, direction=direction)
    walk = list(path.walk(images, baselines, TARGETS, score))
    start, end = (baselines, images) if direction == "insertion" else (images, baselines)
    assert len(walk) <= steps
    assert score.cost.backward_images <= 4 * steps
    assert torch.equal(walk[0][0], start)
    assert torch.equal(walk[-1][1], end)
    longest = (images - baselines).abs().flatten(1).sum(1) / max(1, steps // 2)
    for (_, new, _), (old, _, _) in pairwise(walk):
        assert torch.equal(new, old)
    for old, new, _ in walk:
        assert ((new - old).abs().flatten(1).sum(1) <= longest * (1 + 1e-12)).all()
        assert ((new - old) * (end - old) >= 0).all()  # never backwards
        assert ((end - new) * (end - old) >= 0).all()  # never too far


@pytest.mark.parametrize("fragments", [None, 1, 3, 20])
def test_the_budget_is_used_up_and_not_exceeded(fragments):
    images, baselines = pictures(3, 3, 20, 20, seed=5)
    net = TanhNet((3, 20, 20))
    for direction in ("insertion", "deletion"):
        score = ScoreFunction(net)
        walk = list(GreedyPixelPath(20, None, fragments, 1.0, direction).walk(images, baselines, TARGETS[:3], score))
        assert 18 <= len(walk) <= 20
        assert score.cost.backward_images >= 3 * 18


@pytest.mark.parametrize("fragments", [None, 1, 6])
def test_a_given_number_of_pixels_decides_how_many_steps_there_are(fragments):
    images, baselines = pictures(1, 3, 6, 6)
    for direction in ("insertion", "deletion"):
        path = GreedyPixelPath(4, 5, fragments, direction=direction)
        walk = list(path.walk(images, baselines, TARGETS[:1], ScoreFunction(TanhNet((3, 6, 6)))))
        assert 36 / 5 <= len(walk) <= 36 / 5 + 1 + path.fragments


def test_equal_gains_are_told_apart_by_rank():
    """Of a score as flat as a probability all pixels would lie within an absolute tolerance."""

    class Flat(torch.nn.Module):
        def forward(self, images):
            total = 1e-9 * images.flatten(1).sum(1)
            return torch.stack([total, -total], 1)

    images, baselines = torch.ones(2, 1, 5, 5, dtype=torch.float64), torch.zeros(2, 1, 5, 5, dtype=torch.float64)
    score = ScoreFunction(Flat())
    walk = list(GreedyPixelPath(pixels_per_step=4, fragments=1).walk(images, baselines, TARGETS[:2] * 0, score))
    moved = [int((new != old)[0].sum()) for old, new, _ in walk]
    assert moved == [4, 4, 4, 4, 4, 4, 1]
    assert (walk[0][1].flatten(1)[:, :4] == 1).all()  # the first of equals


def test_images_that_have_arrived_cost_nothing():
    images, baselines = some_equal_pixels()
    baselines[2] = images[2]
    baselines[3, :, 1:] = images[3, :, 1:]  # one row of 5 pixels has to move
    spy = Spy(TanhNet(SHAPE))
    score = ScoreFunction(spy)
    list(GreedyPixelPath(pixels_per_step=4, fragments=1).walk(images, baselines, TARGETS, score))
    assert spy.backward_images == 7 + 7 + 0 + 2
    assert score.cost == (spy.forward_images, spy.backward_images)


@pytest.mark.parametrize("make", [SAMP, SAMPPlusPlus])
def test_samp_on_linear_scores_is_exact(make):
    images, baselines = some_equal_pixels()
    net = Linear(SHAPE)
    found = make(ScoreFunction(net, "logit"), steps=10).explain(images, baselines, TARGETS)
    torch.testing.assert_close(found.attribution, net.contributions(images, baselines, TARGETS), rtol=0, atol=1e-12)
    assert found.gap.abs().max() < 1e-12


@pytest.mark.parametrize("directions", ["insertion", "deletion", "both"])
def test_samp_on_additive_scores_tends_to_their_contributions(directions):
    images, baselines = some_equal_pixels()
    net = Additive(SHAPE)
    wanted = net.contributions(images, baselines, TARGETS)
    errors, gaps = [], []
    for fragments in (200, 800):
        method = SAMP(
            ScoreFunction(net, "logit"), pixels_per_step=40, fragments=fragments, momentum=1.0, directions=directions
        )
        found = method.explain(images, baselines, TARGETS)
        errors.append(((found.attribution - wanted).abs().max() / wanted.abs().max()).item())
        gaps.append(found.gap.abs().max().item() / wanted.abs().max().item())
    # A left sum: four times the steps, a quarter of the error; both directions err in opposite ways.
    assert errors[1] < 0.02
    if directions != "both":
        assert 3 < errors[0] / errors[1] < 5
    assert gaps[1] < gaps[0] / 2


def test_features_that_need_each_other_are_told_apart():
    images = torch.tensor([[[[0.9, 0.8], [0.7, 0.6]]]], dtype=torch.float64)
    score = ScoreFunction(FourFeatures(), "logit")
    options = {"pixels_per_step": 1, "fragments": 200}
    there, back = (
        SAMP(score, directions=directions, **options).explain(images, 0.0, 0)
        for directions in ("insertion", "deletion")
    )
    line = IntegratedGradients(score, steps=200).explain(images, 0.0, 0)
    change = score.score(images, TARGETS[:1]).item()
    for found in (there, back, line):
        assert found.attribution.sum().item() == pytest.approx(change, abs=0.02)
    assert (there.attribution - line.attribution).abs().max() > 0.05
    assert (there.attribution - back.attribution).abs().max() > 0.05


def test_momentum_of_1_is_samp():
    images, baselines = some_equal_pixels()
    net = TanhNet(SHAPE)
    plain = SAMP(net, steps=20).explain(images, baselines, TARGETS)
    same = SAMPPlusPlus(net, steps=20, momentum=1.0).explain(images, baselines, TARGETS)
    smooth = SAMPPlusPlus(net, steps=20).explain(images, baselines, TARGETS)
    assert all(torch.equal(one, other) for one, other in zip(plain, same, strict=True))
    assert (plain.attribution - smooth.attribution).abs().max() > 1e-2 * plain.attribution.abs().max()


def test_insertion_may_start_at_a_blurred_image():
    images, baselines = some_equal_pixels()
    net = TanhNet(SHAPE)
    options = {"pixels_per_step": 5, "fragments": 20}
    found = SAMP(net, insertion_from=Blur(), **options).explain(images, baselines, TARGETS)
    blurred = Blur().references(images, Streams.default(4))[0]
    there = SAMP(net, directions="insertion", **options).explain(images, blurred, TARGETS)
    back = SAMP(net, directions="deletion", **options).explain(images, baselines, TARGETS)
    torch.testing.assert_close(found.attribution, (there.attribution + back.attribution) / 2, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(found.gap, (there.gap + back.gap) / 2, rtol=1e-10, atol=1e-14)


# ---- Reveal-IG --------------------------------------------------------------------------------------------------


class Quadratic(torch.nn.Module):
    """Class 0 scores `sum_i a_i x_i^2`, whose expectation around `m` is `sum_i a_i (m_i^2 + s^2)`."""

    weights = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64).view(1, 2, 2)

    def forward(self, images):
        value = (self.weights * images.square()).flatten(1).sum(1)
        return torch.stack([value, torch.zeros_like(value)], 1)


def test_reveal_ig_on_linear_scores_has_a_closed_form():
    images, baselines = small_pictures()
    net = Linear(SHAPE)
    method = RevealIG(ScoreFunction(net, "logit"), seed=3, steps=23, samples=4, sigma_start=0.3, sigma_end=0.1)
    found = method.explain(images, baselines, TARGETS)
    streams, change = Streams(3, torch.arange(4)), 2 * math.log(0.1 / 0.3)
    certainty = torch.zeros_like(images)
    for number in range(20):  # 5 points of 4 samples; 3 steps are left over
        sigma = 0.3 * (0.1 / 0.3) ** ((number // 4 + 0.5) / 5)
        certainty += streams.normal(SHAPE, purpose=f"reveal {number}").double() * sigma / 2 * change / 20
    wanted = net.contributions(images, baselines, TARGETS) + net.weight[TARGETS] * certainty
    torch.testing.assert_close(found.attribution, wanted, rtol=0, atol=1e-12)
    paired = RevealIG(ScoreFunction(net, "logit"), steps=24, antithetic=True).explain(images, baselines, TARGETS)
    wanted = net.contributions(images, baselines, TARGETS)
    torch.testing.assert_close(paired.attribution, wanted, rtol=0, atol=1e-12)
    assert paired.gap.abs().max() < 1e-12


@pytest.mark.parametrize("antithetic", [False, True])
def test_reveal_ig_on_a_quadratic_score_gives_the_change_of_its_expectation(antithetic):
    """120 images that differ only in their noise: the mean lies within four standard errors."""
    images = torch.tensor([[[[0.9, 0.2], [0.7, 0.4]]]], dtype=torch.float64).repeat(120, 1, 1, 1)
    score = ScoreFunction(Quadratic(), "logit", chunk_size=100_000)
    method = RevealIG(score, steps=128, sigma_start=0.5, sigma_end=0.1, antithetic=antithetic, probes=64)
    found = method.explain(images, 0.3, torch.zeros(120, dtype=torch.long))
    mean = Quadratic.weights * (images[:1] ** 2 - 0.3**2)
    width = Quadratic.weights * (0.1**2 - 0.5**2)
    error = found.attribution.std(0) / math.sqrt(120)
    assert ((found.attribution.mean(0) - (mean + width)[0]).abs() < 4 * error).all()
    assert (width.abs() > 10 * error).all()  # without the widths' part the mean would be far off
    gap_error = found.gap.std() / math.sqrt(120)
    assert found.gap.mean().abs() < 4 * gap_error
    assert gap_error < 0.03


def test_reveal_ig_counts_points_times_samples():
    images, baselines = small_pictures()
    spy = Spy(TanhNet(SHAPE))
    RevealIG(spy, steps=50, samples=8, probes=5).explain(images, baselines, TARGETS)
    assert spy.backward_images == 4 * 48
    assert spy.forward_images == 4 * (48 + 2 * 5)


# ---- what a user gets wrong -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda net: BlurIG(net, sigma_max=0), "sigma_max=0 must be positive"),
        (lambda net: BlurIG(net, padding="mirror"), "padding='mirror' is unknown.*'constant', 'reflect'"),
        (lambda net: BlurIG(net, spacing="log"), "spacing='log' is unknown.*'linear', 'sqrt'"),
        (lambda net: BlurIG(net, reference_side=0), "reference_side=0 must be"),
        (lambda net: gaussian_blur(torch.rand(2, 1, 3, 3), torch.tensor([1.0])), r"sigmas must be \(2,\) numbers"),
        (lambda net: gaussian_blur(torch.rand(1, 1, 3, 3), torch.tensor([-1.0])), "at least 0"),
        (lambda net: SpectralIG(net, basis="fft"), "basis='fft' is unknown.*'svd_joint'"),
        (lambda net: SpectralIG(net, gate="soft"), "gate='soft' is unknown.*'sigmoid'"),
        (lambda net: SpectralIG(net, overlap=1.2), r"overlap=1.2 must lie in \[0, 1\]"),
        (lambda net: SpectralIG(net, n_bands=0), "n_bands=0 must be"),
        (lambda net: SAMP(net, steps=1), "steps=1 must be a whole number of at least 2"),
        (lambda net: SAMP(net, momentum=0), r"momentum=0 must lie in \(0, 1\]"),
        (lambda net: SAMP(net, directions="up"), "directions='up' is unknown.*'insertion'"),
        (lambda net: SAMP(net, steps=8, fragments=9), "fragments=9 alone would take more than 4 steps"),
        (lambda net: SAMP(net, pixels_per_step=0), "pixels_per_step=0 must be"),
        (lambda net: GreedyPixelPath(direction="both"), "direction='both' is unknown"),
        (lambda net: RevealIG(net, steps=3), "steps=3 must be a whole number of at least 4"),
        (lambda net: RevealIG(net, samples=3, antithetic=True), "samples=3 must be even"),
        (lambda net: RevealIG(net, sigma_end=0), "sigma_end=0 must be positive"),
    ],
)
def test_numbers_that_make_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make(TanhNet(SHAPE))
