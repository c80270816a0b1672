"""Classifiers, labels and baselines of other libraries' kinds: taken where that is safe, else refused with a next step.

Whatever code a message advises is run here, and gives what was meant.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from diffig.attribution import (
    LRP,
    FullGrad,
    GradCAM,
    GuidedBackprop,
    IntegratedGradients,
    RandomAttribution,
    StickBreakingIntegration,
)
from diffig.baselines import Blur
from diffig.calls import check_logits
from diffig.checks import NonFiniteWarning, check_images, check_pixel_range, check_targets
from diffig.config import from_config
from diffig.scores import ScoreFunction
from oracle.models import Deep, pictures

IMAGES = pictures(4, dtype=torch.float32)[0]
LABELS = [3, 0, 4, 1]


@pytest.fixture
def net() -> nn.Module:
    return Deep(dtype=torch.float32)


def advised(message: str, pattern: str = r"(?:convert with|take|divide by|for one-hot rows,) (.*)$") -> str:
    """The code that a message ends with."""
    found = re.search(pattern, message)
    assert found, message
    return found[1]


class Wrapped(nn.Module):
    """Gives the outputs of `net` in another form."""

    def __init__(self, net: nn.Module, form) -> None:
        super().__init__()
        self.net, self.form = net, form

    def forward(self, images: Tensor):
        return self.form(self.net(images))


@pytest.mark.parametrize(
    ("form", "error", "what", "how"),
    [
        (lambda z: (z, None), TypeError, "a tuple", "net(images)[0]"),
        (lambda z: [z], TypeError, "a list", "net(images)[0]"),
        (lambda z: {"out": z}, TypeError, "a dict of ['out']", "net(images)['out']"),
        (lambda z: OrderedDict(loss=None, logits=z), TypeError, "['loss', 'logits']", "net(images)['logits']"),
        (lambda z: None, TypeError, "a NoneType", "whose forward returns"),
        (lambda z: z[:, 0], ValueError, "shape (4,)", "torch.stack([torch.zeros_like(z), z], 1)"),
        (lambda z: z[:, :, None, None], ValueError, "shape (4, 5, 1, 1)", "nn.Sequential(net, torch.nn.Flatten())"),
        (lambda z: z[:, :, None].expand(-1, -1, 2), ValueError, "shape (4, 5, 2)", "whose forward returns them"),
        (lambda z: z[:2], ValueError, "shape (2, 5)", "whose forward returns them"),
        (lambda z: z[:, :0], ValueError, "shape (4, 0)", "whose forward returns them"),
        (lambda z: z.long(), TypeError, "torch.int64", "before it rounded, chose or packed them"),
        (lambda z: z > 0, TypeError, "torch.bool", "before it rounded, chose or packed them"),
        (lambda z: z.to(torch.complex64), TypeError, "torch.complex64", "before it rounded, chose or packed them"),
        (lambda z: z.to_sparse(), TypeError, "torch.sparse_coo", "before it rounded, chose or packed them"),
    ],
)
@pytest.mark.parametrize("target", [None, 0])
def test_outputs_that_are_no_logits(net, form, error, what, how, target) -> None:
    model = Wrapped(net, form)
    for method in (IntegratedGradients(model, steps=1, baseline=None), StickBreakingIntegration(model, steps=2)):
        with pytest.raises(error) as caught:
            method.score.value_and_grad(IMAGES, torch.zeros(4, dtype=torch.long))
        assert what in str(caught.value)
        assert "logits of shape (B, K) are needed" in str(caught.value)
        assert how in str(caught.value)
        with pytest.raises(error, match="logits of shape"):
            method.attribute(IMAGES, target=target)
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


@pytest.mark.parametrize(
    ("compute", "says"),
    [
        (lambda net, x: net(x).detach(), "no gradient towards the images"),
        (lambda net, x: torch.no_grad()(net)(x), "no gradient towards the images"),
        (lambda net, x: torch.inference_mode()(net)(x), "no gradient towards the images"),
        (lambda net, x: net(torch.from_numpy(x.detach().numpy())), "no gradient towards the images"),
        (lambda net, x: nn.functional.one_hot(net(x).argmax(1), 5).float(), "no gradient towards the images"),
        (lambda net, x: checkpoint(net, x, use_reentrant=True), "switch that off"),
    ],
)
@pytest.mark.parametrize("make", [IntegratedGradients, StickBreakingIntegration, LRP, FullGrad, GuidedBackprop])
def test_a_classifier_that_leaves_autograd_is_told_so(net, compute, says, make) -> None:
    model = nn.Module()
    model.net, model.forward = net, lambda x: compute(net, x)
    with pytest.raises((TypeError, ValueError), match=f"{says}|cannot see how part of this classifier"):
        make(ScoreFunction(model, "logit")).attribute(IMAGES, target=0)


@pytest.mark.parametrize("make", [LRP, GuidedBackprop])
def test_what_is_computed_again_on_the_way_back_hides_from_methods_that_look_inside(make) -> None:
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    net, model = nn.Sequential(*layers), nn.Module()
    model.net, model.forward = net, lambda x: checkpoint(net, x, use_reentrant=False)
    plain, again = (
        IntegratedGradients(ScoreFunction(one), steps=2).attribute(IMAGES, target=0) for one in (net, model)
    )
    torch.testing.assert_close(again, plain)
    with pytest.raises(TypeError, match="switch that off"):
        make(ScoreFunction(model, "logit")).attribute(IMAGES, target=0)


def test_methods_that_look_inside_say_it_too(net) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.head = nn.Linear(4, 5)

        def forward(self, images: Tensor):
            return self.head(self.body(images)), None

    for method in (LRP(ScoreFunction(Both(), "logit")), GradCAM(Both(), layer="body.0")):
        with pytest.raises(TypeError, match=r"returned a tuple; logits of shape \(B, K\)"):
            method.attribute(IMAGES, target=0)


def test_two_logits_of_one_number_are_its_sigmoid() -> None:
    z = torch.tensor([-2.0, 0.5])
    two = torch.stack([torch.zeros_like(z), z], 1)  # as the message says
    check_logits(two, 2)
    torch.testing.assert_close(two.softmax(1)[:, 1], z.sigmoid())


def test_a_function_is_no_module(net) -> None:
    def function(images: Tensor) -> Tensor:
        return net(images)

    with pytest.raises(TypeError, match=r"is a function; it must be a torch.nn.Module.*net.forward = function$"):
        IntegratedGradients(function)
    module = torch.nn.Module()
    module.forward = function
    expected = IntegratedGradients(net, steps=3).attribute(IMAGES, target=0)
    torch.testing.assert_close(IntegratedGradients(module, steps=3).attribute(IMAGES, target=0), expected)


@pytest.mark.parametrize(
    "kind", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64]
)
def test_labels_of_any_integer_type(net, kind) -> None:
    method = StickBreakingIntegration(net, steps=4, seed=3)
    expected = method.attribute(IMAGES, target=torch.tensor(LABELS))
    assert torch.equal(method.attribute(IMAGES, target=torch.tensor(LABELS).to(kind)), expected)
    scored = method.score.score(IMAGES, torch.tensor(LABELS).to(kind))
    assert torch.equal(scored, method.score.score(IMAGES, torch.tensor(LABELS)))
    for numpy_or_list in (np.array(LABELS, dtype=str(kind).removeprefix("torch.")), LABELS):
        assert torch.equal(method.attribute(IMAGES, target=numpy_or_list), expected)


@pytest.mark.parametrize(
    "targets",
    [
        torch.tensor(LABELS).float(),
        torch.tensor(LABELS).double(),
        torch.tensor([True, False, True, True]),
        torch.eye(5)[LABELS],
        torch.tensor(LABELS)[:, None],
    ],
)
def test_labels_of_other_types_say_how_to_convert(targets) -> None:
    with pytest.raises(ValueError, match=r"one class index \(int64\) for each of 4 images") as caught:
        check_targets(targets, 4)
    assert str(targets.dtype) in str(caught.value)
    converted = eval(advised(str(caught.value)), {"targets": targets})
    expected = targets.long().tolist() if targets.ndim == 1 else LABELS
    assert check_targets(converted, 4).tolist() == expected


def pixels(white: float, kind) -> np.ndarray:
    return (IMAGES.double().numpy() / float(IMAGES.max()) * white).round(0 if white > 1 else 9).astype(kind)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize(
    ("white", "kind"),
    [(1, np.float32), (1, np.float64), (255, np.uint8), (255, np.int64), (65535, np.uint16), (1, np.uint8), (1, bool)],
)
def test_advised_images_keep_their_white(white, kind, as_tensor, last) -> None:
    given = pixels(white, kind)
    if as_tensor and given.dtype.kind == "f":
        pytest.skip("a floating tensor is what is wanted")
    given = given.transpose(0, 2, 3, 1).copy() if last else given
    x = torch.from_numpy(given) if as_tensor else given
    with pytest.raises(TypeError, match="must be a floating tensor") as caught:
        check_images(x)
    images = eval(advised(str(caught.value)), {"torch": torch, "x": x})
    check_images(images)
    assert images.shape == IMAGES.shape
    assert float(images.max()) == 1.0
    expected = torch.from_numpy(pixels(white, kind).astype(np.float32) / white)
    torch.testing.assert_close(images, expected)


def test_what_pytorch_cannot_hold_as_it_is_gets_a_step_of_its_own() -> None:
    turned = IMAGES.numpy()[:, :, ::-1]
    for given in (turned, turned.transpose(0, 2, 3, 1)):
        with pytest.raises(TypeError, match="got a NumPy array of float32") as caught:
            check_images(given)
        images = eval(advised(str(caught.value)), {"torch": torch, "x": given})
        assert torch.equal(images, IMAGES.flip(2))
    with pytest.raises(TypeError, match="got a sparse tensor") as caught:
        check_images(IMAGES.to_sparse(), "x")
    assert torch.equal(eval(advised(str(caught.value)), {"x": IMAGES.to_sparse()}), IMAGES)


@pytest.mark.parametrize("explainer", [IntegratedGradients, StickBreakingIntegration, LRP])
def test_images_that_do_not_fit_the_classifier(explainer) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    method = explainer(ScoreFunction(net, "logit"))
    for given, wanted in ((IMAGES.permute(0, 2, 3, 1), IMAGES), (IMAGES[:, :1], IMAGES[:, :1].repeat(1, 3, 1, 1))):
        for target in (None, 0):
            with pytest.raises(ValueError, match=r"fails on images of shape .* takes 3 channels") as caught:
                method.attribute(given, target=target)
        assert torch.equal(eval(advised(str(caught.value)), {"images": given}), wanted)
    with pytest.raises(ValueError, match=r"shape \(3, 1, 1\).*give images of the size that it takes"):
        method.attribute(IMAGES[:, :, :1, :1], target=0)
    flat = explainer(ScoreFunction(nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), "logit"))
    with pytest.raises(ValueError, match="give images of the size that it takes"):
        flat.attribute(IMAGES, target=0)


def test_images_in_a_tuple_and_of_255_levels() -> None:
    with pytest.raises(TypeError, match=r"got a tuple; take x\[0\]"):
        check_images((IMAGES,))
    for white in (255, 65535):
        with pytest.raises(ValueError, match=f"divide by {white}$"):
            check_pixel_range(IMAGES / IMAGES.max() * white)
    with pytest.raises(ValueError, match="normalisation inside the classifier"):
        check_pixel_range(IMAGES * 3)


def test_a_class_by_its_name(net) -> None:
    for target in ("cat", "3"):
        with pytest.raises(TypeError, match=f"the name '{target}'; give the number of the class"):
            IntegratedGradients(net, steps=2).attribute(IMAGES, target=target)


def test_images_of_another_type_than_the_weights(net) -> None:
    method = IntegratedGradients(net, steps=2)
    for target in (None, 0):
        with pytest.raises(
            TypeError, match=r"images are torch.float64, .* weights torch.float32; convert with"
        ) as caught:
            method.attribute(IMAGES.double(), target=target)
    images = eval(advised(str(caught.value)), {"images": IMAGES.double()})
    assert torch.equal(method.attribute(images, target=0), method.attribute(IMAGES, target=0))
    with pytest.raises(TypeError, match=r"weights torch.float64; convert with images.double\(\)$"):
        IntegratedGradients(Deep(dtype=torch.float64), steps=2).attribute(IMAGES, target=0)


def test_a_classifier_that_casts_by_itself_is_left_alone() -> None:
    class Casting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Deep(dtype=torch.float64)

        def forward(self, images: Tensor) -> Tensor:
            return self.net(images.double()).float()

    assert IntegratedGradients(Casting(), steps=2).attribute(IMAGES, target=0).dtype == torch.float32


def test_another_error_stays_what_it_is() -> None:
    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise RuntimeError("out of luck")

    model = Broken()
    with pytest.raises(RuntimeError, match=r"^out of luck$"):
        IntegratedGradients(model).attribute(IMAGES, target=0)
    assert not model._forward_hooks


def test_weights_made_under_inference_mode() -> None:
    with torch.inference_mode():
        made = nn.Sequential(nn.Flatten(), nn.Linear(IMAGES[0].numel(), 5))
    with pytest.raises(TypeError, match=r"made under torch.inference_mode.*outside of it"):
        IntegratedGradients(made, steps=2).attribute(IMAGES, target=0)


@pytest.mark.parametrize("explainer", [IntegratedGradients, StickBreakingIntegration])
def test_baselines_of_other_kinds(net, explainer) -> None:
    method, start = explainer(net, steps=4), IMAGES.flip(3)
    expected = method.attribute(IMAGES, start, 0)
    for given in ((start,), [start], start.numpy(), start.permute(0, 2, 3, 1).numpy()):
        with pytest.raises(TypeError, match=r"baselines is a .*; it must be a tensor .* or one pixel value") as caught:
            method.attribute(IMAGES, given, 0)
        code = advised(str(caught.value)).split(", or")[0]
        assert torch.equal(method.attribute(IMAGES, eval(code, {"torch": torch, "baselines": given}), 0), expected)
    with pytest.raises(TypeError, match="for a colour") as caught:
        method.attribute(IMAGES, (0.2, 0.4, 0.6), 0)
    code = advised(str(caught.value), "for a colour, (.*)$")
    colour = eval(code, {"torch": torch, "baselines": (0.2, 0.4, 0.6), "inputs": IMAGES})
    assert method.attribute(IMAGES, colour, 0).isfinite().all()
    for named in ("blur", Blur()):
        with pytest.raises(TypeError, match="belongs where the method is made"):
            method.attribute(IMAGES, named, 0)
    for one in (0.5, np.float32(0.5), np.array(0.5)):
        assert torch.equal(method.attribute(IMAGES, one, 0), method.attribute(IMAGES, torch.full_like(IMAGES, 0.5), 0))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"n_steps": 20}, r"takes no n_steps in attribute; give steps=\.\.\. where the method is made"),
        ({"internal_batch_size": 8}, r"give ScoreFunction\(classifier, chunk_size=\.\.\.\) where"),
        ({"method": "riemann_trapezoid"}, r"give rule=\.\.\. where"),
        ({"seed": 20}, r"takes no seed in attribute; give seed=\.\.\. where the method is made"),
        ({"regoin": IMAGES}, "takes no 'regoin'; the diffig methods take region"),
    ],
)
def test_words_of_captum(net, words, message) -> None:
    for method in (IntegratedGradients(net), RandomAttribution(net)):
        with pytest.raises(ValueError, match=message):
            method.attribute(IMAGES, target=0, **words)


def test_traced_classifiers_can_be_watched(net) -> None:
    expected = IntegratedGradients(net, steps=2).attribute(IMAGES, target=0)
    for other in (torch.jit.trace(net, IMAGES[:1]), torch.fx.symbolic_trace(nn.Sequential(net))):
        torch.testing.assert_close(IntegratedGradients(other, steps=2).attribute(IMAGES, target=0), expected)


def test_the_choice_of_images_says_it_too(net) -> None:
    from diffig.evaluation.selection import select

    data = SimpleNamespace(test_set=[(image, 0, number) for number, image in enumerate(IMAGES)], name="own")
    with pytest.raises(TypeError, match=r"returned a tuple; logits of shape \(B, K\) are needed"):
        select(data, Wrapped(net, lambda z: (z, None)))


class Branches(torch.nn.Module):
    """Logits that are no numbers for bright images, by a branch that hands back zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.last(self.first(images).relu().mean((2, 3)))
        return torch.where(images.mean((1, 2, 3))[:, None] > 0.5, torch.nan, logits)


@pytest.mark.parametrize(
    "method",
    ["gradient", "guided_backprop", "rectgrad", "grad_cam", "guided_grad_cam", "fullgrad", "smoothgrad", "idg"],
)
def test_a_score_that_is_no_number_has_no_map(method: str) -> None:
    images = torch.stack([torch.full((3, 8, 8), 0.9), torch.full((3, 8, 8), 0.2)])
    images += torch.linspace(0, 0.05, 64).view(1, 1, 8, 8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        explain = from_config(method, ScoreFunction(Branches(), "logit"))
    with pytest.warns(NonFiniteWarning, match="0"):
        maps = explain.attribute(images, target=0)
    assert isinstance(maps, Tensor)
    assert maps[0].isnan().all()
    assert maps[1].isfinite().all()
