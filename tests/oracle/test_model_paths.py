"""Paths that follow the classifier (AGI, IG2, FRInGe, Geodesic IG), written a second time for one image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from diffig.attribution import IG2, AdversarialGradientIntegration, FRInGe, GeodesicIG, IntegratedGradients
from diffig.attribution.trace import path_of
from diffig.baselines import Dataset
from diffig.paths import AdversarialPath, FisherRaoWalk, GeodesicPath, GradPath
from diffig.paths.conjugate_gradients import conjugate_gradients
from diffig.paths.fisher_metric import Prior, fisher_product, natural_direction
from diffig.paths.representation import represent
from diffig.paths.waypoints import Waypoints
from diffig.randomness import Streams
from diffig.scores import ScoreFunction
from oracle.models import Deep, Headed, Linear, Ridge, TanhNet, pictures

TARGETS = torch.tensor([0, 3, 1, 4, 2, 3])
BANK = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def gradient(function, point):
    leaf = point.clone().requires_grad_()
    return torch.autograd.grad(function(leaf), leaf)[0]


def divergence(one, other):
    return (one * (one / other).log()).sum(-1)


# ---- AGI ---------------------------------------------------------------------------------------------------------


def agi_by_loops(net, image, target, classes, step_size, max_steps, released):
    """Attribution `(C, H, W)`, where the paths end and their absolute mass."""
    probability = lambda point, label: net(point[None]).softmax(1)[0, label]  # noqa: E731
    total, ends, mass = torch.zeros_like(image), [], 0.0
    for other in classes:
        point = image.clone()
        for _ in range(max_steps):
            if net(point[None]).argmax() == other:
                break
            push = gradient(lambda at, other=other: probability(at, other), point)
            own = gradient(lambda at: probability(at, target), point)
            start = image if released else point
            new = (start + step_size * push.sign()).clamp(0, 1)
            total -= own * (new - start)
            mass += (own * (new - start)).abs().sum()
            point = new
        ends.append(point)
    return total, torch.stack(ends), mass


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("chunk_size", [64, 7])
def test_agi_against_loops(released, chunk_size):
    images, _ = pictures(4)
    net = TanhNet()
    score = ScoreFunction(net, chunk_size=chunk_size)
    method = AdversarialGradientIntegration(score, n_classes=3, step_size=0.04, max_steps=6, as_released=released)
    found = method.explain(images, target=TARGETS[:4])
    for row in range(4):
        target, logits = int(TARGETS[row]), net(images[row : row + 1])[0]
        classes = [k for k in logits.argsort(descending=True).tolist() if k != target][:3]
        if released:
            classes = [(k + 1 if target < 4 else k - 1) if k == target else k for k in (0, 1, 2)]
        wanted, ends, mass = agi_by_loops(net, images[row], target, classes, 0.04, 6, released)
        torch.testing.assert_close(found.attribution[row], wanted, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(found.absolute_mass[row], mass, rtol=1e-9, atol=1e-12)
        change = (logits.softmax(0)[target] - net(ends).softmax(1)[:, target]).sum()
        torch.testing.assert_close(found.gap[row], wanted.sum() - change, rtol=1e-9, atol=1e-12)


def agi_steps(released, max_steps=12):
    images, _ = pictures(6)
    heads = (TARGETS + 1) % 5
    score = ScoreFunction(TanhNet())
    path = AdversarialPath(0.03, max_steps, released)
    return images, heads, list(path.walk(images, TARGETS, heads, score))


def test_agi_follows_its_path_and_the_released_program_does_not():
    images, heads, steps = agi_steps(False)
    points, taken = images.clone(), torch.zeros(6)
    for step in steps:
        assert torch.equal(step.start, points[step.rows])
        assert ((step.end - step.start).abs() <= 0.03 + 1e-12).all()
        points[step.rows] = step.end
        taken[step.rows] += 1
    assert len(set(taken.tolist())) > 2, "paths end at different times"
    assert torch.equal(TanhNet()(points).argmax(1)[taken < 12], heads[taken < 12])
    assert 0 <= points.min() <= points.max() <= 1
    assert (points - images).abs().max() > 0.1

    images, _, steps = agi_steps(True)
    assert len(steps) > 2
    assert all(torch.equal(step.start, images[step.rows]) for step in steps)
    assert all((step.end - images[step.rows]).abs().max() <= 0.03 + 1e-12 for step in steps)


def test_agi_sums_to_the_change_along_its_paths():
    """The left rule is exact where the gradient is constant; without a path nothing adds up."""
    images, _ = pictures(3)
    score = ScoreFunction(Linear(), "logit")
    assert AdversarialGradientIntegration(score, max_steps=8).explain(images, target=1).gap.abs().max() < 1e-10
    released = AdversarialGradientIntegration(score, max_steps=8, as_released=True)
    images = 0.3 + 0.4 * images
    assert released.explain(images, target=1).gap.abs().max() > 1
    nonlinear = ScoreFunction(TanhNet())
    gaps = [
        AdversarialGradientIntegration(nonlinear, n_classes=2, step_size=size, max_steps=count)
        .explain(images, target=TARGETS[:3])
        .gap.abs()
        .max()
        for size, count in ((0.04, 5), (0.004, 50))
    ]
    assert gaps[1] < gaps[0] / 4


def test_agi_heads_for_every_other_class_once():
    images, _ = pictures(3)
    score = ScoreFunction(Deep())
    others = AdversarialGradientIntegration(score).others(images, TARGETS[:3])
    assert others.shape == (3, 4)
    assert all(set(row.tolist()) == set(range(5)) - {int(target)} for row, target in zip(others, TARGETS, strict=False))


# ---- IG2 ---------------------------------------------------------------------------------------------------------


def ig2(score, **options):
    return IG2(score, **{"references": Dataset(BANK), "n_references": 2, "steps": 12, "travel": 0.3, **options})


@pytest.mark.parametrize("released", [False, True])
def test_ig2_against_loops(released):
    images, _ = pictures(3)
    net = Headed()
    targets = net(images).argmax(1)
    score = ScoreFunction(net)
    method = ig2(score, seed=3, as_released=released)
    indices = torch.tensor([4, 9, 2])
    found = method.explain(images, target=targets, indices=indices)
    length = 0.02 * 0.226 if released else 0.3 * 192**0.5 / 6
    for row in range(3):
        order = np.random.Generator(Streams(3, indices).numpy(row, purpose="ig2").bit_generator).permutation(12)
        allowed = [k for k in order if released or net(BANK[k : k + 1]).argmax() != targets[row]][:2]
        probability = lambda point, row=row: net(point[None]).softmax(1)[0, targets[row]]  # noqa: E731
        total, change = torch.zeros_like(images[row]), 0.0
        for pick in allowed:
            wanted = net.body(BANK[pick : pick + 1])
            point = images[row]
            for _ in range(6):
                slope = gradient(lambda at, wanted=wanted: (net.body(at[None]) - wanted).square().mean(), point)
                new = point - length * slope / slope.norm()
                new = new if released else new.clamp(0, 1)
                total += gradient(probability, point if released else (point + new) / 2) * (point - new) / 2
                point = new
            change += (probability(images[row]) - probability(point)) / 2
        torch.testing.assert_close(found.attribution[row], total, rtol=1e-8, atol=1e-12)
        torch.testing.assert_close(found.gap[row], total.sum() - change, rtol=1e-8, atol=1e-12)


def test_ig2_comes_nearer_to_the_reference():
    images, _ = pictures(4)
    score = ScoreFunction(Headed())
    wanted = represent(score, BANK[:4])[1]
    path = GradPath(40, travel=0.2).generate(images, BANK[:4], TARGETS[:4], score)
    assert torch.equal(path.endpoints[1], images)
    points = path.points(0, 41).flip(1)  # from the image on
    inside = score.classifier.body(points.flatten(0, 1)).unflatten(0, (4, 41))
    distance = (inside - wanted[:, None]).norm(dim=2)
    length = 0.2 * 192**0.5 / 40
    slope = score.classifier.body[1].weight.norm()  # a step overshoots by less than this
    falling = distance.diff(dim=1) < 0
    assert (falling | (distance[:, :-1] < length * slope)).all()
    assert (distance[:, -1] < 0.3 * distance[:, 0]).all()
    assert 0 <= points.min() <= points.max() <= 1


def test_ig2_heads_straight_for_a_reference_where_pixels_are_the_representation():
    images, _ = pictures(3)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 5)).double()
    path = GradPath(10, travel=0.1).generate(images, BANK[:3], TARGETS[:3], ScoreFunction(net))
    way = (BANK[:3] - images).flatten(1)
    unit = way / way.norm(dim=1, keepdim=True)
    steps = torch.linspace(0, 1, 11, dtype=torch.float64)[:, None] * (0.1 * 192**0.5)
    wanted = images.flatten(1)[:, None] + steps * unit[:, None]
    torch.testing.assert_close(path.points(0, 11).flip(1).flatten(2), wanted)


def test_ig2_shows_no_path_that_it_does_not_go():
    """Its paths head for images of the bank; one towards the baseline would be another."""
    images, _ = pictures(1)
    method = IG2(ScoreFunction(Headed()), references=Dataset(pictures(4)[0]), steps=4)
    assert path_of(method, images, torch.tensor([0])) is None


def test_ig2_takes_references_of_other_classes():
    net = Headed()
    score = ScoreFunction(net)
    labels = net(BANK).argmax(1)
    inside = represent(score, BANK)[1]
    assert len(set(labels.tolist())) > 1
    images, _ = pictures(6)
    for target in set(labels.tolist()):
        chosen = ig2(score).choose(images, torch.full((6,), target), Streams.default(6))
        picks = torch.cdist(chosen.flatten(0, 1), inside).argmin(1)
        assert not (labels[picks] == target).any()
    # A bank that is all of the target: those that look least like it.
    target = int(labels[0])
    same = BANK[labels == target]
    method = ig2(score, references=Dataset(same), n_references=1)
    chosen = method.choose(images[:1], torch.tensor([target]), Streams.default(1))[0]
    rest = net(same).detach().clone()
    rest[:, target] = -torch.inf
    lead = net(same)[:, target] - rest.amax(1)
    torch.testing.assert_close(chosen, represent(score, same)[1][lead.argmin()][None])


def test_ig2_bad_input():
    images, _ = pictures(1)
    with pytest.raises(ValueError, match="ig2 has no bank of images"):
        ig2(Headed(), references=Dataset()).attribute(images, target=0)
    with pytest.raises(ValueError, match=r"the bank holds images \(3, 8, 8\), not \(3, 8, 9\)"):
        ig2(Headed()).attribute(pictures(1, width=9)[0], target=0)
    with pytest.raises(ValueError, match="name a module with layer"):
        ig2(Linear()).attribute(images, target=0)
    with pytest.raises(ValueError, match=r"layer='tail' is no module .* \['body.1', 'head'\]"):
        ig2(Headed(), layer="tail").attribute(images, target=0)
    with pytest.raises(ValueError, match="travel=0"):
        ig2(Headed(), travel=0)
    found = ig2(Headed(), layer="body.1").attribute(images, target=0)
    assert (found - ig2(Headed()).attribute(images, target=0)).abs().max() > 1e-4


# ---- FRInGe ------------------------------------------------------------------------------------------------------


def dense_metric(net, image, damping, smoothing):
    """`J^T S J` and the prior `a I + c L^2`, from their definitions, `(d, d)` each."""
    jacobian = torch.autograd.functional.jacobian(lambda at: net(at[None])[0], image).flatten(1)
    likely = net(image[None]).softmax(1)[0].detach()
    fisher = jacobian.T @ (likely.diag() - likely[:, None] * likely) @ jacobian
    channels, height, width = image.shape
    laplacian = torch.zeros(*image.shape, *image.shape, dtype=image.dtype)
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                for k, m in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                    if 0 <= k < height and 0 <= m < width:
                        laplacian[c, i, j, c, i, j] += 1
                        laplacian[c, i, j, c, k, m] -= 1
    laplacian = laplacian.view(image.numel(), -1)
    return fisher, damping * torch.eye(image.numel(), dtype=image.dtype) + smoothing * laplacian @ laplacian


@pytest.mark.parametrize("net", [TanhNet((3, 4, 5)), Deep()], ids=["tanh", "deep"])
def test_metric_and_natural_direction_against_dense_algebra(net):
    images, vectors = pictures(3, height=4, width=5)
    score = ScoreFunction(net, chunk_size=2)
    prior = Prior(images, 0.5, 0.2)
    products = fisher_product(score, images, vectors)
    found, curvature = natural_direction(score, images, vectors, prior, 60, 1e-12)
    for row in range(3):
        fisher, precision = dense_metric(net, images[row], 0.5, 0.2)
        flat = vectors[row].flatten()
        torch.testing.assert_close(products[row].flatten(), fisher @ flat)
        torch.testing.assert_close(prior.times(vectors)[row].flatten(), precision @ flat)
        torch.testing.assert_close(prior.solve(vectors)[row].flatten(), torch.linalg.solve(precision, flat))
        wanted = torch.linalg.solve(fisher + precision, flat)
        torch.testing.assert_close(found[row].flatten(), wanted, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(curvature[row], wanted @ fisher @ wanted, rtol=1e-6, atol=1e-10)


def test_conjugate_gradients_need_one_iteration_for_each_direction_of_the_metric():
    """Five classes leave four directions, which the prior's own inverse does not know."""
    images, vectors = pictures(3)
    score = ScoreFunction(Deep())
    prior = Prior(images, 0.5, 0.2)
    product = lambda rows, v: fisher_product(score, images[rows], v) + prior.times(v)  # noqa: E731
    _, early = conjugate_gradients(product, prior.solve, vectors, 2, 0.0)
    _, late = conjugate_gradients(product, prior.solve, vectors, 6, 1e-9)
    assert (late.flatten(1).norm(dim=1) < 1e-8 * vectors.flatten(1).norm(dim=1)).all()
    assert early.norm() > 1e3 * late.norm()


def test_conjugate_gradients_ask_only_for_what_is_not_solved():
    matrices = torch.stack([torch.eye(4), torch.diag(torch.tensor([1.0, 2.0, 5.0, 9.0]))]).double()
    asked = []

    def product(rows, vectors):
        asked.append(rows.tolist())
        return (matrices[rows] @ vectors[..., None])[..., 0]

    right = torch.tensor([[1.0, 2.0, 3.0, 4.0]] * 2).double()
    solution, residual = conjugate_gradients(product, torch.clone, right, 10, 1e-10)
    assert asked == [[0, 1], [1], [1], [1]]
    torch.testing.assert_close(solution, torch.linalg.solve(matrices, right))
    torch.testing.assert_close(residual, torch.zeros_like(right))


def test_waypoints_are_near_each_other_and_end_at_the_even_prediction():
    start = torch.tensor([[0.97, 0.01, 0.01, 0.01], [0.4, 0.3, 0.2, 0.1], [0.25] * 4], dtype=torch.float64)
    arcs = Waypoints(start, 0.05)
    assert arcs.count[0] > arcs.count[1] > arcs.count[2] == 0
    for row in range(2):
        count = int(arcs.count[row])
        points = torch.cat([arcs.at(torch.tensor([row]), torch.tensor([k])) for k in range(count + 1)])
        torch.testing.assert_close(points[0], start[row])
        torch.testing.assert_close(points[-1], torch.full((4,), 0.25, dtype=torch.float64))
        torch.testing.assert_close(points.sum(1), torch.ones(count + 1, dtype=torch.float64))
        angles = (points[1:] * points[:-1]).sqrt().sum(1).acos()
        torch.testing.assert_close(angles, angles[:1].expand_as(angles))
        assert 0.02 < divergence(points[:-1], points[1:]).max() < 0.06


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("divergence", [0.05, 0.001])
def test_no_waypoint_is_needed_from_an_even_prediction_of_any_number_of_classes(dtype, divergence):
    for classes in (2, 3, 7, 10, 37, 100, 1000):
        even = torch.zeros(1, classes).softmax(1).to(dtype)
        assert Waypoints(even, divergence).count.item() == 0


def walk_of(net, images, **options):
    """For each image its points and scores' gradients, from the image to the end."""
    score = ScoreFunction(net, "logit")
    path = FisherRaoWalk(**{"radius": 0.1, **options})
    points = [[] for _ in images]
    for node in path.walk(images, TARGETS[: len(images)], score):
        for row, point in zip(node.rows.tolist(), node.points, strict=True):
            points[row].append(point)
    return [torch.stack(walk) for walk in points]


@pytest.mark.parametrize("kind", ["linear", "tanh"])
def test_fringe_walks_to_the_even_prediction(kind):
    images, _ = pictures(4)
    net, options = TanhNet(), {}
    if kind == "linear":  # and a prior so weak that steps follow the arc of predictions
        net, options = Linear(), {"damping": 1e-4, "smoothing": 0.0}
        net.weight.mul_(0.2)
    walks = walk_of(net, images, **options)
    lengths = {len(walk) for walk in walks}
    assert len(lengths) > 1, "walks end at different times"
    for image, walk in zip(images, walks, strict=True):
        assert torch.equal(walk[0], image)
        likely = net(walk).softmax(1)
        assert (divergence(likely[:-1], likely[1:]) <= 0.05).all()
        even = divergence(torch.full_like(likely, 0.2), likely)
        if kind == "linear":
            assert (even.diff() < 0).all()
        assert even[-1] < 0.01 < 0.1 < even[0]
        assert ((walk[1:] - walk[:-1]).square().mean((1, 2, 3)).sqrt() <= 0.1 + 1e-12).all()
        assert 0 <= walk.min() <= walk.max() <= 1


def test_fringe_is_the_trapezoid_along_its_walk():
    images, _ = pictures(4)
    net = TanhNet()
    score = ScoreFunction(net, "logit")
    found = FRInGe(score, radius=0.1).explain(images, target=TARGETS[:4])
    for row, walk in enumerate(walk_of(net, images)):
        logit = lambda at, row=row: net(at[None])[0, TARGETS[row]]  # noqa: E731
        slopes = [gradient(logit, point) for point in walk]
        wanted = sum((slopes[k] + slopes[k + 1]) / 2 * (walk[k] - walk[k + 1]) for k in range(len(walk) - 1))
        torch.testing.assert_close(found.attribution[row], wanted, rtol=1e-8, atol=1e-12)
        gap = wanted.sum() - (logit(walk[0]) - logit(walk[-1]))
        torch.testing.assert_close(found.gap[row], gap.detach(), rtol=1e-6, atol=1e-10)
    gaps = [
        FRInGe(score, radius=radius, divergence=divergence, max_steps=40)
        .explain(images, target=TARGETS[:4])
        .gap.abs()
        .max()
        for radius, divergence in ((0.02, 0.05), (0.01, 0.02))
    ]
    assert gaps[0] < 0.02
    assert gaps[1] < gaps[0] / 2


def test_fringe_stays_where_the_prediction_is_even_already():
    net = Linear()
    net.weight.zero_()
    images, _ = pictures(2)
    found = FRInGe(net).explain(images, target=0)
    assert not any(values.any() for values in found)


def test_fringe_bad_input():
    with pytest.raises(ValueError, match="damping=0 must be positive"):
        FRInGe(Deep(), damping=0)
    with pytest.raises(ValueError, match="smoothing=-1"):
        FRInGe(Deep(), smoothing=-1)


# ---- Geodesic IG -------------------------------------------------------------------------------------------------


def test_a_constant_gradient_leaves_the_straight_line():
    images, baselines = pictures(3)
    score = ScoreFunction(Linear(), "logit")
    path = GeodesicPath(7, 4).generate(images, baselines, TARGETS[:3], score)
    share = torch.linspace(0, 1, 9, dtype=torch.float64).view(1, -1, 1, 1, 1)
    torch.testing.assert_close(path.points(0, 9), baselines[:, None] + share * (images - baselines)[:, None])
    found = GeodesicIG(score, steps=16).explain(images, baselines, TARGETS[:3])
    torch.testing.assert_close(found.attribution, Linear().contributions(images, baselines, TARGETS[:3]))


def energy(net, points, strength, variation):
    """`E` of one path, from its definition."""
    count = len(points) - 1
    value = net(points)[:, 0]
    length = (points[-1] - points[0]).square().sum()
    total = 0.0
    for k in range(count):
        total += (points[k + 1] - points[k]).square().sum() / length
        total += strength * (value[k + 1] - value[k]) ** 2 / variation**2
    return float(count * total)


def test_a_geodesic_goes_around_a_ridge():
    net = Ridge()
    score = ScoreFunction(net, "logit")
    image = torch.ones(1, 1, 1, 2, dtype=torch.float64)
    target = torch.tensor([0])
    black = torch.zeros_like(image)
    line = black[0] + torch.linspace(0, 1, 18, dtype=torch.float64).view(-1, 1, 1, 1) * image[0]
    variation = net(line)[:, 0].diff().abs().sum()
    path = GeodesicPath(16, 4).generate(image, black, target, score)
    bent = path.points(0, 18)[0]
    assert torch.equal(bent[0], black[0])
    assert torch.equal(bent[-1], image[0])
    assert energy(net, bent, 10, variation) < energy(net, line, 10, variation) / 2
    assert net(bent)[:, 0].max() < 2.2 < 3.5 < net(line)[:, 0].max()
    straight = IntegratedGradients(score, steps=128).explain(image, target=target)
    around = GeodesicIG(score, steps=128).explain(image, target=target)
    # The line climbs the ridge and comes down again: 6.9 for a change of 2.
    assert around.absolute_mass < 0.5 * straight.absolute_mass
    assert around.gap.abs() < 1e-2
    unbent = GeodesicIG(score, steps=128, strength=0).explain(image, target=target)
    torch.testing.assert_close(unbent.absolute_mass, straight.absolute_mass, rtol=1e-2, atol=0)


def test_the_solution_is_the_least_of_the_linear_model():
    """No small change of the free points lowers the energy once Gauss and Newton have converged."""
    net = TanhNet()
    images, baselines = pictures(1)
    score = ScoreFunction(net, "logit")
    points = GeodesicPath(3, 40).generate(images, baselines, torch.tensor([0]), score).points(0, 5)[0]
    line = torch.lerp(baselines, images, torch.linspace(0, 1, 5, dtype=torch.float64).view(-1, 1, 1, 1))
    variation = net(line)[:, 0].diff().abs().sum()
    least = energy(net, points, 10, variation)
    assert least < energy(net, line, 10, variation)
    inside = ((points > 0) & (points < 1)).all(0)
    for seed in range(5):
        noise = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        for sign in (-1, 1):
            moved = points.clone()
            moved[1:-1] += sign * 1e-3 * noise * inside
            assert energy(net, moved, 10, variation) > least


def test_images_that_are_their_own_baseline():
    images, baselines = pictures(2)
    baselines[0] = images[0]
    found = GeodesicIG(Deep(), steps=16).explain(images, baselines, TARGETS[:2])
    assert not found.attribution[0].any()
    alone = GeodesicIG(Deep(), steps=16).explain(images[1:], baselines[1:], TARGETS[1:2])
    torch.testing.assert_close(found.attribution[1:], alone.attribution)


def test_geodesic_budget():
    images, _ = pictures(2)
    score = ScoreFunction(Deep())
    GeodesicIG(score, steps=30, iterations=3).explain(images, target=0)
    assert score.cost.backward_images == 2 * 30
    with pytest.raises(ValueError, match="steps=7 must be a whole number of at least 8"):
        GeodesicIG(score, steps=7)
    with pytest.raises(ValueError, match="iterations=0 must be a whole number of at least 1"):
        GeodesicIG(score, iterations=0)


@pytest.mark.parametrize(("chunk_size", "largest"), [(64, 24), (13, 12), (2, 6)])
def test_geodesics_hold_the_points_of_a_chunk_at_a_time(monkeypatch, chunk_size, largest):
    images, baselines = pictures(4)
    score, looks = ScoreFunction(Deep(), chunk_size=chunk_size), []
    look = score.value_and_grad
    monkeypatch.setattr(score, "value_and_grad", lambda points, of: looks.append(len(points)) or look(points, of))
    found = GeodesicPath(6, 2).generate(images, baselines, TARGETS[:4], score)
    assert max(looks) == largest
    whole = GeodesicPath(6, 2).generate(images, baselines, TARGETS[:4], ScoreFunction(Deep()))
    torch.testing.assert_close(found.points(0, 8), whole.points(0, 8), rtol=1e-10, atol=1e-12)


# ---- all of them -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [AdversarialGradientIntegration, ig2, FRInGe, GeodesicIG])
def test_the_bill_of_a_batch_is_that_of_its_images(make):
    images, _ = pictures(4)
    score = ScoreFunction(Headed())
    method = make(score)
    method.explain(images, target=TARGETS[:4])
    together = score.cost
    score.reset_cost()
    for row in range(4):
        method.explain(images[row : row + 1], target=TARGETS[row : row + 1], indices=torch.tensor([row]))
    assert score.cost == together
    assert together.backward_images > 0


@pytest.mark.parametrize("make", [AdversarialGradientIntegration, ig2, FRInGe, GeodesicIG])
def test_an_image_that_is_not_finite_spoils_no_other(make):
    images, _ = pictures(3)
    method = make(ScoreFunction(Headed()))
    indices = torch.tensor([0, 1, 2])
    sound = method.explain(images, target=TARGETS[:3], indices=indices)
    images[1, 0, 0, 0] = torch.nan
    with pytest.warns(UserWarning, match=r"image \[1\]"):
        found = method.explain(images, target=TARGETS[:3], indices=indices)
    assert found.attribution[1].isnan().all()
    torch.testing.assert_close(found.attribution[::2], sound.attribution[::2], rtol=1e-7, atol=1e-10)
