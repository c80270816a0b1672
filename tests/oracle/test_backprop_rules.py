"""Modified back-propagation and heat maps against Captum, against slow copies of the formulas, and in odd networks."""

from __future__ import annotations

import copy
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from diffig.attribution import (
    LRP,
    DeepTaylor,
    FullGrad,
    GradCAM,
    GuidedBackprop,
    GuidedGradCAM,
    RectGrad,
)
from diffig.attribution.backward_rules import Rectifiers
from diffig.attribution.guided_backprop import guided
from diffig.baselines import Average, Constant
from diffig.classifiers import cifar_resnet, mnist_vit, small_cnn, torchvision_model
from diffig.scores import ScoreFunction
from oracle.models import Linear, ReLUNet, pictures

TARGETS = torch.tensor([0, 3, 1, 4])
EVERY = [GuidedBackprop, RectGrad, GradCAM, GuidedGradCAM, FullGrad, LRP, DeepTaylor]
COMPLETE = ["epsilon", "epsilon_plus", "epsilon_gamma_box", "gamma", "z_plus"]


class Plain(nn.Module):
    """Two convolutions whose ReLUs are written in one of many ways; the same function in all of them."""

    def __init__(self, kind="modules", clamped=False):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(6)
            self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, stride=2)
            self.head = nn.Linear(8, 5)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.shared, self.in_place = nn.ReLU(), nn.ReLU(inplace=True)
        self.kind, self.clamped = kind, clamped
        self.double().eval()

    def rectify(self, values: Tensor, module: nn.Module) -> Tensor:
        if self.kind == "written into":
            values.relu_()
            return values
        return {
            "modules": module,
            "shared": self.shared,
            "in-place": self.in_place,
            "functional": functional.relu,
            "functional in-place": lambda x: functional.relu(x, inplace=True),
            "by position": lambda x: functional.relu(x, True),
            "torch": torch.relu,
            "method": lambda x: x.relu(),
            "clamp": lambda x: x.clamp(min=0),
            "clamp_min_": lambda x: x.clamp_min_(0),
            "hardtanh": lambda x: functional.hardtanh(x, 0.0, 1e9),
        }[self.kind](values)

    def forward(self, images: Tensor) -> Tensor:
        images = images.clamp(0, 1) if self.clamped else images
        features = self.rectify(self.first(images), self.relu1)
        features = self.rectify(self.second(features), self.relu2)
        return self.head(features.mean((2, 3)))


KINDS = ["shared", "in-place", "functional", "functional in-place", "by position", "torch", "method", "clamp"]
KINDS += ["clamp_min_", "hardtanh", "written into"]


def logit(net, chunk_size=64):
    return ScoreFunction(net, "logit", chunk_size)


def explained(method, images=None, targets=TARGETS):
    return method.explain(pictures(4)[0] if images is None else images, target=targets)


def close(found, wanted, tolerance=1e-12):
    assert wanted.abs().max() > 1e-6
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance * wanted.abs().max().item())


# ---- against Captum ---------------------------------------------------------------------------------------------


def test_guided_backprop_is_captums():
    from captum.attr import GuidedBackprop as Captum

    images, _ = pictures(4)
    wanted = Captum(Plain()).attribute(images.clone().requires_grad_(), target=TARGETS)
    close(explained(GuidedBackprop(logit(Plain()))).attribution, wanted.detach())


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("layer", ["second", "relu1"])
def test_grad_cam_is_captums(layer, interpolation):
    from captum.attr import LayerAttribution, LayerGradCam

    images, _ = pictures(4)
    net = Plain()
    heat = LayerGradCam(net, getattr(net, layer)).attribute(images, target=TARGETS, relu_attributions=True)
    wanted = LayerAttribution.interpolate(heat.detach(), (8, 8), interpolation)
    found = explained(GradCAM(logit(Plain()), layer=layer, interpolation=interpolation)).attribution
    close(found, wanted.expand_as(images))


def test_guided_grad_cam_is_captums():
    from captum.attr import GuidedGradCam as Captum

    images, _ = pictures(4)
    net = Plain()
    wanted = Captum(net, net.second).attribute(images.clone().requires_grad_(), target=TARGETS)
    found = explained(GuidedGradCAM(logit(Plain()), layer="second", interpolation="nearest")).attribution
    close(found, wanted.detach())


# ---- ways to write a ReLU ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [GuidedBackprop, RectGrad, FullGrad])
def test_however_a_relu_is_written(make, kind):
    close(explained(make(logit(Plain(kind)))).attribution, explained(make(logit(Plain()))).attribution)


@pytest.mark.parametrize("kind", ["in-place", "written into"])
def test_an_in_place_relu_does_not_write_into_the_layer_before(kind):
    found = explained(GradCAM(logit(Plain(kind)), layer="second")).attribution
    close(found, explained(GradCAM(logit(Plain()), layer="second")).attribution)


def test_the_scores_are_those_of_the_classifier():
    images, _ = pictures(4)
    for kind in KINDS:
        with Rectifiers(guided, "test") as mode:
            torch.testing.assert_close(Plain(kind)(images), Plain()(images), rtol=1e-14, atol=0)
        assert mode.count == 4


def test_clamping_pixels_is_no_relu():
    close(
        explained(GuidedBackprop(logit(Plain(clamped=True)))).attribution,
        explained(GuidedBackprop(logit(Plain()))).attribution,
    )


CLASSIFIERS = {
    "small_cnn": (lambda: small_cnn(in_channels=3, num_classes=5, width=4), 4),
    "cifar_resnet": (lambda: cifar_resnet(depth=20), 19),
    "resnet18": (lambda: torchvision_model(name="resnet18", num_classes=5), 17),
    "mobilenet_v2": (lambda: torchvision_model(name="mobilenet_v2", num_classes=5), 35),
    "squeezenet1_1": (lambda: torchvision_model(name="squeezenet1_1", num_classes=5), 26),
    "vgg11": (lambda: torchvision_model(name="vgg11", num_classes=5), 10),
    "googlenet": (lambda: torchvision_model(name="googlenet", num_classes=5), 57),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_relu_of_a_classifier_is_met(name):
    make, count = CLASSIFIERS[name]
    images, _ = pictures(1, height=64, width=64, dtype=torch.float32)
    with Rectifiers(guided, "test") as mode, torch.no_grad():
        make()(images)
    assert mode.count == count


@pytest.mark.parametrize("make", [GuidedBackprop, RectGrad, GuidedGradCAM, LRP, DeepTaylor])
def test_attention_is_refused(make):
    images, _ = pictures(1, 1, 28, 28, dtype=torch.float32)
    with pytest.raises(ValueError, match=r"this classifier.*attention"):
        make(logit(mnist_vit())).explain(images, target=0)


def test_a_network_without_relu_is_refused():
    with pytest.raises(ValueError, match="guided_backprop found no ReLU in this classifier"):
        explained(GuidedBackprop(logit(Linear())))


class Broken(ReLUNet):
    """Fails once `after` images' worth of its layers has run."""

    def forward(self, images: Tensor) -> Tensor:
        self.branch(self.body(images))
        raise RuntimeError("out of memory")


@pytest.mark.parametrize("make", EVERY)
def test_a_failing_classifier_is_left_as_it_came(make):
    net = Broken().train()
    state = {key: value.clone() for key, value in net.state_dict().items()}
    method = make(logit(net))
    with pytest.raises(RuntimeError, match="out of memory"):
        explained(method)
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    assert not any(getattr(module, hook) for module in net.modules() for hook in hooks)
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert all(module.training for module in net.modules())
    leaf = torch.tensor([1.0, -1.0], requires_grad=True)  # and a ReLU is a ReLU again
    (gradient,) = torch.autograd.grad(-leaf.relu().sum(), leaf)
    assert gradient.tolist() == [-1, 0]


# ---- RectGrad ---------------------------------------------------------------------------------------------------


def test_rectgrad_at_threshold_0_is_guided_backprop():
    for net in (Plain(), ReLUNet()):
        method = RectGrad(logit(net), threshold=0, times_input=False)
        assert not method.multiplies_by_inputs
        close(explained(method).attribution, explained(GuidedBackprop(logit(net))).attribution)


@pytest.mark.parametrize("percent", [30.0, 75.0, 98.0])
def test_rectgrad_keeps_what_lies_above_the_percentile(percent):
    images, baselines = pictures(4)
    net = Plain()
    for row, target in enumerate(TARGETS):
        with torch.no_grad():
            before1 = net.first(images[row : row + 1])
            before2 = net.second(before1.relu())
        places = before2[0, 0].numel()
        signal = (net.head.weight[target].detach() / places)[None, :, None, None].expand_as(before2)
        for before, layer, size in ((before2, net.second, before1.shape), (before1, net.first, images[:1].shape)):
            importance = before.relu().numpy() * signal.numpy()
            kept = (importance > np.percentile(importance, percent)) & (before.numpy() > 0)
            signal = torch.where(torch.from_numpy(kept), signal, 0)
            weight = layer.weight.detach()
            signal = torch.nn.grad.conv2d_input(size, weight, signal, stride=layer.stride, padding=layer.padding)
        method = RectGrad(logit(net), percentile=percent)
        found = method.explain(images[row : row + 1], baselines[row : row + 1], target)
        close(found.attribution, signal * (images - baselines)[row : row + 1])
        change = (net(images) - net(baselines))[row, target].detach()
        torch.testing.assert_close(found.gap[0], found.attribution.sum() - change, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"), [({"percentile": 101}, r"percentile=101 must lie in"), ({"threshold": -1}, "at least 0")]
)
def test_rectgrad_says_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        RectGrad(Plain(), **options)


# ---- Grad-CAM ---------------------------------------------------------------------------------------------------


def test_the_last_map_is_chosen():
    close(explained(GradCAM(logit(Plain()))).attribution, explained(GradCAM(logit(Plain()), layer="relu2")).attribution)


def test_an_unknown_layer_is_answered_with_the_layers():
    with pytest.raises(ValueError, match=r"layer='conv9'.*first to last: first, relu1, second, relu2"):
        explained(GradCAM(logit(Plain()), layer="conv9"))
    with pytest.raises(ValueError, match="first to last: none"):
        explained(GradCAM(logit(Linear())))
    with pytest.raises(ValueError, match="interpolation='cubic' is unknown"):
        GradCAM(Plain(), interpolation="cubic")


# ---- FullGrad ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["relu", "plain", "cifar_resnet", "squeezenet1_1", "googlenet"])
def test_fullgrads_terms_sum_to_the_logit(name):
    build = {"relu": ReLUNet, "plain": lambda: Plain("in-place")}.get(name) or CLASSIFIERS[name][0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = build().double()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)
            if getattr(module, "bias", None) is not None:
                module.bias.data.normal_(0.3, 0.2)
    images, _ = pictures(2, height=32, width=32)
    method = FullGrad(logit(net, chunk_size=1))
    entry, terms = method.decompose(images, TARGETS[:2])
    total = entry.flatten(1).sum(1) + sum(term.flatten(1).sum(1) for term in terms)
    torch.testing.assert_close(total, method.score.score(images, TARGETS[:2]), rtol=1e-9, atol=1e-12)
    assert sum(term.abs().sum() for term in terms) > 1e-3  # the biases do matter


def test_fullgrad_keeps_the_terms_of_one_chunk_at_a_time(monkeypatch):
    seen, decompose = [], FullGrad.decompose

    def spy(self, images, targets):
        seen.append(len(images))
        return decompose(self, images, targets)

    monkeypatch.setattr(FullGrad, "decompose", spy)
    parts = explained(FullGrad(logit(Plain(), chunk_size=3))).attribution
    assert seen == [3, 1]
    close(parts, explained(FullGrad(logit(Plain()))).attribution)


def test_fullgrads_map_is_the_sum_of_rescaled_terms():
    method = FullGrad(logit(Plain()))
    images, _ = pictures(4)
    entry, terms = method.decompose(images, TARGETS)
    for row in range(4):
        wanted = torch.zeros(8, 8, dtype=torch.float64)
        for term in (entry, *(term for term in terms if term.ndim == 4)):
            values = term[row].abs()
            values = (values - values.min()) / (values.max() - values.min())
            for channel in values:
                wanted += functional.interpolate(channel[None, None], (8, 8), mode="bilinear")[0, 0]
        close(explained(method).attribution[row], wanted.expand(3, 8, 8))


# ---- relevance --------------------------------------------------------------------------------------------------


class Two(nn.Module):
    """Two linear layers and a ReLU between them."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            self.first, self.second = nn.Linear(12, 7), nn.Linear(7, 5)
        self.double()

    def forward(self, images: Tensor) -> Tensor:
        return self.second(self.first(images.flatten(1)).relu())


def test_lrp_epsilon_by_hand():
    images, _ = pictures(4, height=2, width=2)
    net, epsilon = Two(), 0.25
    found = explained(LRP(logit(net), composite="epsilon", epsilon=epsilon), images).attribution
    layers = [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in (net.first, net.second)]
    for row, target in enumerate(TARGETS.tolist()):
        inputs = [images[row].flatten().numpy()]
        inputs.append(np.maximum(layers[0][0] @ inputs[0] + layers[0][1], 0))
        relevance = np.zeros(5)
        relevance[target] = (layers[1][0] @ inputs[1] + layers[1][1])[target]
        for x, (weight, bias) in zip(reversed(inputs), reversed(layers), strict=True):
            lower = np.zeros(len(x))
            for j in range(len(weight)):
                total = sum(x[i] * weight[j, i] for i in range(len(x))) + bias[j]
                total += epsilon if total >= 0 else -epsilon
                for i in range(len(x)):
                    lower[i] += x[i] * weight[j, i] / total * relevance[j]
            relevance = lower
        close(found[row].flatten(), torch.from_numpy(relevance))


class One(nn.Module):
    """A normalisation and one convolution over the whole image, whose outputs are the logits."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(8)
            self.layer = nn.Conv2d(3, 5, 2)
        nn.init.constant_(self.layer.bias, 2.0)  # all logits positive
        self.double()

    def forward(self, images: Tensor) -> Tensor:
        return self.layer((images - 0.4) / 0.2).flatten(1)


@pytest.mark.parametrize(
    "composite", ["epsilon_plus", "epsilon_alpha2_beta1", "gamma", "epsilon_gamma_box", "deep_taylor"]
)
def test_a_rule_by_hand(composite):
    images, _ = pictures(4, height=2, width=2)
    net = One()
    with torch.no_grad():
        net.layer.weight.mul_(0.3)
    logits = net(images).detach()
    assert logits.min() > 0
    chosen = DeepTaylor(logit(net)) if composite == "deep_taylor" else LRP(logit(net), composite=composite)
    chosen.epsilon = 1e-12
    found = explained(chosen, images).attribution
    bias, low, high, gamma = 2.0, -0.4 / 0.2, 0.6 / 0.2, 0.25
    for row, target in enumerate(TARGETS.tolist()):
        x = ((images[row] - 0.4) / 0.2).flatten().numpy()
        w = net.layer.weight[target].detach().flatten().numpy()
        z = x * w
        positive, negative = np.maximum(z, 0), np.minimum(z, 0)
        if composite == "epsilon_plus":
            share = positive / (positive.sum() + bias)
        elif composite == "epsilon_alpha2_beta1":
            share = 2 * positive / (positive.sum() + bias) - negative / negative.sum()
        elif composite == "gamma":  # of a positive output: what contributes positively counts 1 + gamma times
            part = z + gamma * positive
            share = part / (part.sum() + (1 + gamma) * bias)
        else:
            part = z - low * np.maximum(w, 0) - high * np.minimum(w, 0)
            share = part / part.sum()  # a positive bias is taken off again with the positive weights
        wanted = torch.from_numpy(share * logits[row, target].item())
        close(found[row].flatten(), wanted, 1e-9)


@pytest.mark.parametrize("composite", COMPLETE)
def test_relevance_is_conserved_without_biases(composite):
    for net in (ReLUNet(bias=False), cifar_resnet(depth=8, num_classes=5).double()):
        if not isinstance(net, ReLUNet):
            net.net.linear.bias.data.zero_()
        images, _ = pictures(4, height=16, width=16)
        score = logit(net)
        found = explained(LRP(score, composite=composite, epsilon=1e-12), images)
        wanted = score.score(images, TARGETS)
        torch.testing.assert_close(found.attribution.flatten(1).sum(1), wanted, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(found.gap, torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("composite", COMPLETE[1:])
def test_ignoring_biases_conserves_too(composite):
    images, _ = pictures(4)
    kept = explained(LRP(logit(ReLUNet()), composite=composite, epsilon=1e-12), images)
    ignored = explained(LRP(logit(ReLUNet()), composite=composite, epsilon=1e-12, ignore_bias=True), images)
    assert kept.gap.abs().max() > 1e-2
    assert ignored.gap.abs().max() < 1e-6


@pytest.mark.parametrize("objective", ["logit", "probability", "margin"])
def test_the_gap_is_relevance_minus_the_score(objective):
    """Also with batch norms merged while relevance is computed, which must not change the score."""
    images, _ = pictures(4)
    score = ScoreFunction(ReLUNet(), objective)
    found = explained(LRP(score), images)
    wanted = found.attribution.flatten(1).sum(1) - score.score(images, TARGETS)
    torch.testing.assert_close(found.gap, wanted, rtol=1e-11, atol=1e-12)


class NormFirst(nn.Module):
    """A residual block that begins with its batch norm, which is not given what the layer defined before it returns."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            self.stem, self.norm1 = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
            self.conv, self.norm2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
            self.head, self.last = nn.Linear(4, 5), nn.BatchNorm1d(5)
            for norm in (self.norm1, self.norm2, self.last):
                for values in (norm.running_mean, norm.bias.data):
                    values.normal_()
                norm.running_var.uniform_(0.5, 2)
        self.double().eval()

    def forward(self, images: Tensor) -> Tensor:
        stem = self.stem(images)
        values = stem + self.conv(self.norm1(functional.relu_(stem.clone())))
        return self.last(self.head(self.norm2(values).relu().mean((2, 3))))


@pytest.mark.parametrize("make", [LRP, DeepTaylor])
def test_batch_norms_are_merged_only_into_what_they_are_given(make):
    images, _ = pictures(4)
    net = NormFirst()
    score = logit(net)
    found = explained(make(score), images)
    wanted = found.attribution.flatten(1).sum(1) - score.score(images, TARGETS)
    torch.testing.assert_close(found.gap, wanted, rtol=1e-11, atol=1e-12)
    by_hand = NormFirst()
    scale = (net.last.running_var + net.last.eps).rsqrt() * net.last.weight
    by_hand.head.weight.data = (net.head.weight * scale[:, None]).detach()
    by_hand.head.bias.data = ((net.head.bias - net.last.running_mean) * scale + net.last.bias).detach()
    by_hand.last = nn.Identity()
    close(found.attribution, explained(make(logit(by_hand)), images).attribution, 1e-10)


def test_positive_rules_give_positive_relevance():
    images, _ = pictures(4)
    residual = cifar_resnet(depth=8, num_classes=5).double()
    smooth = small_cnn(in_channels=3, num_classes=5, width=4).double()  # its pool is given negative values
    nets = (Plain(), ReLUNet(), residual, smooth)
    for method in (LRP(Plain(), composite="z_plus"), *(DeepTaylor(ScoreFunction(net)) for net in nets)):
        found = explained(method, images).attribution
        assert found.min() >= 0
        assert found.max() > 1e-6


def test_deep_taylor_starts_at_the_positive_part():
    images, _ = pictures(4)
    net = Plain()
    net.head.bias.data.copy_(torch.tensor([9.0, 9.0, 9.0, 9.0, -9.0]))
    found = explained(DeepTaylor(logit(net)), images).attribution.flatten(1).sum(1)
    assert (found[:3] > 0).all()
    assert found[3] == 0


def test_relevance_says_what_is_wrong(monkeypatch):
    with pytest.raises(ValueError, match="composite='alpha' is unknown"):
        LRP(Plain(), composite="alpha")
    with pytest.raises(ValueError, match="objective=log_probability is negative"):
        LRP(ScoreFunction(Plain(), "log_probability"))
    with pytest.raises(ValueError, match="objective=margin has negative relevance"):
        DeepTaylor(ScoreFunction(Plain(), "margin"))
    monkeypatch.setitem(sys.modules, "zennit.rules", None)
    for make in (LRP, DeepTaylor):
        with pytest.raises(ImportError, match=r"pip install 'diffig\[lrp\]'"):
            make(Plain())


class Twice(nn.Module):
    """One convolution used two times, or two with the same weights."""

    def __init__(self, shared):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(9)
            self.first = nn.Conv2d(3, 3, 3, padding=1).double()
        self.second = self.first if shared else copy.deepcopy(self.first)

    def forward(self, images: Tensor) -> Tensor:
        return self.second(self.first(images).relu()).mean((2, 3))


@pytest.mark.parametrize("make", [LRP, DeepTaylor])
def test_a_layer_used_twice_is_as_two_layers(make):
    images, _ = pictures(2)
    found, wanted = (make(logit(Twice(shared))).attribute(images, target=0) for shared in (True, False))
    close(found, wanted)


# ---- the bill ---------------------------------------------------------------------------------------------------


def test_the_bill_of_each_method():
    bills = {}
    for make in EVERY:
        score = logit(ReLUNet(), chunk_size=3)
        explained(make(score))
        bills[make] = tuple(score.cost)
    once = (4, 4)
    assert bills == {
        GuidedBackprop: once,
        RectGrad: (8, 4),  # the baseline's score
        GradCAM: once,
        GuidedGradCAM: (8, 8),
        FullGrad: once,
        LRP: once,
        DeepTaylor: (6, 4),  # black and white, for the bounds
    }


@pytest.mark.parametrize("method", [GuidedBackprop, GradCAM, GuidedGradCAM, FullGrad, LRP, DeepTaylor])
def test_a_baseline_of_several_parts_costs_nothing(method):
    images, _ = pictures(2)
    bills, maps = [], []
    for baseline in (Constant(0.0), Average([Constant(0.0), Constant(1.0)])):
        score = ScoreFunction(ReLUNet(), "logit")
        maps.append(method(score, baseline).attribute(images, target=1))
        bills.append(score.cost)
    assert bills[0] == bills[1]
    assert torch.equal(*maps)
