"""FreeMCG and its counterfactuals on Gaussian data, where the denoiser is known in closed form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from diffig.attribution import FreeMCG
from diffig.baselines import Average, Constant
from diffig.diffusion.ensemble import covariance_gradient, own_terms, residual
from diffig.generative import CounterfactualSearch
from diffig.scores import ScoreFunction
from oracle.denoisers import GaussianDenoiser
from oracle.models import Deep, Spy, fixed, pictures

SHAPE = (1, 3, 3)


class Quadratic(nn.Module):
    """Logits `-(x - c)^T A (x - c) / 2` and 0."""

    def __init__(self) -> None:
        super().__init__()
        root = fixed((9, 9), 5)
        self.matrix, self.centre = root @ root.T / 9, 0.5 + fixed((9,), 6, 0.2)

    def forward(self, images: Tensor) -> Tensor:
        off = images.flatten(1) - self.centre
        value = -((off @ self.matrix) * off).sum(1) / 2
        return torch.stack([value, torch.zeros_like(value)], 1)


class BlackBox(nn.Module):
    """Gives logits and refuses every derivative."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        assert not torch.is_grad_enabled() or not images.requires_grad, "a derivative was asked for"
        return self.net(images).detach()


class TwoSides(nn.Module):
    """Logits `+-8 (x - 1/2) w`: which side of a plane an image lies on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = fixed((9,), 8)

    def forward(self, images: Tensor) -> Tensor:
        value = 8 * ((images.flatten(1) - 0.5) @ self.weight)
        return torch.stack([value, -value], 1)


def middling(batch: int = 3) -> Tensor:
    """Images far from the ends of the range, so that nothing is clamped."""
    return 0.4 + 0.2 * torch.rand(batch, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def cosine(one: Tensor, other: Tensor) -> Tensor:
    return torch.nn.functional.cosine_similarity(one.flatten(1), other.flatten(1))


def test_covariances_against_loops():
    particles, logits = fixed((2, 5, 4), 1), fixed((2, 5, 3), 2)
    targets = torch.tensor([2, 0])
    left = residual(logits, targets)
    full, own = covariance_gradient(particles, logits, left), own_terms(particles, logits, left)
    for image in range(2):
        probabilities = [torch.exp(row) / torch.exp(row).sum() for row in logits[image]]
        place = sum(particles[image]) / 5
        level = sum(logits[image]) / 5
        table = torch.zeros(4, 3, dtype=torch.float64)
        for k in range(5):
            table += torch.outer(particles[image, k] - place, logits[image, k] - level) / 5
        for k in range(5):
            wanted = -probabilities[k]
            wanted[targets[image]] += 1
            torch.testing.assert_close(full[image, k], table @ wanted)
            alone = torch.outer(particles[image, k] - place, logits[image, k] - level)
            torch.testing.assert_close(own[image, k], alone @ wanted)


@pytest.mark.parametrize("target", [0, 1])
def test_the_direction_is_the_gradient_of_a_quadratic(target):
    score, images = ScoreFunction(Quadratic(), "log_probability"), middling()
    targets = torch.full((3,), target)
    gradient = score.value_and_grad(images, targets)[1]
    few, many = (
        FreeMCG(score, diffusion=GaussianDenoiser(covariance=0.05), n_particles=count, noise=0.3).attribute(
            images, target=targets
        )
        for count in (30, 4000)
    )
    assert cosine(many, gradient).min() > 0.95
    assert (cosine(many, gradient) > cosine(few, gradient)).all()


def test_the_size_is_that_of_the_particles_covariance():
    """Isotropic data: particles have the variance `(1 - a) g^2 / 4` with `g` the gain of Tweedie's formula."""
    denoiser, score = GaussianDenoiser(covariance=0.05), ScoreFunction(Quadratic(), "log_probability")
    found = FreeMCG(score, diffusion=denoiser, n_particles=20000, noise=0.3).attribute(middling(1), target=1)
    level = int(((1 - denoiser.alpha_bar).sqrt() - 0.3).abs().argmin())
    signal = float(denoiser.alpha_bar[level])
    gain = signal**0.5 * 0.05 / (signal * 0.05 + 1 - signal)
    wanted = score.value_and_grad(middling(1), torch.tensor([1]))[1] * (1 - signal) * gain**2 / 4
    torch.testing.assert_close(found.norm(), wanted.norm(), rtol=0.05, atol=0)


def test_directions_off_the_manifold_are_gone():
    """Data on a plane of two dimensions: the gradient keeps its part along the plane and loses the rest."""
    basis = torch.linalg.qr(fixed((9, 2), 11)).Q
    denoiser = GaussianDenoiser(mean=0.0, covariance=0.05 * basis @ basis.T)
    score, images = ScoreFunction(Quadratic(), "log_probability"), middling()
    gradient = score.value_and_grad(images, torch.zeros(3, dtype=torch.int64))[1].flatten(1)
    assert ((gradient - gradient @ basis @ basis.T).norm(dim=1) > 0.3 * gradient.norm(dim=1)).all()
    found = FreeMCG(score, diffusion=denoiser, n_particles=4000, noise=0.3).attribute(images, target=0).flatten(1)
    along = found @ basis @ basis.T
    assert ((found - along).norm(dim=1) < 1e-10 * found.norm(dim=1)).all()
    assert cosine(found, gradient @ basis @ basis.T).min() > 0.95


@pytest.mark.parametrize("per_particle", [False, True])
def test_no_derivative_is_asked_for(per_particle):
    spy = Spy(BlackBox(Quadratic()))
    score = ScoreFunction(spy, chunk_size=7)
    method = FreeMCG(score, diffusion=GaussianDenoiser(), n_particles=5, noise=[0.3, 0.6], per_particle=per_particle)
    integral = method.explain(middling(), target=1)
    assert integral.attribution.abs().sum() > 0
    assert score.cost == (spy.forward_images, 0) == (3 * (2 * 5 + 1), 0)
    assert spy.largest_call <= 7
    assert integral.gap.isnan().all()
    assert integral.absolute_mass.isnan().all()
    assert not method.multiplies_by_inputs
    search = CounterfactualSearch(
        score, diffusion=GaussianDenoiser(), n_particles=4, n_steps=5, per_particle=per_particle
    )
    score.reset_cost()
    search.search(middling(), torch.ones(3, dtype=torch.int64))
    assert score.cost == (3 * (4 * 5 + 2), 0)


def test_a_baseline_of_several_parts_does_not_repeat_the_particles():
    images, _ = pictures(2)
    spies = [Spy(Deep()) for _ in range(2)]
    one, other = (
        FreeMCG(ScoreFunction(spy), baseline, diffusion=GaussianDenoiser(), n_particles=5)
        for spy, baseline in zip(spies, (None, Average([Constant(0.0), Constant(1.0)])), strict=True)
    )
    assert torch.equal(one.attribute(images, target=1), other.attribute(images, target=1))
    assert [spy.forward_images for spy in spies] == [2 * 6, 2 * 6]


def test_its_own_terms_are_another_estimate():
    """At its own residuals the sum weighs particles by where they are; with one residual for all both agree."""
    score, images = ScoreFunction(Quadratic()), middling(1)
    full, own = (
        FreeMCG(score, diffusion=GaussianDenoiser(), n_particles=200, per_particle=per_particle).attribute(
            images, target=0
        )
        for per_particle in (False, True)
    )
    assert (full - own).abs().max() > 1e-3 * full.abs().max()
    assert cosine(full, own).min() > 0.9
    particles, logits = fixed((1, 6, 9), 1), fixed((1, 6, 2), 2)
    same = fixed((1, 1, 2), 3)
    torch.testing.assert_close(
        own_terms(particles, logits, same.expand(1, 6, 2)).mean(1), covariance_gradient(particles, logits, same)[:, 0]
    )


def test_levels_are_averaged_and_particles_moved_to_the_image():
    score, images = ScoreFunction(Quadratic()), middling(1)
    options = {"diffusion": GaussianDenoiser(), "n_particles": 50}
    first, both = (FreeMCG(score, noise=noise, **options).attribute(images, target=0) for noise in (0.3, [0.3, 0.7]))
    # The second of two levels has noise of its own; the first is the one that stands alone.
    assert not torch.allclose(first, both)
    assert cosine(first, both).min() > 0
    moved, left = (
        FreeMCG(score, recentre=recentre, **options).attribute(images, target=0) for recentre in (True, False)
    )
    assert (moved - left).abs().max() > 1e-3 * moved.abs().max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_particles": 1}, "one particle has no covariance"),
        ({"noise": 1.0}, r"noise=1.0 must lie in \(0, 1\)"),
        ({"noise": []}, r"must lie in \(0, 1\)"),
    ],
)
def test_bad_arguments_of_free_mcg(options, message):
    with pytest.raises(ValueError, match=message):
        FreeMCG(Deep(), diffusion=GaussianDenoiser(), **options)


# ---- counterfactuals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_particle", [False, True])
def test_a_linear_classifier_is_flipped(per_particle):
    score = ScoreFunction(TwoSides())
    images = middling(6)
    targets = score.logits(images).argmin(1)
    search = CounterfactualSearch(
        score, diffusion=GaussianDenoiser(0.0, 0.1), n_particles=40, n_steps=20, per_particle=per_particle
    )
    found = search.search(images, targets)
    assert found.flipped.all()
    assert torch.equal(found.after.argmax(1), targets)
    torch.testing.assert_close(found.after, score.logits(found.images).softmax(1))
    assert 0 <= found.images.min() <= found.images.max() <= 1
    difference = found.images - images
    torch.testing.assert_close(found.l1, difference.abs().mean((1, 2, 3)))
    torch.testing.assert_close(found.l2, difference.square().mean((1, 2, 3)).sqrt())
    assert found.trajectory.shape == (6, 20)
    assert (found.trajectory[:, -1] > found.trajectory[:, 0]).all()
    # Without guidance the particles come back to the image's side.
    idle = CounterfactualSearch(score, diffusion=GaussianDenoiser(0.0, 0.1), n_particles=40, n_steps=20, step=0)
    assert (
        idle.search(images, targets).after.gather(1, targets[:, None]) < found.after.gather(1, targets[:, None])
    ).all()


def test_proximity_keeps_near():
    score, images = ScoreFunction(TwoSides()), middling(4)
    targets = score.logits(images).argmin(1)
    options = {"diffusion": GaussianDenoiser(0.0, 0.1), "n_particles": 40, "n_steps": 20, "step": 0.05}
    loose, tight = (
        CounterfactualSearch(score, proximity=proximity, **options).search(images, targets).l2
        for proximity in (0.0, 0.1)
    )
    assert (tight < loose).all()


def test_one_step_by_hand():
    """Two steps: one guided, one to the clean image, written down particle by particle."""
    denoiser, score = GaussianDenoiser(0.0, 0.1), ScoreFunction(Quadratic())
    images, targets = middling(1), torch.tensor([1])
    search = CounterfactualSearch(score, 3, diffusion=denoiser, n_particles=3, n_steps=2, step=0.2, proximity=0.02)
    assert search.levels == [20, 10, -1]
    from diffig.randomness import Streams

    streams = Streams(3, torch.tensor([0]))
    start, fresh = streams.normal(SHAPE, 3, "counterfactual"), streams.normal(SHAPE, 3, "counterfactual 0")
    high, low = float(denoiser.alpha_bar[20]), float(denoiser.alpha_bar[10])
    clean = 2 * images[0] - 1
    noisy = [high**0.5 * clean + (1 - high) ** 0.5 * start[k].double() for k in range(3)]
    seen = [denoiser.denoised(noisy[k][None], 20)[0].clamp(0, 1) for k in range(3)]
    logits = [score.logits(seen[k][None])[0] for k in range(3)]
    place, level = sum(seen) / 3, sum(logits) / 3
    ends = []
    for k in range(3):
        left = torch.tensor([0.0, 1.0]) - logits[k].softmax(0)
        push = sum((seen[j] - place) * float((logits[j] - level) @ left) for j in range(3)) / 3
        noise = (noisy[k] - high**0.5 * (2 * seen[k] - 1)) / (1 - high) ** 0.5
        away = torch.sign(seen[k] - images[0])
        guidance = 0.2 * push / push.norm() * noise.norm() - 0.02 * away / away.norm() * noise.norm()
        variance = (1 - low) / (1 - high) * (1 - high / low)
        following = low**0.5 * (2 * seen[k] - 1) + (1 - low - variance) ** 0.5 * noise + variance**0.5 * fresh[k]
        following = following + (high * low) ** 0.5 * guidance
        ends.append(denoiser.denoised(following[None], 10)[0].clamp(0, 1))
    found = search.search(images, targets)
    torch.testing.assert_close(found.images[0], sum(ends) / 3)
    first = sum(float(logits[k].softmax(0)[1]) for k in range(3)) / 3
    assert found.trajectory[0, 0].item() == pytest.approx(first)


def test_counterfactuals_know_no_batch_and_no_chunk():
    net, targets = Deep(), torch.tensor([0, 3, 1])
    images, indices = pictures(3)[0], torch.tensor([7, 2, 9])
    options = {"diffusion": GaussianDenoiser(), "n_particles": 6, "n_steps": 4}
    state = torch.random.get_rng_state()
    whole = CounterfactualSearch(ScoreFunction(net), **options).search(images, targets, indices)
    assert torch.equal(torch.random.get_rng_state(), state)
    for chunk_size in (4, 13):
        search = CounterfactualSearch(ScoreFunction(net, chunk_size=chunk_size), **options)
        for row in (2, 0, 1):
            alone = search.search(images[row : row + 1], targets[row : row + 1], indices[row : row + 1])
            torch.testing.assert_close(alone.images, whole.images[row : row + 1], rtol=0, atol=1e-12)
            torch.testing.assert_close(alone.trajectory, whole.trajectory[row : row + 1], rtol=0, atol=1e-12)
    other = CounterfactualSearch(ScoreFunction(net), 1, **options).search(images, targets, indices)
    assert (other.images - whole.images).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_particles": 1}, "one particle has no covariance"),
        ({"strength": 0.0}, r"strength=0.0 must lie in \(0, 1\]"),
        ({"step": -1.0}, "must be 0 or more"),
        ({"n_steps": 100}, "100 steps down from noise level 20: choose 1 to 21"),
    ],
)
def test_bad_arguments_of_the_search(options, message):
    with pytest.raises(ValueError, match=message):
        CounterfactualSearch(Deep(), diffusion=GaussianDenoiser(), **{"n_steps": 5, **options})
