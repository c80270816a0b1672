"""The denoising path of DDPath, written a second time step by step."""

from __future__ import annotations

import pytest
import torch

from diffig.attribution import DDPath
from diffig.baselines import Average, Constant
from diffig.paths import DenoisingPath
from diffig.randomness import Streams
from diffig.scores import ScoreFunction
from oracle.denoisers import GaussianDenoiser
from oracle.models import Cliff, Deep, Linear, Spy, pictures

SHAPE = (3, 8, 8)


def oracle(images, targets, score, denoiser, steps, exponent, omega, eta, streams):
    """Points `(B, S + 1, C, H, W)` by loops, from the definition."""
    last = len(denoiser.alpha_bar) - 1
    levels = [last - k * (last + 1) // steps for k in range(steps)]
    shares = [float(denoiser.alpha_bar[level]) for level in levels] + [1.0]
    start = streams.normal(SHAPE, 1, "denoising").double()
    every = []
    for row in range(len(images)):
        state, points = start[row : row + 1], [((start[row] + 1) / 2).clamp(0, 1)]
        clean = 2 * images[row] - 1
        for k in range(steps):
            signal, noisiness = shares[k], 1 - shares[k]
            guess = denoiser.denoised(state, levels[k]).clamp(0, 1)
            noise = (state - signal**0.5 * (2 * guess - 1)) / noisiness**0.5
            if k > 0:
                if omega:
                    gradient = score.value_and_grad(guess, targets[row : row + 1])[1]
                    noise = noise - omega * noisiness**0.5 * noise.norm() * gradient / gradient.norm()
                    guess = (((state - noisiness**0.5 * noise) / signal**0.5 + 1) / 2).clamp(0, 1)
                mixed = signal ** (exponent / 2) * clean + noisiness ** (exponent / 2) * noise[0]
                points.append(((mixed + 1) / 2).clamp(0, 1))
            ahead = shares[k + 1]
            variance = eta**2 * (1 - ahead) / noisiness * (1 - signal / ahead)
            state = ahead**0.5 * (2 * guess - 1) + max(1 - ahead - variance, 0) ** 0.5 * noise
            if eta:
                state = state + variance**0.5 * streams.normal(SHAPE, 1, f"denoising {k}")[row].double()
        every.append(torch.stack([*points, images[row]]))
    return torch.stack(every)


@pytest.mark.parametrize(
    ("exponent", "omega", "eta"), [(1.0, 0.0, 0.0), (1.0, 0.3, 0.0), (2.0, 0.3, 0.0), (0.5, 0.2, 1.0), (1.0, 0.0, 0.5)]
)
def test_points_against_the_definition(exponent, omega, eta):
    images, baselines = pictures(3)
    targets, indices = torch.tensor([0, 4, 2]), torch.tensor([3, 1, 8])
    score, denoiser = ScoreFunction(Deep()), GaussianDenoiser()
    path = DenoisingPath(denoiser, 5, exponent, omega, eta).generate(
        images, baselines, targets, score, streams=Streams(2, indices)
    )
    wanted = oracle(images, targets, score, denoiser, 5, exponent, omega, eta, Streams(2, indices))
    torch.testing.assert_close(path.points(0, 6), wanted)


def test_ends_and_range():
    images, baselines = pictures(4)
    path = DenoisingPath(GaussianDenoiser(), 6).generate(
        images, baselines, torch.zeros(4, dtype=torch.int64), ScoreFunction(Deep()), n_paths=2
    )
    first, last = path.endpoints
    assert len(path) == 8
    assert torch.equal(last, images.repeat_interleave(2, 0))
    noise = Streams.default(4).normal(SHAPE, 2, "denoising").double()
    assert torch.equal(first, ((noise + 1) / 2).clamp(0, 1))
    points = path.points(0, 7)
    assert 0 <= points.min() <= points.max() <= 1
    distances = (points - points[:, -1:]).flatten(2).norm(dim=2)
    assert (distances.diff(dim=1) < 0).all(), "every step comes nearer"


def test_guidance_bends_the_noise_towards_the_target():
    """Of a linear classifier: guided noise has a larger logit of the target."""
    net = Linear()
    images, baselines = pictures(4)
    targets = torch.tensor([0, 1, 2, 3])
    # The class is scored by its own logit; the difference of two paths at one level is the difference of their noise.
    score = ScoreFunction(net, "logit")
    free, bent = (
        DenoisingPath(GaussianDenoiser(covariance=0.02), 6, omega=omega).generate(images, baselines, targets, score)
        for omega in (0.0, 0.3)
    )
    # At the same state less noise along the gradient is a denoised image further along it, and so are later states.
    difference = (bent.points(1, 2) - free.points(1, 2))[:, 0]
    moved = (net(difference) - net(torch.zeros_like(difference))).gather(1, targets[:, None])
    assert (moved < 0).all()
    assert torch.equal(bent.points(0, 1), free.points(0, 1))


def test_the_sum_is_the_change_along_its_own_ends():
    images, _ = pictures(3)
    method = DDPath(ScoreFunction(Linear(), "logit"), diffusion=GaussianDenoiser(), sample_steps=4, steps=60)
    integral = method.explain(images, target=1)
    torch.testing.assert_close(integral.gap, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-9)
    start = ((Streams(0, torch.arange(3)).normal(SHAPE, 1, "denoising").double() + 1) / 2).clamp(0, 1)
    weights = Linear().weight[1]
    torch.testing.assert_close(integral.attribution, weights * (images - start))
    gaps = [
        DDPath(ScoreFunction(Deep()), diffusion=GaussianDenoiser(), sample_steps=4, steps=steps)
        .explain(images, target=1)
        .gap.abs()
        .max()
        for steps in (20, 320)
    ]
    assert gaps[1] < gaps[0] / 10


@pytest.mark.parametrize(("omega", "spent"), [(0.0, 0), (0.3, 7)])
def test_guidance_is_paid_from_steps(omega, spent):
    images, _ = pictures(2)
    spy = Spy(Deep())
    method = DDPath(ScoreFunction(spy), diffusion=GaussianDenoiser(), sample_steps=8, steps=20, omega=omega, n_paths=3)
    method.explain(images, target=0)
    assert spy.backward_images == 2 * 3 * 20
    assert method.steps == 20 - spent
    assert method.guidance_strengths == {"omega": omega}


def test_a_baseline_of_several_parts_does_not_repeat_the_path():
    images, _ = pictures(2)
    spies = [Spy(Deep()) for _ in range(2)]
    one, other = (
        DDPath(ScoreFunction(spy), baseline, diffusion=GaussianDenoiser(), sample_steps=3, steps=6)
        for spy, baseline in zip(spies, (None, Average([Constant(0.0), Constant(1.0)])), strict=True)
    )
    assert torch.equal(one.attribute(images, target=1), other.attribute(images, target=1))
    assert [spy.backward_images for spy in spies] == [2 * 6, 2 * 6]


def test_a_flat_score_guides_nowhere():
    images, baselines = pictures(2, channels=1)
    flat = ScoreFunction(Cliff(place=-9.0), "logit")
    targets = torch.zeros(2, dtype=torch.int64)
    free, bent = (
        DenoisingPath(GaussianDenoiser(), 4, omega=omega).generate(images, baselines, targets, flat)
        for omega in (0.0, 0.5)
    )
    torch.testing.assert_close(bent.points(0, 5), free.points(0, 5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 15}, "steps=15 backward images do not pay for the 15 gradients"),
        ({"exponent": 0.0}, "exponent=0.0 must be positive"),
        ({"omega": -1.0}, "omega=-1.0 must be 0 or more"),
        ({"eta": 2.0}, r"eta=2.0 lie in \[0, 1\]"),
        ({"sample_steps": 51}, "51 steps down from noise level 49: choose 1 to 50"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        DDPath(Deep(), diffusion=GaussianDenoiser(), **options)
