"""What no method may depend on (batch, order, chunks) and what none may touch (the model)."""

from __future__ import annotations

import functools
import pickle

import pytest
import torch

from diffig.attribution import FieldDiffIG, IntegratedGradients
from diffig.method import Guidance
from diffig.scores import ScoreFunction
from invariance.methods import BANKED, FLOAT32, METHODS, NETS, RANDOM, SECOND_ORDER
from oracle.models import Deep, FirstOrderOnly, Spy, pictures

INDICES = torch.tensor([11, 3, 50, 4, 1000, 0])
TARGETS = torch.tensor([0, 3, 1, 4, 2, 3])
EVERY = pytest.mark.parametrize("name", METHODS)


def net_of(name, dtype=torch.float64):
    """The network a method is tried on."""
    return next((make for start, make in NETS.items() if name.startswith(start)), Deep)(dtype=dtype)


def score_of(net=None, chunk_size=64):
    return ScoreFunction(Deep() if net is None else net, "probability", chunk_size)


def explain(method, images, targets=TARGETS, indices=INDICES):
    """The integral; methods guided by a region are told that it is the left half."""
    if getattr(method, "guidance_strengths", {}).get("region"):
        region = torch.zeros_like(images[:, :1])
        region[..., :4] = 1
        return method.explain(images, target=targets, indices=indices, region=region)
    return method.explain(images, target=targets, indices=indices)


@functools.cache
def reference(name):
    """What a method says of the six images in one batch; computed once for all tests."""
    return explain(METHODS[name](score_of(net_of(name))), pictures(6)[0])


def same(found, wanted, name):
    """Equal up to rounding: the prior of fields runs in float32, everything else here in float64."""
    scale = max(wanted.attribution.abs().max().item(), 1e-12)
    tolerance = 2e-5 if name.startswith(FLOAT32) else 1e-10
    torch.testing.assert_close(found.attribution, wanted.attribution, rtol=0, atol=tolerance * scale)
    torch.testing.assert_close(found.gap, wanted.gap, rtol=0, atol=tolerance * 10, equal_nan=True)
    torch.testing.assert_close(
        found.absolute_mass, wanted.absolute_mass, rtol=tolerance, atol=tolerance, equal_nan=True
    )


@EVERY
def test_a_batch_is_its_images_one_by_one(name):
    images, _ = pictures(6)
    method = METHODS[name](score_of(net_of(name)))
    together = reference(name)
    assert together.attribution.abs().max() > 1e-4
    for row in range(6):
        alone = explain(method, images[row : row + 1], TARGETS[row : row + 1], INDICES[row : row + 1])
        same(alone, type(alone)(*(value[row : row + 1] for value in together)), name)


@EVERY
def test_it_is_pickled_whole_and_says_what_it_is(name):
    method = METHODS[name](score_of(net_of(name)))
    again = pickle.loads(pickle.dumps(method))
    kind, net = type(method).__name__, type(method.score.classifier).__name__
    assert repr(again) == repr(method)
    assert repr(method).startswith(f"{kind}({net}, objective={method.score.objective!r}")
    assert " object at " not in repr(method)


@EVERY
def test_order_does_not_matter(name):
    images, _ = pictures(6)
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    method = METHODS[name](score_of(net_of(name)))
    straight, shuffled = reference(name), explain(method, images[order], TARGETS[order], INDICES[order])
    same(shuffled, type(straight)(*(value[order] for value in straight)), name)


@EVERY
def test_chunk_size_does_not_matter(name):
    images, _ = pictures(6)
    same(explain(METHODS[name](score_of(net_of(name), chunk_size=5)), images), reference(name), name)


@EVERY
def test_the_model_is_left_as_it_came(name):
    net = net_of(name)
    net.train()
    net.body[1].eval()  # a mixture of modes, as in fine-tuning with frozen batch normalisation
    net.head.weight.requires_grad_(False)
    modes = {key: module.training for key, module in net.named_modules()}
    wishes = {key: parameter.requires_grad for key, parameter in net.named_parameters()}
    state = {key: value.clone() for key, value in net.state_dict().items()}
    images, _ = pictures(6)
    kept = images.clone()
    random_state = torch.random.get_rng_state()
    explain(METHODS[name](score_of(net)), images)
    assert {key: module.training for key, module in net.named_modules()} == modes
    assert {key: parameter.requires_grad for key, parameter in net.named_parameters()} == wishes
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    assert not any(getattr(module, hook) for module in net.modules() for hook in hooks)
    assert torch.equal(images, kept)
    assert not images.requires_grad
    assert torch.equal(torch.random.get_rng_state(), random_state)  # nobody else's randomness is used up


@EVERY
def test_the_mode_the_model_came_in_does_not_matter(name):
    images, _ = pictures(6)
    same(explain(METHODS[name](score_of(net_of(name).train())), images), reference(name), name)


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_and_shape_are_kept(name, dtype):
    images, _ = pictures(6, height=7, width=10, dtype=dtype)
    if name.startswith(BANKED):
        pytest.skip("the bank holds images of another size")
    method = METHODS[name](score_of(net_of(name, dtype)))
    if name == "field, region":
        images, _ = pictures(6, dtype=dtype)
    found = explain(method, images)
    assert found.attribution.shape == images.shape
    assert {value.dtype for value in found} == {dtype}
    assert {value.device for value in found} == {images.device}
    assert not any(value.requires_grad for value in found)


@EVERY
def test_seeds(name):
    images, _ = pictures(6)
    again, other = (explain(METHODS[name](score_of(net_of(name)), seed), images).attribution for seed in (0, 2))
    assert torch.equal(again, reference(name).attribution)
    assert torch.equal(again, other) == (name not in RANDOM)


@pytest.mark.parametrize("name", RANDOM)
def test_the_index_is_the_key_of_the_randomness(name):
    images, _ = pictures(1)
    images = images.repeat(2, 1, 1, 1)
    method = METHODS[name](score_of(net_of(name)))
    apart = explain(method, images, TARGETS[:1].repeat(2), torch.tensor([5, 6])).attribution
    alike = explain(method, images, TARGETS[:1].repeat(2), torch.tensor([5, 5])).attribution
    assert not torch.allclose(apart[0], apart[1], rtol=1e-3)
    torch.testing.assert_close(alike[0], alike[1], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(alike[0], apart[0], rtol=1e-4, atol=1e-7)


@EVERY
def test_inference_mode_gives_the_same(name):
    images, _ = pictures(6)
    method = METHODS[name](score_of(net_of(name)))
    with torch.inference_mode():
        inferred = explain(method, images.clone(), TARGETS.clone())
    plain = reference(name)
    same(type(plain)(*(value.clone() for value in inferred)), plain, name)


@EVERY
def test_first_derivatives_are_enough(name):
    """Under `no_grad` too, where a caller has switched gradients off."""
    if name.startswith(SECOND_ORDER):
        pytest.skip("a method of second order")
    images, _ = pictures(6)
    with torch.no_grad():
        same(explain(METHODS[name](score_of(FirstOrderOnly(net_of(name)))), images), reference(name), name)


@EVERY
def test_the_bill_is_what_went_through_the_model(name):
    images, _ = pictures(6)
    spy = Spy(net_of(name))
    images = images[:2]
    score = score_of(spy, chunk_size=16)
    method = METHODS[name](score)
    explain(method, images, TARGETS[:2], INDICES[:2])
    assert score.cost == (spy.forward_images, spy.backward_images)
    assert spy.largest_call <= 16
    score.reset_cost()
    assert score.cost == (0, 0)


def test_the_bill_of_each_method_is_known():
    images, _ = pictures(6)
    bills = {}
    for name in ("gradient_x_input", "random", "ig, black", "ig, black_white", "gig", "spi", "coarse_to_fine"):
        score = score_of()
        explain(METHODS[name](score), images)
        bills[name] = score.cost
    assert bills["gradient_x_input"] == (12, 6)
    assert bills["random"] == (0, 0)
    assert bills["ig, black"] == (6 * 8, 6 * 6)
    assert bills["ig, black_white"] == (2 * 6 * 8, 2 * 6 * 6)
    assert bills["gig"] == (6 * 8, 6 * 6)
    assert bills["spi"] == (6 * 3 * 8, 6 * 3 * 6)
    assert bills["coarse_to_fine"].backward_images == 6 * 20


@pytest.mark.parametrize(
    "strengths",
    [
        {"proposals": 1},
        {"proposals": 4},
        {"absolute_mass": 0.1},
        {"absolute_mass": 0.1, "faithfulness": 0.2, "gradients": 5, "stop": 1.0},
        {"smoothness": 0.3, "proposals": 5},
        {"complexity": 0.1, "proposals": 3},
    ],
)
def test_guidance_is_paid_from_the_same_budget(strengths):
    """128 gradients for each path, whether guidance, proposals or the quadrature spend them."""
    images, _ = pictures(1)
    spy, n_paths = Spy(Deep()), 2
    FieldDiffIG(score_of(spy), steps=128, n_paths=n_paths, guidance=Guidance(**strengths)).explain(images, target=1)
    assert 100 <= spy.backward_images / n_paths <= 128


def test_targets_default_to_the_prediction():
    images, _ = pictures(6)
    net = Deep()
    method = IntegratedGradients(score_of(net), steps=4)
    assert torch.equal(method.attribute(images), method.attribute(images, target=net(images).argmax(1)))
    assert torch.equal(method.attribute(images, target=2), method.attribute(images, target=torch.full((6,), 2)))


def test_a_bare_classifier_means_its_probability():
    images, _ = pictures(6)
    net = Deep()
    assert torch.equal(
        IntegratedGradients(net, steps=4).attribute(images, target=2),
        IntegratedGradients(score_of(net), steps=4).attribute(images, target=2),
    )


def test_a_step_of_the_objective_is_not_a_step_of_another():
    images, _ = pictures(3)
    maps = [
        IntegratedGradients(ScoreFunction(Deep(), objective), steps=4).attribute(images, target=2)
        for objective in ("probability", "logit", "log_probability", "margin")
    ]
    assert all((one - other).abs().max() > 1e-3 for k, one in enumerate(maps) for other in maps[:k])
