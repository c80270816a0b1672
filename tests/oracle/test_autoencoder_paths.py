"""Paths through an autoencoder: known geodesics, methods they must reduce to, ends, gaps and what is left alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diffig.attribution import (
    EnhancedIntegratedGradients,
    GuidedIntegratedGradients,
    IntegratedGradients,
    ManifoldGuidedIG,
    ManifoldIntegratedGradients,
    integrate,
)
from diffig.generative import Autoencoder
from diffig.paths import LatentGeodesicPath, LatentGreedyPath, LatentLinePath
from diffig.paths.codec import decode
from diffig.scores import ScoreFunction
from oracle import paths_oracle as oracle
from oracle.codecs import Lossy, Same, Sphere, Turned
from oracle.models import TanhNet, pictures

SHAPE = (3, 4, 5)
TARGETS = torch.tensor([0, 3, 1])
EIG, MIG, MAGIG = EnhancedIntegratedGradients, ManifoldIntegratedGradients, ManifoldGuidedIG
EVERY = pytest.mark.parametrize("method", [EIG, MIG, MAGIG])


def given(seed=0):
    return (*pictures(3, *SHAPE, seed=seed), TARGETS)


def score(chunk_size=64, objective="probability"):
    return ScoreFunction(TanhNet(SHAPE), objective, chunk_size)


def lossy():
    return Lossy().eval()


def change(images, baselines, targets, objective="probability"):
    values = score(objective=objective).score(torch.cat([baselines, images]), targets.repeat(2))
    return values[len(images) :] - values[: len(images)]


def few(method):
    return {"n_segments": 6, "sweeps": 8} if method is MIG else {}


def close(found, wanted, tolerance=1e-11):
    for left, right in zip(found, wanted, strict=True):
        torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance)


# What they reduce to


@pytest.mark.parametrize("codec", [Same(), Turned()], ids=["same", "turned"])
def test_a_flat_decoder_makes_eig_and_mig_integrated_gradients(codec):
    wanted = IntegratedGradients(score(), steps=12).explain(*given())
    close(EIG(score(), autoencoder=codec, steps=12).explain(*given()), wanted)
    close(MIG(score(), autoencoder=codec, steps=12, n_segments=6).explain(*given()), wanted)


@pytest.mark.parametrize(("fraction", "max_distance"), [(0.1, 1.0), (0.25, 0.05)])
def test_without_an_autoencoder_ma_gig_is_guided_ig(fraction, max_distance):
    options = {"steps": 15, "fraction": fraction, "max_distance": max_distance}
    close(
        MAGIG(score(), autoencoder=Same(), **options).explain(*given()),
        GuidedIntegratedGradients(score(), **options).explain(*given()),
        0,
    )


# Geodesics


def on_sphere():
    """Decoded ends as angles, far enough apart for a great circle to leave the line of latitude."""
    angles = torch.tensor([[[0.2, 0.7], [1.9, 0.7]], [[-0.4, -0.3], [1.1, 0.9]]], dtype=torch.float64)
    return Sphere().decode(angles.flatten(0, 1)).view(2, 2, 3, 1, 1).unbind(1)


@pytest.mark.parametrize("sweep", ["red_black", "gauss_seidel"])
def test_on_a_sphere_the_path_becomes_the_great_circle(sweep):
    first, last = on_sphere()
    maker = LatentGeodesicPath(Sphere(), 10, tolerance=1e-9, sweep=sweep)
    latents = maker.relax(LatentLinePath(Sphere(), 10).latents(last, first, 64), first.shape[1:])
    points = decode(Sphere(), latents.flatten(0, 1), first.shape[1:]).view(2, 11, 3)
    one, two = ((end.flatten(1) - 0.5) / Sphere.radius for end in (first, last))
    angle = (one * two).sum(1).acos()
    share = torch.linspace(0, 1, 11, dtype=torch.float64)[:, None]
    for row in range(2):
        whole = angle[row]
        circle = (((1 - share) * whole).sin() * one[row] + (share * whole).sin() * two[row]) / whole.sin()
        error = (points[row] - 0.5) / Sphere.radius - circle
        assert error.abs().max() < 2e-3
    # The chords of the circle: the least energy of any ten segments.
    least = 0.5 * 10 * 10 * (2 * Sphere.radius * (angle / 20).sin()).square()
    torch.testing.assert_close(maker.energy(points[..., None, None]), least, rtol=1e-5, atol=0)


def dull_sweep(latents, order, step):
    """One sweep of one sphere curve: point after point, the Jacobian written down."""
    z = [point.copy() for point in latents]
    r, dt = Sphere.radius, 1 / (len(z) - 1)
    image = lambda a: r * np.array([np.cos(a[1]) * np.cos(a[0]), np.cos(a[1]) * np.sin(a[0]), np.sin(a[1])])  # noqa: E731
    for i in order:
        east, north = z[i]
        jacobian = r * np.array(
            [
                [-np.cos(north) * np.sin(east), -np.sin(north) * np.cos(east)],
                [np.cos(north) * np.cos(east), -np.sin(north) * np.sin(east)],
                [0.0, np.cos(north)],
            ]
        )
        second = image(z[i + 1]) - 2 * image(z[i]) + image(z[i - 1])
        z[i] = z[i] + step * jacobian.T @ second / dt
    return np.stack(z)


@pytest.mark.parametrize(("sweep", "order"), [("gauss_seidel", [1, 2, 3, 4, 5]), ("red_black", [1, 3, 5, 2, 4])])
def test_one_sweep_equals_point_after_point(sweep, order):
    first, last = on_sphere()
    line = LatentLinePath(Sphere(), 6).latents(last, first, 64)
    options = {"sweeps": 1, "step_size": 0.04, "line_search": False, "sweep": sweep}
    found = LatentGeodesicPath(Sphere(), 6, **options).relax(line, first.shape[1:], chunk_size=2)
    for row in range(2):
        wanted = dull_sweep(line[row].flatten(1).numpy(), order, 0.04)
        assert np.abs(wanted - line[row].flatten(1).numpy()).max() > 1e-3
        np.testing.assert_allclose(found[row].flatten(1).numpy(), wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("step_size", [None, 5.0])
def test_with_a_line_search_the_energy_never_rises(step_size):
    images, baselines, _ = given()
    codec, energies = lossy(), []
    line = LatentLinePath(codec, 7).latents(images, baselines, 64)
    for sweeps in range(8):
        maker = LatentGeodesicPath(codec, 7, sweeps=sweeps, step_size=step_size, tolerance=0)
        latents = maker.relax(line, images.shape[1:])
        assert torch.equal(latents[:, [0, -1]], line[:, [0, -1]])
        points = codec.decode(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])
        energies.append(maker.energy(points))
    fall = -torch.stack(energies).diff(dim=0)
    assert (fall >= 0).all()
    assert (fall[0] > 1e-4 * energies[0]).all()


def test_a_large_step_without_a_search_raises_the_energy():
    images, baselines, _ = given()
    codec = lossy()
    line = LatentLinePath(codec, 7).latents(images, baselines, 64)
    maker = LatentGeodesicPath(codec, 7, sweeps=1, step_size=50.0, line_search=False)
    before, after = (
        maker.energy(codec.decode(z.flatten(0, 1)).unflatten(0, z.shape[:2]))
        for z in (line, maker.relax(line, images.shape[1:]))
    )
    assert (after > before).all()


def test_images_stop_one_by_one():
    """Beside an image with a curve to relax, one that has nowhere to go is left alone after its first sweep."""
    first, last = on_sphere()
    equator = torch.tensor([[0.1, 0.0], [1.0, 0.0]], dtype=torch.float64)
    level = Sphere().decode(equator)
    first, last = torch.cat([first, level[:1]]), torch.cat([last, level[1:]])
    line = LatentLinePath(Sphere(), 8).latents(last, first, 64)
    found = LatentGeodesicPath(Sphere(), 8, tolerance=1e-2).relax(line, first.shape[1:])
    for row in range(3):
        alone = LatentGeodesicPath(Sphere(), 8, tolerance=1e-2).relax(line[row : row + 1], first.shape[1:])
        torch.testing.assert_close(found[row : row + 1], alone, rtol=0, atol=1e-14)
    torch.testing.assert_close(found[2], line[2], rtol=0, atol=1e-12)
    assert (found[0] - line[0]).abs().max() > 0.05


# The greedy walk


class Composed:
    """The score of decoded latents of one image, for the oracle of Guided IG."""

    def __init__(self, codec, target):
        self.codec, self.target = codec, target

    def gradient(self, latents):
        leaf = torch.from_numpy(latents.copy())[None].requires_grad_()
        logits = TanhNet(SHAPE)(self.codec.decode(leaf))
        return torch.autograd.grad(logits.softmax(1)[0, self.target], leaf)[0][0].numpy()


@pytest.mark.parametrize("ends", ["overwrite", "decoded"])
def test_the_walk_equals_one_latent_at_a_time(ends):
    images, baselines, targets = given()
    codec = lossy()
    made = LatentGreedyPath(codec, 9, 0.3, ends=ends).generate(images, baselines, targets, score())
    found = MAGIG(score(), autoencoder=codec, steps=9, fraction=0.3, ends=ends).explain(*given())
    for row, target in enumerate(targets):
        start, end = (codec.encode(part)[row].numpy() for part in (baselines, images))
        model = Composed(codec, target)
        if ends == "overwrite":  # the first step looks at the exact baseline
            plain, start_latent = model.gradient, start.copy()

            def gradient(latents, plain=plain, start_latent=start_latent, row=row, target=target):
                if not np.array_equal(latents, start_latent):
                    return plain(latents)
                leaf = torch.from_numpy(latents.copy())[None].requires_grad_()
                there = score().value_and_grad(baselines[row : row + 1], target[None])[1]
                return torch.autograd.grad((codec.decode(leaf) * there).sum(), leaf)[0][0].numpy()

            model.gradient = gradient
        latents, _ = oracle.guided_ig(end, start, model, 9, 0.3, 1.0)
        points = codec.decode(torch.from_numpy(np.stack(latents))).detach()
        if ends == "overwrite":
            points[0], points[-1] = baselines[row], images[row]
        torch.testing.assert_close(made.points(0, 10)[row], points, rtol=0, atol=1e-12)
        wanted = torch.zeros(SHAPE, dtype=torch.float64)
        for k in range(9):
            wanted += score().value_and_grad(points[k][None], target[None])[1][0] * (points[k + 1] - points[k])
        torch.testing.assert_close(found.attribution[row], wanted, rtol=1e-10, atol=1e-13)


def test_slerp_turns_vectors_without_changing_their_length():
    maker = LatentGreedyPath(Same(), 4, partial="slerp")
    here, there = torch.zeros(2, 2, 5, dtype=torch.float64)
    here[:, 1], there[:, 3] = 2.0, 2.0
    here[:, 4] = 7.0  # not chosen: has no part in the angle
    chosen = torch.tensor([True, True, True, True, False]).expand(2, -1)
    moved = maker._partial(here, there, torch.tensor([[0.25], [1.0]], dtype=torch.float64), chosen)
    quarter = [0.0, 2 * math.cos(math.pi / 8), 0.0, 2 * math.sin(math.pi / 8)]
    wanted = torch.tensor([quarter, [0.0, 0.0, 0.0, 2.0]], dtype=torch.float64)
    torch.testing.assert_close(moved[:, :4], wanted, rtol=0, atol=1e-12)
    parallel = maker._partial(here, 3 * here, torch.tensor([[0.5], [0.5]], dtype=torch.float64), chosen)
    torch.testing.assert_close(parallel, 2 * here, rtol=0, atol=1e-12)


def test_slerp_is_another_walk_to_the_same_end():
    images, baselines, targets = given()
    straight, round_about = (
        LatentGreedyPath(lossy(), 9, partial=partial).generate(images, baselines, targets, score())
        for partial in ("lerp", "slerp")
    )
    assert torch.equal(straight.images, round_about.images)
    assert (straight.points(1, 9) - round_about.points(1, 9)).abs().max() > 1e-3


# Ends and gaps


@pytest.mark.parametrize("ends", ["overwrite", "residual"])
@pytest.mark.parametrize("kind", [LatentLinePath, LatentGeodesicPath, LatentGreedyPath])
def test_ends_are_exact_to_the_bit(kind, ends):
    images, baselines, targets = given()
    path = kind(lossy(), 5, ends=ends).generate(images, baselines, targets, score(), n_paths=2)
    points = path.points(0, 6)
    assert torch.equal(points[:, 0], baselines.repeat_interleave(2, 0))
    assert torch.equal(points[:, -1], images.repeat_interleave(2, 0))
    assert path.intended is None
    assert (points[:, 1:-1].diff(dim=1).abs() > 0).any()


@pytest.mark.parametrize("kind", [LatentLinePath, LatentGeodesicPath, LatentGreedyPath])
def test_decoded_ends_are_reconstructions(kind):
    images, baselines, targets = given()
    codec = lossy()
    path = kind(codec, 5, ends="decoded").generate(images, baselines, targets, score())
    for end, image in zip(path.endpoints, (baselines, images), strict=True):
        torch.testing.assert_close(end, codec.decode(codec.encode(image)).detach(), rtol=0, atol=1e-14)
        assert (end - image).abs().max() > 0.02
    assert all(torch.equal(one, two) for one, two in zip(path.intended, (baselines, images), strict=True))


@EVERY
def test_exact_ends_are_complete_and_decoded_ends_are_not(method):
    images, baselines, targets = given()
    objective, codec = "margin", lossy()
    wanted = change(images, baselines, targets, objective)
    ends = (codec.decode(codec.encode(part)).detach() for part in (images, baselines))
    between = change(*ends, targets, objective)
    assert (between - wanted).abs().min() > 0.2
    for end in ("overwrite", "residual", "decoded"):
        options = {"autoencoder": codec, "steps": 600, "ends": end, **few(method)}
        found = method(score(objective=objective), **options).explain(*given())
        total = found.attribution.flatten(1).sum(1)
        torch.testing.assert_close(found.gap, total - wanted, rtol=0, atol=1e-12)
        missing = (total - (between if end == "decoded" else wanted)).abs()
        if end == "decoded":
            assert found.gap.abs().min() > 0.2
        # One segment, hence one gradient of EIG and MA-GIG, for a whole error of reconstruction; the left is worst.
        least, most = (
            {EIG: (0.005, 0.03), MIG: (0, 1e-4), MAGIG: (0.1, 0.3)}[method] if end == "overwrite" else (0, 0.01)
        )
        assert least <= missing.min()
        assert missing.max() < most


def test_every_rule_measures_decoded_ends_against_the_images():
    images, baselines, targets = given()
    path = LatentLinePath(lossy(), 30, "decoded").generate(images, baselines, targets, score())
    inside = change(path.images, path.baselines, targets) - change(images, baselines, targets)
    for rule in ("left", "midpoint", "trapezoid", "idgi"):
        gap = integrate(path, score(), targets, rule).gap
        torch.testing.assert_close(gap, inside, rtol=0, atol=0.03 if rule == "left" else 1e-3)


def test_the_released_attribution_of_mig_is_complete_for_nothing():
    images, baselines, targets = given()
    codec, options = lossy(), {"steps": 11, "n_segments": 10}
    found = MIG(score(), autoencoder=codec, as_released=True, **options).explain(*given())
    path = LatentGeodesicPath(codec, 10, "decoded").generate(images, baselines, targets, score())
    points = path.points(0, 11)
    for row, target in enumerate(targets):
        mean = sum(score().value_and_grad(points[row, k][None], target[None])[1][0] for k in range(11)) / 11
        wanted = (points[row, -1] - points[row, 0]) * mean
        torch.testing.assert_close(found.attribution[row], wanted, rtol=1e-9, atol=1e-12)
    wanted = change(images, baselines, targets)
    torch.testing.assert_close(found.gap, found.attribution.flatten(1).sum(1) - wanted, rtol=0, atol=1e-12)
    fine = {"steps": 400, "n_segments": 10, "autoencoder": codec}
    released, ours = (MIG(score(), **fine, as_released=flag).explain(*given()).gap.abs() for flag in (True, False))
    assert ours.max() < 2e-3
    assert released.max() > 10 * ours.max()


# What is left alone, and what is refused


@EVERY
def test_the_autoencoder_comes_back_as_it_was(method):
    codec = Lossy()
    codec.train()
    quiet = method(score(), autoencoder=lossy(), steps=6, **few(method)).explain(*given())
    found = method(score(5), autoencoder=codec, steps=6, **few(method)).explain(*given())
    close(found, quiet)  # with dropout switched off, and in chunks
    assert codec.training
    assert codec.dropout.training
    assert codec.weight.requires_grad
    assert codec.weight.grad is None
    assert codec.largest_call <= 5


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_real_autoencoder_keeps_the_precision_of_the_images(method, dtype):
    torch.manual_seed(0)
    codec = Autoencoder.small(3, channels=(8, 8)).eval()
    images, baselines = pictures(2, 3, 4, 6, dtype=dtype)
    net = TanhNet((3, 4, 6), dtype=dtype)
    found = method(net, autoencoder=codec, steps=5, **few(method)).explain(images, baselines, TARGETS[:2])
    assert {part.dtype for part in found} == {dtype}
    assert found.attribution.abs().sum() > 0


@EVERY
def test_images_that_do_not_fit_are_named(method):
    codec = Autoencoder.small(3, channels=(8, 8))
    images, baselines = pictures(2, 3, 5, 4)
    with pytest.raises(ValueError, match=r"images of 5x4 pixels: height and width must be multiples of 2"):
        method(TanhNet((3, 5, 4)), autoencoder=codec, steps=4).explain(images, baselines, TARGETS[:2])

    class Half(Same):
        def decode(self, latents):
            return latents[..., ::2]

    with pytest.raises(ValueError, match=r"the decoder makes images \(3, 4, 3\) and the path's are \(3, 4, 5\); use"):
        method(score(), autoencoder=Half(), steps=4).explain(*given())


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (EIG, {"ends": "exact"}, r"ends='exact' is unknown; choose one of .*'overwrite', 'residual', 'decoded'"),
        (EIG, {"steps": 0}, r"n_segments=0 must be a whole number of at least 1"),
        (MIG, {"sweeps": -1}, r"sweeps=-1 must be a whole number of at least 0: 0 leaves the straight latent line"),
        (MIG, {"step_size": 0.0}, r"step_size=0.0 must be positive; the paper's is 5e-5"),
        (MIG, {"tolerance": 1.0}, r"tolerance=1.0 must lie in \[0, 1\); 0 takes every sweep"),
        (MIG, {"sweep": "jacobi"}, r"sweep='jacobi' is unknown; choose one of .*'red_black', 'gauss_seidel'"),
        (MAGIG, {"partial": "bent"}, r"partial='bent' is unknown; choose one of .*'lerp', 'slerp'"),
        (MAGIG, {"fraction": 0.0}, r"fraction=0.0 must lie in \(0, 1\]"),
    ],
)
def test_what_is_refused(method, options, message):
    with pytest.raises(ValueError, match=message):
        method(score(), autoencoder=Same(), **options)
