"""Methods that look inside a classifier see through `torch.compile`, and say so where a script hides it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from diffig.attribution import LRP, DeepTaylor, FullGrad, GradCAM, GuidedBackprop, GuidedGradCAM, RectGrad
from diffig.metrics.reinitialised import layers_of
from diffig.paths.representation import represent
from diffig.scores import ScoreFunction
from oracle.models import ReLUNet, pictures

TARGETS = torch.tensor([0, 3])
EVERY = {
    "fullgrad": FullGrad,
    "grad_cam": GradCAM,
    "grad_cam of a layer": lambda score: GradCAM(score, layer="branch"),
    "guided_grad_cam": GuidedGradCAM,
    "guided_backprop": GuidedBackprop,
    "rectgrad": RectGrad,
    "lrp": LRP,
    "deep_taylor": DeepTaylor,
}


class Around(nn.Module):
    """A classifier of which only the body is compiled."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images):
        return self.net(images)


@pytest.fixture(params=["itself", "a part"])
def compiled(request):
    """A compiled network that has run once, so that there is a graph to be used again."""
    torch._dynamo.reset()
    net = torch.compile(ReLUNet(), backend="aot_eager")
    images = pictures(2)[0].requires_grad_()
    net(images).sum().backward()
    yield net if request.param == "itself" else Around(net)
    torch._dynamo.reset()


@pytest.mark.parametrize("name", EVERY)
def test_a_compiled_classifier_is_explained_as_the_plain_one(name, compiled):
    plain = Around(ReLUNet()) if isinstance(compiled, Around) else ReLUNet()
    layer = "net." if isinstance(compiled, Around) and "of a layer" in name else ""
    make = (lambda score: GradCAM(score, layer=f"{layer}branch")) if layer else EVERY[name]
    images, _ = pictures(2)
    wanted, found = (make(ScoreFunction(net, "logit")).attribute(images, target=TARGETS) for net in (plain, compiled))
    assert wanted.abs().max() > 1e-6
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_fullgrads_terms_of_a_compiled_classifier_sum_to_the_logit(compiled):
    images, _ = pictures(2)
    method = FullGrad(ScoreFunction(compiled, "logit"))
    entry, terms = method.decompose(images, TARGETS)
    total = entry.flatten(1).sum(1) + sum(term.flatten(1).sum(1) for term in terms)
    torch.testing.assert_close(total, method.score.score(images, TARGETS), rtol=1e-9, atol=1e-12)
    assert sum(term.abs().sum() for term in terms) > 1e-3


def test_grad_cam_lists_layers_that_it_then_takes(compiled):
    images, _ = pictures(2)
    score = ScoreFunction(compiled, "logit")
    with pytest.raises(ValueError, match="first to last: ") as caught:
        GradCAM(score, layer="nowhere").attribute(images, target=TARGETS)
    listed = str(caught.value).split("first to last: ")[1].split(", ")
    assert len(listed) > 4
    for layer in listed:
        assert "_orig_mod" not in layer
        GradCAM(score, layer=layer).attribute(images, target=TARGETS)


def test_representations_and_layers_of_a_compiled_classifier(compiled):
    images, _ = pictures(2)
    found, wanted = (represent(ScoreFunction(net), images)[1] for net in (compiled, ReLUNet()))
    torch.testing.assert_close(found, wanted)
    names = [name.removeprefix("net.").removeprefix("_orig_mod.") for name in layers_of(compiled, images[:1])]
    assert names == ["body.0", "body.1", "branch", "head"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [FullGrad, GuidedBackprop, RectGrad, GuidedGradCAM, LRP, DeepTaylor])
def test_a_scripted_part_is_refused_in_one_line(make):
    net = ReLUNet()
    net.body = torch.jit.script(net.body)
    with pytest.raises(ValueError, match=rf"{make.name} cannot see .* of this classifier"):
        make(ScoreFunction(net, "logit")).attribute(pictures(2)[0], target=TARGETS)
