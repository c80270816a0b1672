"""Latent DiffIG from sequence to attribution: coordinates, decoded paths, prior, samplers, guidance, method."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from diffig.attribution import LatentDiffIG, integrate
from diffig.diffusion.noise import NoiseSchedule, target
from diffig.diffusion.sampler import ddim, ddpm, posterior
from diffig.method import Guidance
from diffig.method.guidance.learned import PathScore
from diffig.method.guidance.learned_guidance import LearnedGuidance
from diffig.method.latent.data import PathDraws
from diffig.method.latent.prior import Ends, LatentPrior
from diffig.method.latent.space import LatentSpace
from diffig.paths.basis import LaplacianBasis
from diffig.paths.decoded import DecodedPath
from diffig.paths.generator import candidates
from diffig.paths.schedule import Schedule
from diffig.randomness import Streams
from diffig.scores import ScoreFunction
from oracle.codecs import Lossy

SHAPE, KNOTS, DIM = (2, 4, 4), 6, 32
SCHEDULE = NoiseSchedule()


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def pictures(count=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, *SHAPE, generator=generator), torch.rand(count, *SHAPE, generator=generator)


class Watched(Lossy):
    """An autoencoder that does not give images back, and what it was asked to decode."""

    def __init__(self):
        super().__init__(SHAPE[0], dtype=torch.float32)
        self.calls, self.seen = [], []
        self.eval()

    def decode(self, latents):
        self.calls.append(len(latents))
        self.seen.append(latents.detach())
        return super().decode(latents)


class Bent(nn.Module):
    """A smooth classifier that is not linear."""

    def __init__(self, classes=3):
        super().__init__()
        self.register_buffer("weight", normal(classes, DIM, seed=5))

    def forward(self, images):
        return torch.tanh(0.7 * images.flatten(1) @ self.weight.T.to(images)).cumsum(1)


def latents(count=3, seed=1):
    return normal(count, KNOTS + 1, *SHAPE, seed=seed)


def decoded(ends="overwrite", count=3, codec=None, chunk_size=64):
    codec = codec or Watched()
    return DecodedPath(*pictures(count), latents(count), codec.decode, ends, chunk_size), codec


# Coordinates


@pytest.mark.parametrize("spacing", ["time", "arc_length"])
def test_sequences_start_and_end_exactly_and_never_turn_back(spacing):
    space, start, end = LatentSpace(Watched(), KNOTS, spacing), normal(40), normal(40, seed=1)
    for concentration in (0.05, 1.0, 20.0):
        path = space.sequence(start, end, concentration, np.random.default_rng(0))
        assert path.shape == (KNOTS + 1, 40)
        assert path.dtype == torch.float32
        assert torch.equal(path[0], start)
        assert torch.equal(path[-1], end)
        assert ((path.diff(dim=0) * (end - start).sign()) >= -1e-6).all()
    again = [space.sequence(start, end, 3.0, np.random.default_rng(7)) for _ in range(2)]
    assert torch.equal(*again)
    assert not torch.equal(again[0], space.sequence(start, end, 3.0, np.random.default_rng(8)))


@pytest.mark.parametrize("concentration", [1.0, 10.0])
def test_sequences_follow_the_distribution(concentration):
    """E F(t) = t and Var F(t) = t (1 - t) / (1 + a), each coordinate on its own."""
    count = 20_000
    start, end = torch.zeros(count, dtype=torch.float64), torch.ones(count, dtype=torch.float64)
    path = LatentSpace(Watched(), KNOTS).sequence(start, end, concentration, np.random.default_rng(0))[1:-1]
    times = torch.arange(1, KNOTS, dtype=torch.float64) / KNOTS
    variance = times * (1 - times) / (1 + concentration)
    assert ((path.mean(1) - times).abs() < 4.5 * (variance / count).sqrt()).all()
    torch.testing.assert_close(path.var(1), variance, rtol=0.06, atol=0)


def test_arc_length_makes_even_distances():
    """On the polygon that was drawn; the points keep its corners out, so chords may be a little shorter."""
    start, end = normal(50, dtype=torch.float64), normal(50, seed=1, dtype=torch.float64)
    drawn, even = (
        LatentSpace(Watched(), 24, spacing).sequence(start, end, 2.0, np.random.default_rng(0))
        for spacing in ("time", "arc_length")
    )
    lengths = torch.cat([torch.zeros(1), drawn.diff(dim=0).norm(dim=1)]).cumsum(0)
    # Where each even point lies along the drawn polygon, found by brute force.
    fine = torch.linspace(0, 24, 24 * 400 + 1, dtype=torch.float64)
    lower = fine.floor().clamp(max=23).long()
    along = torch.lerp(lengths[lower], lengths[lower + 1], fine - lower)
    points = torch.lerp(drawn[lower], drawn[lower + 1], (fine - lower)[:, None])
    nearest = torch.cdist(even, points).argmin(1)
    torch.testing.assert_close(along[nearest], torch.linspace(0, 1, 25, dtype=torch.float64) * lengths[-1], rtol=0,
                               atol=0.01 * lengths[-1].item())  # fmt: skip
    spread = [path.diff(dim=0).norm(dim=1).std() for path in (drawn, even)]
    assert spread[1] < spread[0] / 2


def test_progress_runs_from_zero_to_one():
    images, _ = pictures()
    sequence = latents().flatten(2).requires_grad_()
    progress = LatentSpace(Watched(), KNOTS).progress(sequence, images)
    assert progress.shape == (3, 1, KNOTS + 1, 4, 4)
    torch.testing.assert_close(progress[:, :, 0], torch.zeros(3, 1, 4, 4))
    torch.testing.assert_close(progress[:, :, -1], torch.ones(3, 1, 4, 4))
    progress.sum().backward()
    assert sequence.grad.abs().sum() > 0


@pytest.mark.parametrize(("options", "message"), [
    ({"spacing": "even"}, r"spacing='even' is unknown; choose time or arc_length"),
    ({"n_segments": 1}, "n_segments=1 must be"),
])  # fmt: skip
def test_spaces_refuse(options, message):
    with pytest.raises(ValueError, match=message):
        LatentSpace(Watched(), **options)


# Decoded paths


@pytest.mark.parametrize("ends", ["overwrite", "residual"])
def test_decoded_paths_end_exactly(ends):
    path, _ = decoded(ends)
    points = path.points(0, KNOTS + 1)
    assert torch.equal(points[:, 0], path.baselines)
    assert torch.equal(points[:, -1], path.images)


@pytest.mark.parametrize("ends", ["overwrite", "residual"])
def test_points_are_decoded_one_by_one(ends):
    """The formula in float64, a point at a time, between points too."""
    path, _ = decoded(ends)
    codes, start, goal = path.latents.double(), path.baselines.double(), path.images.double()
    exact = Lossy(SHAPE[0]).eval()

    def image(code):
        return exact.decode(code[None])[0]

    def knot(row, k):
        if k == 0:
            return start[row]
        if k == KNOTS:
            return goal[row]
        point, share = image(codes[row, k]), k / KNOTS
        if ends == "residual":
            point = point + (1 - share) * (start[row] - image(codes[row, 0]))
            point = point + share * (goal[row] - image(codes[row, -1]))
        return point

    positions = torch.tensor([[0.0, 0.25, 1.0, 3.5, 5.9, 6.0]]).repeat(3, 1) * torch.tensor([[1.0], [0.7], [0.3]])
    found = path.at(positions)
    for row in range(3):
        for place, position in enumerate(positions[row].tolist()):
            lower = min(int(position), KNOTS - 1)
            wanted = torch.lerp(knot(row, lower), knot(row, lower + 1), position - lower)
            torch.testing.assert_close(found[row, place].double(), wanted, rtol=0, atol=2e-6)


@pytest.mark.parametrize("ends", ["overwrite", "residual"])
def test_no_more_than_a_chunk_is_decoded_at_once_and_each_knot_once(ends):
    path, codec = decoded(ends, chunk_size=4)
    path.at(torch.tensor([[2.1, 2.5, 2.9, 3.0, 3.2]]).repeat(3, 1))
    assert max(codec.calls) <= 4
    asked = [row for part in codec.seen for row in part.flatten(1)]
    held = 6 if ends == "residual" else 0  # the ends, to know by how much they miss
    assert len(asked) == 3 * 3 + held  # knots 2, 3 and 4 of each path
    assert len({tuple(row.tolist()) for row in asked}) == len(asked)
    before = sum(codec.calls)
    path.points(1, 2)
    assert sum(codec.calls) - before <= 2 * 3  # nothing behind what is looked at, the ends not again


@pytest.mark.parametrize("ends", ["overwrite", "residual"])
def test_decoded_paths_are_differentiable(ends):
    codes = latents(2).requires_grad_()
    path = DecodedPath(*pictures(2), codes, Watched().decode, ends)
    path.at(torch.tensor([[0.5, 2.5], [0.5, 2.5]])).sum().backward()
    moved = codes.grad.flatten(2).abs().sum(2) > 0
    assert moved.tolist() == [[False, True, True, True, False, False, False]] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latents": latents().flatten(2)}, r"latents has shape \(3, 7, 32\); it must be \(3, T \+ 1, c, h, w\)"),
        ({"latents": latents(2)}, r"latents has shape \(2, 7, 2, 4, 4\)"),
        ({"latents": latents()[:, :1]}, "with T >= 1"),
        ({"ends": "blend"}, r"ends='blend' is unknown; choose one of .*'overwrite', 'residual'"),
    ],
)
def test_decoded_paths_refuse(change, message):
    images, baselines = pictures()
    given = {"images": images, "baselines": baselines, "latents": latents(), "decode": Watched().decode, **change}
    with pytest.raises(ValueError, match=message):
        DecodedPath(**given)


def test_a_decoder_of_other_images_is_told():
    path = DecodedPath(*pictures(), latents(), lambda codes: torch.zeros(len(codes), 3, 8, 8))
    with pytest.raises(ValueError, match=r"decoder makes images \(3, 8, 8\) and the path's are \(2, 4, 4\); use the"):
        path.points(1, 2)


# Numbered paths


def draws(seed=0, split="train", references=2, images=5):
    space = LatentSpace(Watched(), KNOTS)
    return PathDraws(normal(references, images, 8), normal(images, 8, seed=1), space, (1.0, 20.0), seed, split)


def test_every_image_comes_once_in_a_turn_and_references_take_turns():
    places = [draws().place(k) for k in range(40)]
    for turn in range(8):
        assert sorted(place.image for place in places[5 * turn : 5 * turn + 5]) == list(range(5))
    assert [place.reference for place in places] == [0, 1] * 20
    assert len({tuple(place.image for place in places[5 * turn : 5 * turn + 5]) for turn in range(8)}) > 3


def test_paths_are_keyed_by_seed_split_and_number():
    """In whatever order they are asked for."""
    one, other = draws(), draws()
    backwards = {k: other.draw(k) for k in reversed(range(12))}
    for k in range(12):
        path, concentration = one.draw(k)
        assert torch.equal(path, backwards[k][0])
        assert concentration == backwards[k][1]
        assert 1 <= concentration <= 20
        place = one.place(k)
        assert torch.equal(path[0], one.starts[place.reference, place.image])
        assert torch.equal(path[-1], one.ends[place.image])
    concentrations = {round(source.draw(3)[1], 6) for source in (one, draws(seed=1), draws(split="val"))}
    assert len(concentrations) == 3


# The prior


def tiny(prediction="epsilon", awake=True, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        prior = LatentPrior.new(KNOTS + 1, DIM, prediction, width=16, depth=1, heads=2, **options)
        if awake:
            for parameter in prior.denoiser.parameters():
                nn.init.normal_(parameter, std=0.1)
    return prior.eval().requires_grad_(False)


def path_batch(count=5):
    numbers = {"time": torch.linspace(0.1, 0.9, count), "concentration": torch.full((count,), 3.0)}
    return {"clean": normal(count, KNOTS + 1, DIM), "noise": normal(count, KNOTS + 1, DIM, seed=1), **numbers}


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
def test_a_denoiser_that_knows_the_answer_has_no_loss(prediction):
    prior, batch = tiny(prediction), path_batch()

    def oracle(noisy, times, concentration):
        alpha, sigma = (level[:, None, None] for level in prior.noise_schedule(times))
        assert torch.equal(noisy[:, 0], batch["clean"][:, 0])
        assert torch.equal(noisy[:, -1], batch["clean"][:, -1])
        answer = target(batch["clean"], (noisy - alpha * batch["clean"]) / sigma, alpha, sigma, prediction)
        answer[:, [0, -1]] = 1e6  # what is said about the ends does not count
        return answer

    prior.denoiser.forward = oracle
    assert prior.loss(batch) < 1e-9


def test_the_noise_of_the_ends_does_not_count():
    prior, batch = tiny(), path_batch()
    spoilt = batch["noise"].clone()
    spoilt[:, [0, -1]] += 100
    assert torch.equal(prior.loss(batch), prior.loss({**batch, "noise": spoilt}))
    spoilt[:, 1] += 1
    assert not torch.equal(prior.loss(batch), prior.loss({**batch, "noise": spoilt}))


def test_ends_hold_and_clip():
    ends = Ends(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, -1.0]]))
    paths = torch.tensor([[[5.0, 5.0], [-3.0, 0.5], [0.4, 9.0], [7.0, 7.0]]])
    assert ends.hold(paths).tolist() == [[[0, 2], [-3, 0.5], [pytest.approx(0.4), 9], [1, -1]]]
    assert ends.clip(paths).tolist() == [[[1, 2], [0, 0.5], [pytest.approx(0.4), 2], [1, 2]]]


def ends_of(count=4):
    return Ends(normal(count, DIM, seed=2), normal(count, DIM, seed=3))


def fresh(step, count=4):
    return normal(count, KNOTS + 1, DIM, seed=100 + step)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_samples_have_exact_ends_and_stay_between_them(sampler):
    prior, ends, noise = tiny(), ends_of(), normal(4, KNOTS + 1, DIM)
    concentration = torch.full((4,), 3.0)
    found = prior.sample(ends, noise, concentration, 5, sampler=sampler, fresh=fresh)
    assert torch.equal(found[:, 0], ends.start)
    assert torch.equal(found[:, -1], ends.end)
    assert torch.equal(found, ends.clip(found))
    assert torch.equal(found, prior.sample(ends, noise, concentration, 5, sampler=sampler, fresh=fresh))
    free = prior.sample(ends, noise, concentration, 5, sampler=sampler, fresh=fresh, clip=False)
    assert not torch.equal(free, ends.clip(free))
    alone = prior.sample(
        Ends(ends.start[1:2], ends.end[1:2]),
        noise[1:2],
        concentration[:1],
        5,
        sampler=sampler,
        fresh=lambda k: fresh(k)[1:2],
    )
    torch.testing.assert_close(alone, found[1:2], rtol=1e-4, atol=1e-5)


def test_guidance_sees_exact_ends():
    prior, ends, noise, concentration = tiny(), ends_of(), normal(4, KNOTS + 1, DIM), torch.full((4,), 3.0)

    def look(paths, *rest):
        assert torch.equal(paths[:, 0], ends.start)
        assert torch.equal(paths[:, -1], ends.end)
        return torch.zeros_like(paths)

    for sampler in ("ddpm", "ddim"):
        plain = prior.sample(ends, noise, concentration, 3, sampler=sampler, fresh=fresh)
        guided = prior.sample(ends, noise, concentration, 3, sampler=sampler, fresh=fresh, push=look, shift=look)
        torch.testing.assert_close(guided, plain)


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
def test_a_latent_prior_survives_its_file(tmp_path, prediction):
    prior = tiny(prediction, noise=NoiseSchedule("linear", levels=7), concentration_input=True)
    prior.training_metadata = {"steps": 3}
    prior.save(tmp_path / "prior.safetensors")
    again = LatentPrior.load(tmp_path / "prior.safetensors")
    assert (again.training_metadata, again.prediction, again.n_segments) == ({"steps": 3}, prediction, KNOTS)
    assert again.noise_schedule.config == prior.noise_schedule.config
    given = ends_of(), normal(4, KNOTS + 1, DIM), torch.full((4,), 3.0), 3
    assert torch.equal(again.sample(*given, sampler="ddim"), prior.sample(*given, sampler="ddim"))


def test_files_that_are_no_latent_prior(tmp_path):
    from diffig.diffusion.denoisers.unet import FieldUNet
    from diffig.method.field.prior import FieldPrior

    with pytest.raises(FileNotFoundError, match=r"no latent prior at .*; train one with `diffig-train module=latent"):
        LatentPrior.load(tmp_path / "nowhere.safetensors")
    FieldPrior(FieldUNet(4, (4, 4), (16, 16))).save(tmp_path / "field.safetensors")
    with pytest.raises(ValueError, match=r"no latent prior that this version can read.*it holds a FieldPrior"):
        LatentPrior.load(tmp_path / "field.safetensors")
    tiny().save(tmp_path / "latent.safetensors")
    with pytest.raises(ValueError, match="it holds a LatentPrior"):
        FieldPrior.load(tmp_path / "latent.safetensors")


def test_priors_refuse():
    given = tiny(), ends_of(), normal(4, KNOTS + 1, DIM), torch.ones(4)
    with pytest.raises(ValueError, match=r"sampler='euler' is unknown; choose one of .*'ddpm', 'ddim'"):
        LatentPrior.sample(*given, sampler="euler")
    with pytest.raises(ValueError, match="pass fresh, or choose sampler=ddim"):
        LatentPrior.sample(*given, sampler="ddpm")


# Samplers


def gain(time, spread, schedule=SCHEDULE):
    alpha, sigma = schedule(time)
    return alpha * spread**2 / ((alpha * spread) ** 2 + sigma**2)


def perfect(mean, spread, schedule=SCHEDULE):
    """The best denoiser of independent normal numbers."""

    def denoise(noisy, time):
        return mean + gain(time, spread, schedule) * (noisy - schedule(time)[0] * mean)

    return denoise


def numbers(seed, count=20_000):
    return normal(count, seed=seed, dtype=torch.float64)


@pytest.mark.parametrize("schedule", [SCHEDULE, NoiseSchedule("linear")], ids=["cosine", "linear"])
@pytest.mark.parametrize(("mean", "spread"), [(0.0, 1.0), (0.7, 0.4), (-1.0, 1.8)])
def test_ddpm_gives_a_gaussian_law_back(mean, spread, schedule):
    found = ddpm(numbers(0), perfect(mean, spread, schedule), schedule, lambda step: numbers(step + 1), 300)
    assert found.mean().item() == pytest.approx(mean, abs=0.03 * spread)
    assert found.std().item() == pytest.approx(spread, rel=0.04)


@pytest.mark.parametrize("schedule", [SCHEDULE, NoiseSchedule("linear")], ids=["cosine", "linear"])
def test_the_posterior_is_bayes(schedule):
    """q(z_s | z_t, z_0) as the product of two Gaussians, N(z_s; alpha_s z_0, sigma_s^2) N(z_t; alpha_ts z_s, ...)."""
    alphas, sigmas = schedule(schedule.grid(7, torch.zeros((), dtype=torch.float64)))
    clean, noisy = 0.37, -1.2
    for step in range(6):
        alpha, sigma = float(alphas[step]), float(sigmas[step])
        alpha_s, sigma_s = float(alphas[step + 1]), float(sigmas[step + 1])
        ratio, lost = alpha / alpha_s, sigma**2 - (alpha / alpha_s * sigma_s) ** 2
        precision = 1 / sigma_s**2 + ratio**2 / lost
        mean = (alpha_s * clean / sigma_s**2 + ratio * noisy / lost) / precision
        of_noisy, of_clean, variance = posterior(alphas, sigmas, step)
        assert float(variance) == pytest.approx(1 / precision, rel=1e-9)
        assert float(of_noisy * noisy + of_clean * clean) == pytest.approx(mean, rel=1e-9)
    assert float(posterior(alphas, sigmas, 6)[2]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("schedule", [SCHEDULE, NoiseSchedule("linear")], ids=["cosine", "linear"])
@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_a_push_tilts_the_distribution(sampler, schedule):
    """Of N(m, s^2) tilted by exp(w g z) the mean moves by w s^2 g, and both samplers get there.

    What a network that was trained on noisy paths says of g z is g E[z | z_t], whose gradient is g times the
    denoiser's gain. Without noise the mean of ddpm follows the same recursion, so one number tells it; the error
    falls like 1 / steps.
    """
    mean, spread, slope, omega = 0.3, 0.5, 0.7, 1.5
    wanted = omega * spread**2 * slope
    errors = []
    for steps in (200, 1600):
        start = torch.zeros(1, dtype=torch.float64)
        given = (start, perfect(mean, spread, schedule), schedule)
        options = {"push": lambda at, variance, time: omega * variance * slope * gain(time, spread, schedule)}
        run = ddpm if sampler == "ddpm" else ddim
        given += (lambda step: torch.zeros(1, dtype=torch.float64),) if sampler == "ddpm" else ()
        plain, moved = (run(*given, n_steps=steps, **more) for more in ({}, options))
        errors.append(abs((moved - plain).item() - wanted) / wanted)
    assert errors[0] < 0.12
    assert errors[1] < 0.02
    assert errors[1] < errors[0] / 3


def test_a_push_of_samples_moves_them_all_and_keeps_their_spread():
    push = {"push": lambda at, variance, time: 2 * variance * 0.7 * gain(time, 0.5)}
    plain, moved = (
        ddpm(numbers(0), perfect(0.3, 0.5), SCHEDULE, lambda step: numbers(step + 1), 200, **more)
        for more in ({}, push)
    )
    assert (moved - plain).mean().item() == pytest.approx(2 * 0.25 * 0.7, rel=0.1)
    assert moved.std().item() == pytest.approx(plain.std().item(), rel=1e-6)


@pytest.mark.parametrize("steps", [1, 5])
def test_zero_guidance_leaves_samples_bit_for_bit_alone(steps):
    still = {"push": lambda at, *rest: torch.zeros_like(at), "shift": lambda clean, *rest: torch.zeros_like(clean)}
    for options in ({"push": still["push"]}, {"shift": still["shift"]}, still):
        given = (numbers(0, 50), perfect(0.3, 0.5), SCHEDULE)
        assert torch.equal(ddim(*given, steps), ddim(*given, steps, **options))
        draw = lambda step: numbers(step + 1, 50)  # noqa: E731
        assert torch.equal(ddpm(*given, draw, steps), ddpm(*given, draw, steps, **options))


def test_samplers_refuse():
    with pytest.raises(ValueError, match="n_steps=0"):
        ddpm(numbers(0, 3), perfect(0, 1), SCHEDULE, lambda step: numbers(0, 3), 0)


# Learned guidance


class Along(nn.Module):
    """A regressor that is linear in the path: the mean of a direction over the inner points."""

    def __init__(self, seed=9):
        super().__init__()
        self.register_buffer("direction", normal(DIM, seed=seed) / DIM**0.5)

    def forward(self, noisy, times):
        return (noisy[:, 1:-1] @ self.direction).mean(1)


def score_of(quantity, seed=9):
    return PathScore(Along(seed), quantity, schedule=NoiseSchedule(levels=100))


def sampled(learned=None, energies=None, sampler="ddpm", steps=12, count=3, n_paths=2, **options):
    """Clean sequences of guided samples `(count * n_paths, T + 1, d)`."""
    from diffig.method.latent.path import LatentPath

    images, baselines = pictures(count)
    maker = LatentPath(LatentSpace(Watched(), KNOTS), tiny(awake=False), learned, energies, sampler, steps, **options)
    score, targets = ScoreFunction(Bent()), torch.arange(count) % 3
    return maker.generate(images, baselines, targets, score, n_paths=n_paths), score


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@pytest.mark.parametrize("form", ["posterior_mean", "epsilon"])
def test_signs_of_learned_guidance(form, sampler):
    """Towards faithfulness, and with a negative strength away from complexity, for every path."""
    faithful, complexity = score_of("faithfulness"), score_of("complexity", 10)
    times = torch.zeros(6)

    def predicted(score, **strengths):
        learned = LearnedGuidance(**strengths, form=form, faithfulness=faithful, complexity=complexity)
        return score(sampled(learned, sampler=sampler, clip=False)[0].latents.flatten(2), times)

    assert (predicted(faithful, lambda_faith=3.0) > predicted(faithful) + 1e-4).all()
    assert (predicted(complexity, lambda_comp=-3.0) < predicted(complexity) - 1e-4).all()
    assert (predicted(complexity, lambda_comp=3.0) > predicted(complexity) + 1e-4).all()
    twice = predicted(faithful, lambda_faith=3.0, omega=2.0) - predicted(faithful)
    assert (twice > predicted(faithful, lambda_faith=3.0) - predicted(faithful)).all()


def test_strengths_add_up():
    learned = LearnedGuidance(2.0, -0.5, faithfulness=score_of("faithfulness"), complexity=score_of("complexity", 10))
    noisy, time = normal(4, KNOTS + 1, DIM), torch.tensor(0.4)
    wanted = torch.zeros_like(noisy)
    wanted[:, 1:-1] = (2 * Along().direction - 0.5 * Along(10).direction) / (KNOTS - 1)
    torch.testing.assert_close(learned.gradient(noisy, time), wanted)
    quality = (noisy[:, 1:-1] @ (2 * Along().direction - 0.5 * Along(10).direction)).mean(1)
    torch.testing.assert_close(learned.quality(noisy), quality)


def test_the_epsilon_form_moves_the_clean_path():
    """In one step from t = 0.99: eps - omega sigma g is z_0 + omega sigma^2 / alpha g."""
    from diffig.method.latent.path import LatentPath

    images, baselines = (part.double() for part in pictures())
    network = PathScore(Along().double(), schedule=NoiseSchedule(levels=100))
    guidance = LearnedGuidance(0.3, omega=0.5, form="epsilon", faithfulness=network)
    plain, moved = (
        LatentPath(LatentSpace(Watched(), KNOTS), tiny().double(), given, sample_steps=1, clip=False)
        .generate(images, baselines, torch.zeros(3, dtype=torch.long), ScoreFunction(Bent()))
        .latents.flatten(2)
        for given in (None, guidance)
    )
    alpha, sigma = SCHEDULE(torch.tensor(0.99, dtype=torch.float64))
    wanted = 0.5 * 0.3 * sigma**2 / alpha * Along().direction.double() / (KNOTS - 1)
    torch.testing.assert_close((moved - plain)[:, 1:-1], wanted.expand(3, KNOTS - 1, -1), rtol=1e-9, atol=1e-9)
    assert torch.equal(moved[:, [0, -1]], plain[:, [0, -1]])


def test_what_is_off_is_neither_read_nor_asked(tmp_path):
    missing = tmp_path / "nowhere.safetensors"
    off = LearnedGuidance(faithfulness=missing, complexity=missing)
    assert not off.active
    assert not LearnedGuidance(5.0, -5.0, omega=0.0, faithfulness=missing).active
    plain, quiet = sampled()[0].latents, sampled(off)[0].latents
    assert torch.equal(plain, quiet)
    half = LearnedGuidance(1.0, faithfulness=score_of("faithfulness"), complexity=missing)
    assert [score.quantity for _, score in half.terms] == ["faithfulness"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lambda_faith": float("nan")}, ValueError, r"learned.lambda_faith=nan must be a finite number; 0 turns"),
        ({"form": "x0"}, ValueError, r"learned.form='x0' is unknown; choose one of .*'posterior_mean', 'epsilon'"),
        ({"lambda_comp": -1.0}, ValueError, r"towards complexity needs its trained network; set learned.complexity"),
        ({"lambda_faith": 1.0, "faithfulness": "nowhere"}, FileNotFoundError, r"no path score at nowhere; train one"),
        (
            {"lambda_faith": 1.0, "faithfulness": score_of("complexity")},
            ValueError,
            "the network given for faithfulness predicts complexity",
        ),
    ],
)
def test_learned_guidance_refuses(options, error, message):
    with pytest.raises(error, match=message):
        LearnedGuidance(**options)


# The method


def method(net=None, codec=None, prior=None, **options):
    given = {"sample_steps": 4, "steps": 24, **options}
    return LatentDiffIG(net or Bent(), autoencoder=codec or Watched(), prior=prior or tiny(awake=False), **given)


LEARNED = {"lambda_faith": 3.0, "lambda_comp": -1.0}


def learned(**options):
    networks = {"faithfulness": score_of("faithfulness"), "complexity": score_of("complexity", 10)}
    return LearnedGuidance(**{**LEARNED, **networks, **options})


@pytest.mark.parametrize("guided", [False, True])
def test_attributions_know_neither_batch_nor_order(guided):
    images, baselines = pictures(4)
    targets, indices = torch.tensor([0, 2, 1, 0]), torch.tensor([17, 3, 90, 4])
    options = {"learned": learned(), "energies": Guidance(absolute_mass=0.2, gradients=2)} if guided else {}
    explainer = method(n_paths=2, **options)
    whole = explainer.explain(images, baselines, targets, indices)
    order = torch.tensor([2, 0, 3, 1])
    mixed = explainer.explain(images[order], baselines[order], targets[order], indices[order])
    for left, right in zip(whole, mixed, strict=True):
        torch.testing.assert_close(left[order], right, rtol=1e-3, atol=1e-5)
    alone = explainer.explain(images[1:2], baselines[1:2], targets[1:2], indices[1:2])
    torch.testing.assert_close(alone.attribution[0], whole.attribution[1], rtol=1e-3, atol=1e-5)
    other = explainer.explain(images, baselines, targets, indices + 1)
    assert (other.attribution - whole.attribution).abs().max() > 1e-4


def test_the_first_candidates_stay_when_more_are_asked_for():
    images, baselines = pictures()
    targets, streams = torch.zeros(3, dtype=torch.long), Streams(0, torch.tensor([5, 9, 2]))
    paths = [
        method().sequences.generate(images, baselines, targets, ScoreFunction(Bent()), n_paths=n, streams=streams)
        for n in (1, 3)
    ]
    torch.testing.assert_close(paths[1].latents.unflatten(0, (3, 3))[:, 0], paths[0].latents, rtol=1e-4, atol=1e-5)
    assert torch.equal(paths[1].images, candidates(images, 3))
    assert not torch.equal(paths[1].latents[0], paths[1].latents[1])


def test_seeds_repeat_and_differ():
    images, baselines = pictures()
    maps = [method(seed=seed).attribute(images, baselines, 1) for seed in (0, 0, 1)]
    assert torch.equal(maps[0], maps[1])
    assert not torch.equal(maps[0], maps[2])


@pytest.mark.parametrize("ends", ["overwrite", "residual"])
def test_completeness_with_fine_steps(ends):
    images, baselines = pictures()
    change = ScoreFunction(Bent()).score(images, torch.ones(3, dtype=torch.long))
    change -= ScoreFunction(Bent()).score(baselines, torch.ones(3, dtype=torch.long))
    coarse, fine = (method(steps=steps, ends=ends, n_paths=2).explain(images, baselines, 1) for steps in (12, 480))
    torch.testing.assert_close(fine.attribution.flatten(1).sum(1), change, rtol=0, atol=2e-3)
    assert fine.gap.abs().max() < 2e-3
    assert fine.gap.abs().mean() < coarse.gap.abs().mean()


@pytest.mark.parametrize(
    "how", ["mean", "median", "variance_weighted", "spi_p", "consensus", "best_of", "best_mixture"]
)
def test_every_aggregation_runs(how):
    found = method(n_paths=3, aggregation=how).explain(*pictures(), 1)
    assert found.attribution.shape == (3, *SHAPE)
    assert all(part.isfinite().all() for part in found)


def test_best_guided_takes_the_candidate_of_highest_quality():
    images, baselines = pictures()
    guidance = learned()
    explainer = method(n_paths=4, aggregation="best_guided", learned=guidance)
    found = explainer.explain(images, baselines, 1)
    targets = torch.ones(3, dtype=torch.long)
    given = {"n_paths": 4, "generator": Streams.default(3)}
    path = explainer.sequences.generate(images, baselines, targets, explainer.score, **given)
    each = integrate(path, explainer.score, candidates(targets, 4), steps=explainer.steps)
    quality = guidance.quality(path.latents.flatten(2)).view(3, 4)
    assert (quality.max(1).values > quality.min(1).values).all()
    for row, best in enumerate(quality.argmax(1).tolist()):
        for part, all_parts in zip(found, each, strict=True):
            torch.testing.assert_close(part[row], all_parts[4 * row + best], rtol=1e-4, atol=1e-6)
    assert len(set(quality.argmax(1).tolist())) > 1


@pytest.mark.parametrize("how", ["mean", "best_guided"])
def test_bands_that_move_together_are_the_published_method(how):
    images, baselines = pictures()
    options = {"n_paths": 3, "aggregation": how, "learned": learned()}
    plain = method(**options).explain(images, baselines, 1)
    together = method(schedule=Schedule("together"), basis=LaplacianBasis(2), **options).explain(images, baselines, 1)
    for left, right in zip(together, plain, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-5)
    apart = method(schedule=Schedule(overlap=0), basis=LaplacianBasis(2), **options).explain(images, baselines, 1)
    assert (apart.attribution - plain.attribution).abs().max() > 1e-3


def test_a_schedule_decodes_no_sequence_twice_for_its_bands():
    """All bands ask for their points in one call, so the decoder sees each point of a sequence once for each chunk."""
    seen = []
    for schedule in (None, Schedule("together")):
        codec = Watched()
        explainer = method(codec=codec, schedule=schedule, basis=LaplacianBasis(3), steps=8)
        explainer.explain(*pictures(), 1)
        seen.append(sum(codec.calls))
    assert seen[0] == seen[1]


def test_strengths_are_told():
    strengths = method(learned=learned(omega=0.5), energies=Guidance(absolute_mass=0.1)).guidance_strengths
    assert {name: value for name, value in strengths.items() if value} == {
        **LEARNED,
        "omega": 0.5,
        "absolute_mass": 0.1,
    }


@pytest.mark.parametrize("name", ["faithfulness", "absolute_mass", "complexity"])
def test_energies_raise_their_own_value(name):
    """Measured on the sampled path itself, with many gradients."""
    values = {}
    for strength in (-0.3, 0.0, 0.3):
        energies = Guidance(**{name: strength}, gradients=4, stop=1.0)
        path, score = sampled(energies=energies, steps=8, count=6, n_paths=1)
        targets = torch.arange(6) % 3
        found = integrate(path, score, targets, steps=96)
        size = found.attribution.abs().flatten(1)
        share = size / size.sum(1, keepdim=True)
        places = torch.linspace(0, KNOTS, 97).expand(6, -1)
        along = score.score(path.at(places).flatten(0, 1), targets.repeat_interleave(97)).view(6, 97).mean(1)
        told = {
            "faithfulness": along,
            "absolute_mass": -found.absolute_mass.log(),
            "complexity": (share * share.log()).sum(1),
        }
        values[strength] = told[name].mean().item()
    assert values[-0.3] < values[0.0] < values[0.3]


def test_the_region_comes_first():
    from diffig.method.latent.path import LatentPath

    images, baselines = pictures()
    mask = torch.zeros(3, 1, 4, 4)
    mask[..., :2] = 1
    ahead = {}
    for strength in (-0.5, 0.0, 0.5):
        space = LatentSpace(Watched(), KNOTS)
        maker = LatentPath(space, tiny(awake=False), energies=Guidance(region=strength, stop=1.0), sample_steps=8)
        score = ScoreFunction(Bent())
        path = maker.generate(images, baselines, torch.zeros(3, dtype=torch.long), score, n_paths=2, region=mask)
        progress = space.progress(path.latents.flatten(2), images).mean((0, 1, 2))
        ahead[strength] = (progress[:, :2].mean() - progress[:, 2:].mean()).item()
        assert score.cost == (0, 0)
    assert ahead[-0.5] < ahead[0.0] < ahead[0.5]


def test_a_region_of_another_size_is_refused():
    explainer, (images, _) = method(), pictures()
    with pytest.raises(ValueError, match=r"region has shape \(1, 1, 2, 2\)"):
        explainer.attribute(images, target=0, region=torch.ones(1, 1, 2, 2))


class Pooled(Watched):
    """Half the side: other latents than the prior's."""

    def encode(self, images):
        return nn.functional.avg_pool2d(images, 2)

    def latent_shape(self, image_shape):
        return image_shape[0], image_shape[1] // 2, image_shape[2] // 2


def test_the_method_refuses(tmp_path):
    images, baselines = pictures()
    with pytest.raises(ValueError, match=r"autoencoder gives 8 latent numbers for images \(2, 4, 4\).*trained on 32"):
        method(codec=Pooled()).explain(images, baselines, 1)
    with pytest.raises(FileNotFoundError, match="no latent prior at"):
        method(prior=tmp_path / "nowhere.safetensors")
    with pytest.raises(ValueError, match=r"aggregation=best_guided ranks candidates by the learned guidance.*both 0"):
        method(aggregation="best_guided")
    with pytest.raises(ValueError, match=r"steps=8 backward images do not pay for the 8 gradients of the energies"):
        method(steps=8, energies=Guidance(absolute_mass=0.1, gradients=2, stop=1.0))
    from diffig.method.latent.path import LatentPath

    with pytest.raises(ValueError, match=r"trained for 6 segments and the space has 9; set n_segments=6"):
        LatentPath(LatentSpace(Watched(), 9), tiny())
