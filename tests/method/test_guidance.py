"""Guidance: it does nothing when off, what it says when on, and never asks for a second derivative."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffig.attribution import FieldDiffIG, integrate
from diffig.integration.soft_insertion_deletion import RATIOS, best_mixture, soft_insertion_deletion
from diffig.method import FieldPath, Guidance
from diffig.method.field.prior import FieldPrior
from diffig.method.field.space import FieldSpace
from diffig.method.guidance.energies import ENERGIES, PathView, direction
from diffig.paths import LaplacianBasis, PixelBasis, Schedule
from diffig.paths.path import blend
from diffig.scores import ScoreFunction
from oracle.models import Deep, FirstOrderOnly, Linear, TanhNet, pictures

TARGETS = torch.tensor([0, 3, 1, 4, 2, 3])
IMAGES, BASELINES = pictures(6)
SPACE = FieldSpace(LaplacianBasis(3), Schedule("coarse_first", 0.5))
LEFT = torch.zeros(6, 1, 8, 8, dtype=torch.float64)
LEFT[..., :4] = 1
STRENGTHS = dict.fromkeys(ENERGIES, 0.3)


@pytest.fixture(scope="module")
def prior():
    return FieldPrior.load()


def sample(prior, guidance, score=None, space=SPACE, sample_steps=4, **options):
    score = score or ScoreFunction(Deep())
    maker = FieldPath(space, prior, guidance, sample_steps)
    return maker.generate(IMAGES, BASELINES, TARGETS, score, region=LEFT, **options)


def view_of(field, score, nodes=5, frozen=None):
    """The path that a whitened field stands for, as guidance sees it; `frozen` are scores and gradients from before."""
    progress = SPACE.decode(field, torch.full((len(field),), 10.0))
    cuts = torch.arange(nodes + 1, dtype=field.dtype)
    alpha = SPACE.alpha(progress, torch.cat([cuts, cuts[:-1] + 0.5]) / nodes)
    parts = SPACE.basis.components(IMAGES - BASELINES)
    points, inner = blend(alpha, BASELINES, IMAGES - BASELINES, parts).split([nodes + 1, nodes], 1)
    if frozen is None:
        middle = inner.detach()
        values, gradients = score.value_and_grad(middle.flatten(0, 1), TARGETS.repeat_interleave(nodes))
        frozen = values.view(6, nodes), gradients.view(middle.shape), middle
    region = torch.nn.functional.adaptive_avg_pool2d(LEFT, SPACE.grid)
    return PathView(progress, points, inner, frozen[0], frozen[1], region), frozen


def some_field():
    generator = torch.Generator().manual_seed(3)
    return 0.5 * torch.randn((6, *SPACE.shape), generator=generator, dtype=torch.float64)


def test_strength_zero_is_no_guidance_bit_for_bit(prior):
    plain = sample(prior, None)
    assert torch.equal(plain.alpha, sample(prior, Guidance(**dict.fromkeys(ENERGIES, 0.0), gradients=5)).alpha)
    asleep = Guidance(**STRENGTHS, start=0.9, stop=1.0)  # 4 steps at 0, .25, .5, .75: it never acts
    assert asleep.backward_images(4) == 0
    assert torch.equal(plain.alpha, sample(prior, asleep).alpha)
    assert not torch.equal(plain.alpha, sample(prior, Guidance(absolute_mass=0.01)).alpha)


def test_no_energy_that_asks_nothing_costs_anything(prior):
    score = ScoreFunction(Deep())
    sample(prior, Guidance(smoothness=0.5, region=0.5), score)
    assert score.cost == (0, 0)


@pytest.mark.parametrize(("start", "stop", "acting"), [(0.0, 0.5, 2), (0.0, 1.0, 4), (0.5, 1.0, 2), (0.25, 0.5, 1)])
def test_window_of_steps(prior, start, stop, acting):
    guidance = Guidance(absolute_mass=0.1, gradients=3, start=start, stop=stop)
    assert [guidance.acts(step, 4) for step in range(4)].count(True) == acting
    score = ScoreFunction(Deep())
    sample(prior, guidance, score, n_paths=2)
    assert score.cost == (6 * 2 * 3 * acting, 6 * 2 * 3 * acting)
    assert guidance.backward_images(4) == 3 * acting


@pytest.mark.parametrize("name", ENERGIES)
def test_a_small_step_raises_the_energy(name):
    """Re-evaluated after the step with the gradients held, for every path of the batch; a negative one lowers it."""
    score = ScoreFunction(TanhNet())
    field = some_field().requires_grad_()
    view, frozen = view_of(field, score)
    before = ENERGIES[name](view)
    step = direction(before, field)

    def after(size):
        moved, _ = view_of((field + size * step).detach(), score, frozen=frozen)
        if name == "faithfulness":  # its graph is a first-order expansion around where the gradients were taken
            return (frozen[0] + (frozen[1] * (moved.nodes - frozen[2])).flatten(2).sum(2)).mean(1)
        return ENERGIES[name](moved)

    assert (after(1e-3) > before).all()
    assert (after(-1e-3) < before).all()
    slope = (after(1e-5) - after(-1e-5)) / 2e-5
    (gradient,) = torch.autograd.grad(ENERGIES[name](view_of(field, score, frozen=frozen)[0]).sum(), field)
    torch.testing.assert_close(slope, (gradient * step).flatten(1).sum(1).detach(), rtol=0.05, atol=1e-6)


def test_a_small_step_raises_the_true_mean_score():
    """Asking the classifier anew: the first-order direction is right, not only consistent with itself."""
    score = ScoreFunction(TanhNet())
    field = some_field().requires_grad_()
    view, _ = view_of(field, score, nodes=40)
    step = direction(ENERGIES["faithfulness"](view), field)
    values = [view_of((field + size * step).detach(), score, nodes=40)[0].values.mean(1) for size in (-0.02, 0.0, 0.02)]
    assert (values[0] < values[1]).all()
    assert (values[1] < values[2]).all()


@pytest.mark.parametrize("name", ENERGIES)
def test_a_strength_is_a_root_mean_square_shift(name):
    for strength in (0.7, -0.7):
        field = some_field().requires_grad_()
        shift = Guidance(**{name: strength}).shift(view_of(field, ScoreFunction(TanhNet()))[0], field)
        torch.testing.assert_close(shift.flatten(1).square().mean(1).sqrt(), torch.full((6,), 0.7, dtype=torch.float64))


def test_strengths_add():
    score = ScoreFunction(TanhNet())
    field = some_field().requires_grad_()
    together = Guidance(**STRENGTHS).shift(view_of(field, score)[0], field)
    alone = [Guidance(**{name: 0.3}).shift(view_of(field, score)[0], field) for name in ENERGIES]
    torch.testing.assert_close(together, sum(alone))


def test_a_dead_gradient_moves_nothing():
    field = some_field().requires_grad_()
    assert (direction((field * 0).flatten(1).sum(1), field) == 0).all()


class Louder(torch.nn.Module):
    """The same classifier with logits ten times as large."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        return 10 * self.net(images)


@pytest.mark.parametrize("name", ["faithfulness", "absolute_mass", "complexity"])
def test_the_scale_of_the_score_does_not_matter(prior, name):
    quiet, loud = (
        sample(prior, Guidance(**{name: 0.3}, gradients=3), ScoreFunction(net, "logit")).alpha
        for net in (TanhNet(), Louder(TanhNet()))
    )
    torch.testing.assert_close(quiet, loud, rtol=0, atol=1e-4)


def test_first_derivatives_are_enough(prior):
    guidance = Guidance(**STRENGTHS, gradients=3)
    plain = sample(prior, guidance)
    guarded = sample(prior, guidance, ScoreFunction(FirstOrderOnly(Deep())))
    assert torch.equal(plain.alpha, guarded.alpha)
    assert not guarded.alpha.requires_grad


def mean_score(path, score):
    count = 33
    positions = torch.linspace(0, path.n_segments, count, dtype=torch.float64).expand(len(path), -1)
    return score.score(path.at(positions).flatten(0, 1), TARGETS.repeat_interleave(count)).view(-1, count).mean(1)


def test_faithfulness_raises_the_mean_score(prior):
    score = ScoreFunction(Deep())
    low, plain, high = (
        mean_score(sample(prior, Guidance(faithfulness=strength, gradients=6, stop=1.0)), score)
        for strength in (-0.6, 0.0, 0.6)
    )
    assert low.mean() < plain.mean() < high.mean()
    assert (high > low).all()


def test_less_absolute_mass(prior):
    score = ScoreFunction(Deep())
    spent = [
        integrate(
            sample(prior, Guidance(absolute_mass=strength, gradients=6, stop=1.0)), score, TARGETS, steps=64
        ).absolute_mass
        for strength in (-0.6, 0.0, 0.6)
    ]
    assert spent[0].mean() > spent[1].mean() > spent[2].mean()


def test_complexity_concentrates(prior):
    score = ScoreFunction(Deep())

    def entropy(strength):
        path = sample(prior, Guidance(complexity=strength, gradients=6, stop=1.0))
        size = integrate(path, score, TARGETS, steps=64).attribution.abs().flatten(1)
        share = size / size.sum(1, keepdim=True)
        return -(share * share.log()).sum(1).mean()

    assert entropy(-0.6) > entropy(0.0) > entropy(0.6)


def test_smoothness_smooths(prior):
    """For half of the steps, as by default: to the end, strengths above 0.2 overshoot and roughen the field."""

    def roughness(strength):
        alpha = sample(prior, Guidance(smoothness=strength)).alpha
        return (alpha.diff(dim=-1).abs().mean() + alpha.diff(dim=-2).abs().mean()).item()

    found = [roughness(strength) for strength in (-0.3, 0.0, 0.1, 0.3)]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 4


def test_the_region_moves_first_or_last(prior):
    space = FieldSpace(PixelBasis(), Schedule("together"))

    def ahead(strength):
        alpha = sample(prior, Guidance(region=strength, stop=1.0), space=space).alpha.mean((1, 2))
        lead = alpha[..., :4].mean((1, 2)) - alpha[..., 4:].mean((1, 2))
        return lead.min(), lead.max()

    assert ahead(1.0)[0] > 0.05
    assert ahead(-1.0)[1] < -0.05
    assert abs(ahead(0.0)[0]) < 0.2


def test_all_of_the_image_is_no_region(prior):
    whole = FieldPath(SPACE, prior, Guidance(region=0.5), 2)
    path = whole.generate(IMAGES, BASELINES, TARGETS, ScoreFunction(Deep()), region=torch.ones_like(LEFT))
    assert path.alpha.isfinite().all()


# How proposals are judged


def judged_by_loop(attribution, image, baseline, target, score, unit, fill):
    """Soft insertion minus deletion of one attribution, one ratio and one feature at a time."""
    channels, height, width = image.shape
    pixels = [(y, x) for y in range(height) for x in range(width)]
    cells = [[(c, y, x)] for c in range(channels) for y, x in pixels]
    if unit == "pixel":
        cells = [[(c, y, x) for c in range(channels)] for y, x in pixels]
    worth = [sum(abs(attribution[element]) for element in cell) for cell in cells]
    weakest_first = sorted(range(len(cells)), key=lambda k: worth[k])

    def ask(removed):
        gone = {element for k in removed for element in cells[k]}
        rest = [image[element] for cell in cells for element in cell if element not in gone]
        masked = image.copy()
        for element in gone:
            masked[element] = baseline[element] if fill == "baseline" else sum(rest) / len(rest)
        return score.score(torch.from_numpy(masked)[None], torch.tensor([target])).item()

    clean = ask([])
    total = 0.0
    for ratio in RATIOS:
        count = int(ratio * len(cells))
        kept = ask(weakest_first[:count]) / clean
        lost = ask(weakest_first[len(cells) - count :]) / clean
        total += min(max(kept, 0), 1) - min(max(lost, 0), 1)
    return total / len(RATIOS)


@pytest.mark.parametrize("fill", ["kept_mean", "baseline"])
@pytest.mark.parametrize("unit", ["element", "pixel"])
def test_soft_insertion_deletion_equals_the_loop(unit, fill):
    images, baselines = pictures(3, 2, 5, 4)
    score = ScoreFunction(TanhNet((2, 5, 4)))
    attributions = score.value_and_grad(images, TARGETS[:3])[1] * (images - baselines)
    found = soft_insertion_deletion(attributions, images, baselines, TARGETS[:3], score, unit=unit, fill=fill)
    for row in range(3):
        given = (tensor[row].numpy() for tensor in (attributions, images, baselines))
        wanted = judged_by_loop(*given, int(TARGETS[row]), score, unit, fill)
        assert found[row].item() == pytest.approx(wanted, abs=1e-10)


def test_soft_insertion_deletion_knows_good_from_bad():
    images, baselines = pictures(6)
    net = Linear()
    net.weight.zero_()
    net.weight[:, 0, :4] = 1.0  # the upper half of the first channel is all that counts
    score = ScoreFunction(net, "logit")
    attributions = net.weight[TARGETS] * images
    noise = torch.randn(attributions.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    good, bad, worst = (
        soft_insertion_deletion(a, images, torch.zeros_like(images), TARGETS, score, fill="baseline")
        for a in (attributions, noise, 1 - net.weight[TARGETS])
    )
    assert (good > 0.8).all()
    assert (bad.abs() < 0.3).all()
    assert (worst < -0.8).all()
    broken = attributions.clone()
    broken[2] = torch.nan
    assert soft_insertion_deletion(broken, images, baselines, TARGETS, score)[2] == -1


def test_the_best_mixture_equals_greedy_selection_by_loop():
    images, baselines = pictures(3)
    targets = TARGETS[:3]
    score = ScoreFunction(Deep())
    candidates = torch.randn((3, 5, 3, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found, quality = best_mixture(candidates, images, baselines, targets, score, units=("element", "pixel"))

    def judge(row, members):
        mixture = candidates[row, members].mean(0)[None]
        given = mixture, images[row : row + 1], baselines[row : row + 1], targets[row : row + 1], score
        return np.mean([soft_insertion_deletion(*given, unit=unit).item() for unit in ("element", "pixel")])

    for row in range(3):
        chosen = [max(range(5), key=lambda k, row=row: judge(row, [k]))]
        best = judge(row, chosen)
        while len(chosen) < 5:
            value, who = max((judge(row, [*chosen, k]), k) for k in range(5) if k not in chosen)
            if value <= best:
                break
            best, chosen = value, [*chosen, who]
        torch.testing.assert_close(found[row], candidates[row, chosen].mean(0))
        assert quality[row].item() == pytest.approx(best, abs=1e-10)
        assert best >= max(judge(row, [k]) for k in range(5))


def test_best_of_keeps_the_candidate_judged_best(prior):
    options = {
        "basis": LaplacianBasis(3),
        "sample_steps": 2,
        "steps": 12,
        "prior": prior,
        "guidance": Guidance(absolute_mass=0.2),
        "footprint": (),
    }
    score = ScoreFunction(Deep())
    method = FieldDiffIG(score, n_paths=3, aggregation="best_of", **options)
    found = method.explain(IMAGES, BASELINES, TARGETS)
    from diffig.randomness import Streams

    path = method.field.generate(IMAGES, BASELINES, TARGETS, score, n_paths=3, streams=Streams.default(6))
    each = integrate(
        path, score, TARGETS.repeat_interleave(3), method.credit, steps=method.steps, nodes="score"
    ).attribution.unflatten(0, (6, 3))
    quality = torch.stack(
        [
            (
                soft_insertion_deletion(each[:, k], IMAGES, BASELINES, TARGETS, score)
                + soft_insertion_deletion(each[:, k], IMAGES, BASELINES, TARGETS, score, unit="pixel")
            )
            / 2
            for k in range(3)
        ],
        1,
    )
    assert (quality.max(1).values > quality.min(1).values).any()
    for row in range(6):
        torch.testing.assert_close(found.attribution[row], each[row, quality[row].argmax()], rtol=0, atol=1e-5)


def test_mixtures_of_complete_attributions_are_complete(prior):
    options = {"basis": LaplacianBasis(3), "sample_steps": 2, "prior": prior, "steps": 256}
    found = FieldDiffIG(Deep(), guidance=Guidance(proposals=4), **options).explain(IMAGES, BASELINES, TARGETS)
    score = ScoreFunction(Deep(), "logit")
    change = score.score(IMAGES, TARGETS) - score.score(BASELINES, TARGETS)
    torch.testing.assert_close(found.gap, found.attribution.flatten(1).sum(1) - change, rtol=0, atol=1e-10)
    assert found.gap.abs().max() < 1e-10


def test_a_region_is_given_to_attribute(prior):
    options = {"basis": LaplacianBasis(3), "sample_steps": 2, "steps": 8, "prior": prior}
    method = FieldDiffIG(Deep(), guidance=Guidance(region=0.5), **options)
    found = method.attribute(IMAGES, BASELINES, TARGETS, region=LEFT)
    assert torch.equal(found, method.explain(IMAGES, BASELINES, TARGETS, region=LEFT).attribution)
    assert not torch.equal(found, method.attribute(IMAGES, BASELINES, TARGETS, region=1 - LEFT))


@pytest.mark.parametrize("gradients", [1, 2])
def test_a_stronger_faithfulness_is_another_path(prior, gradients):
    """One gradient must not sit at the ends of the path, where nothing can move."""
    weak, strong = (
        sample(prior, Guidance(faithfulness=strength, gradients=gradients)).alpha for strength in (0.1, 1.0)
    )
    assert (weak - strong).abs().max() > 1e-3


def test_one_gradient_cannot_see_the_absolute_mass():
    with pytest.raises(ValueError, match=r"guidance.gradients=1 sees one piece.*need 2"):
        Guidance(absolute_mass=0.1, gradients=1)
