"""Relevance goes by what a network computes, however it is written; what has no rule, or hides, is refused."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

from diffig.attribution import LRP, DeepTaylor, FullGrad
from diffig.classifiers import cifar_resnet
from diffig.scores import ScoreFunction
from oracle.models import pictures

METHODS = {
    **{
        name: lambda score, name=name: LRP(score, composite=name)
        for name in ("epsilon", "epsilon_plus", "epsilon_alpha2_beta1", "epsilon_gamma_box", "gamma", "z_plus")
    },
    "deep_taylor": DeepTaylor,
}
EVERY = pytest.mark.parametrize("method", METHODS)
TARGETS = torch.tensor([0, 3])


class Modules(nn.Module):
    """A network of modules; `written` says how one part of it is computed instead, by a function of net and input."""

    def __init__(self, activation: nn.Module | None = None, **written) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(11)
            self.conv, self.norm = nn.Conv2d(3, 6, 3, padding=1, stride=2), nn.BatchNorm2d(6)
            self.plain = nn.Conv2d(6, 8, 3, bias=False)
            self.first, self.head = nn.Linear(8, 7), nn.Linear(7, 5)
            self.norm.running_mean.normal_(0, 0.3), self.norm.running_var.uniform_(0.5, 2)
            nn.init.normal_(self.norm.weight), nn.init.normal_(self.norm.bias)
        nn.init.constant_(self.head.bias, 1.0)
        self.act, self.pool = activation or nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        self.written = written
        self.double().eval()

    def part(self, name: str, values: Tensor) -> Tensor:
        return self.written[name](self, values) if name in self.written else getattr(self, name)(values)

    def forward(self, images: Tensor) -> Tensor:
        values = self.part("act", self.part("norm", self.part("conv", images - 0.4)))
        values = self.part("pool", self.part("plain", values)).flatten(1)
        return self.part("head", self.part("act", self.part("first", values)))


def explained(method, net, images=None):
    return METHODS[method](ScoreFunction(net, "logit")).explain(
        pictures(2)[0] if images is None else images, target=TARGETS
    )


def close(found, wanted, tolerance=1e-10):
    for one, other in zip(found[:2], wanted[:2], strict=True):
        assert other.abs().max() > 1e-6
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance * other.abs().max().item())


def norm(net, x):
    layer = net.norm
    return functional.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps)


def by_hand(net, x):
    layer = net.norm
    mean, spread, factor, shift = (
        value[:, None, None]
        for value in (layer.running_mean, (layer.running_var + layer.eps).sqrt(), layer.weight, layer.bias)
    )
    return (x - mean) / spread * factor + shift


def by_hand_in_place(net, x):
    layer = net.norm
    scale = (layer.weight * (layer.running_var + layer.eps).rsqrt())[None, :, None, None]
    return x.mul_(scale).add_(layer.bias[:, None, None]).sub_(layer.running_mean[:, None, None] * scale)


def frozen_norm(net, x):
    layer = torchvision.ops.FrozenBatchNorm2d(6, eps=net.norm.eps)
    for name in ("weight", "bias", "running_mean", "running_var"):
        setattr(layer, name, getattr(net.norm, name).detach())
    return layer(x)


def torchs_norm(net, x):
    layer = net.norm
    numbers = layer.weight, layer.bias, layer.running_mean, layer.running_var
    return torch.batch_norm(x, *numbers, False, 0.1, layer.eps, False)


def filled_in(net, x):
    pooled = net.pool(x)
    found = torch.zeros_like(pooled)
    found[:] = pooled
    return found


FUNCTIONS = {
    "conv2d": {"conv": lambda net, x: functional.conv2d(x, net.conv.weight, net.conv.bias, 2, 1)},
    "conv2d by name": {
        "conv": lambda net, x: functional.conv2d(
            input=x, weight=net.conv.weight, bias=net.conv.bias, stride=2, padding=1
        )
    },
    "batch_norm": {"norm": norm},
    "batch norm of torch": {"norm": torchs_norm},
    "batch norm by hand": {"norm": by_hand},
    "batch norm by hand, in place": {"norm": by_hand_in_place},
    "frozen batch norm": {"norm": frozen_norm},
    "b - (-x @ W.T)": {"first": lambda net, x: net.first.bias - -(x @ net.first.weight.T)},
    "-(3 - y) + 3": {"first": lambda net, x: -(3 - net.first(x)) + 3},
    "y[:] = x": {"pool": filled_in},
    "linear": {"first": lambda net, x: functional.linear(x, net.first.weight, net.first.bias)},
    "x @ W.T + b": {"first": lambda net, x: x @ net.first.weight.T + net.first.bias},
    "x @ W.T; += b": {"head": lambda net, x: (x @ net.head.weight.T).add_(net.head.bias)},
    "(W @ x.T).T": {"first": lambda net, x: (net.first.weight @ x.T + net.first.bias[:, None]).T},
    "addmm": {"head": lambda net, x: torch.addmm(net.head.bias, x, net.head.weight.T)},
    "einsum": {"head": lambda net, x: torch.einsum("bi,ki->bk", x, net.head.weight) + net.head.bias},
    "avg_pool2d": {"pool": lambda net, x: functional.avg_pool2d(x, x.shape[-1])},
    "adaptive_avg_pool2d": {"pool": lambda net, x: functional.adaptive_avg_pool2d(x, 1)},
    "all of them": {
        "conv": lambda net, x: functional.conv2d(x, net.conv.weight, net.conv.bias, 2, 1),
        "norm": norm,
        "act": lambda net, x: functional.relu_(x),
        "plain": lambda net, x: torch.conv2d(x, net.plain.weight),
        "first": lambda net, x: functional.linear(x, net.first.weight, net.first.bias),
        "head": lambda net, x: functional.linear(x, net.head.weight, net.head.bias),
    },
}


@EVERY
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_as_good_as_its_module(name, method):
    close(explained(method, Modules(**FUNCTIONS[name])), explained(method, Modules()))


@pytest.mark.parametrize(
    "written",
    [
        *(written for name, written in FUNCTIONS.items() if name != "(W @ x.T).T"),
        {"head": lambda net, x: torch.add(x @ net.head.weight.T, other=net.head.bias)},
        {"head": lambda net, x: torch.add(x @ net.head.weight.T, net.head.bias / 2, alpha=2)},
        {"head": lambda net, x: -torch.rsub(x @ net.head.weight.T, -net.head.bias)},
    ],
)
def test_fullgrads_terms_sum_to_the_logit_however_biases_are_written(written):
    net, (images, _) = Modules(**written), pictures(2)
    found = FullGrad(ScoreFunction(net, "logit")).decompose(images, TARGETS)
    total = sum(term.flatten(1).sum(1) for term in (found[0], *found[1]))
    torch.testing.assert_close(total, net(images).gather(1, TARGETS[:, None])[:, 0], rtol=1e-10, atol=0)


def test_what_fullgrads_terms_leave_out_is_said():
    method = lambda net: FullGrad(ScoreFunction(net, "probability"))  # noqa: E731
    images, _ = pictures(2)
    with pytest.warns(UserWarning, match="leave out more than 10% of an image's logit: this classifier is not linear"):
        method(Modules(act=lambda net, x: x.square())).attribute(images, target=TARGETS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        method(Modules()).attribute(images, target=TARGETS)
    with pytest.raises(ValueError, match="calls batch_norm by the batch's own statistics"):
        method(Modules(norm=lambda net, x: REFUSED["statistics"](x))).attribute(images, target=TARGETS)
    with pytest.raises(ValueError, match="where the batch is the first dimension"):
        method(Modules(**FUNCTIONS["(W @ x.T).T"])).attribute(images, target=TARGETS)


ACTIVATIONS = {
    "relu": (nn.ReLU(), lambda x: x.relu()),
    "relu, in place": (nn.ReLU(inplace=True), lambda x: functional.relu(x, inplace=True)),
    "clamp": (nn.ReLU(), lambda x: x.clamp(min=0)),
    "gelu": (nn.GELU(), functional.gelu),
    "tanh": (nn.Tanh(), torch.tanh),
    "sigmoid": (nn.Sigmoid(), torch.sigmoid),
    "sigmoid, in place": (nn.Sigmoid(), lambda x: x.sigmoid_()),
    "softplus": (nn.Softplus(), functional.softplus),
    "silu": (nn.SiLU(), lambda x: functional.silu(x)),
    "elu": (nn.ELU(inplace=True), lambda x: functional.elu(x, 1.0, False)),
}


@EVERY
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_hands_on_what_its_module_does(name, method):
    module, function = ACTIVATIONS[name]
    found = explained(method, Modules(act=lambda net, x: function(x)))
    close(found, explained(method, Modules(module)))
    if name in ("tanh", "sigmoid", "gelu"):  # by hand: one step back through the head, as if there were no slope
        net = Modules(module)
        cut = nn.Sequential(net.act, net.head)
        with torch.no_grad():
            cut[1].bias.zero_()
        hidden = torch.linspace(-1, 1, 14, dtype=torch.float64).reshape(2, 7, 1, 1)
        flat = nn.Sequential(nn.Flatten(), cut)
        given = (hidden + 1) / 2
        relevance = LRP(ScoreFunction(flat, "logit"), composite="epsilon").attribute(given, target=TARGETS)
        wanted = module(given.flatten(1)) * net.head.weight[TARGETS]
        torch.testing.assert_close(relevance.flatten(1), wanted.detach(), rtol=1e-4, atol=1e-8)


def weight_normed(net):
    for layer in (net.conv, net.first, net.head):
        parametrizations.weight_norm(layer)


def old_weight_normed(net):
    for layer in (net.conv, net.plain, net.head):
        torch.nn.utils.weight_norm(layer)


def pruned(net):
    for layer in (net.conv, net.plain, net.first, net.head):
        prune.identity(layer, "weight")


@EVERY
@pytest.mark.parametrize("change", [weight_normed, old_weight_normed, pruned])
def test_weights_that_are_computed_are_as_good_as_stored_ones(change, method):
    net = Modules()
    change(net)
    state = copy.deepcopy(net.state_dict())
    torch.testing.assert_close(net(pictures(2)[0]), Modules()(pictures(2)[0]), rtol=1e-10, atol=0)
    close(explained(method, net), explained(method, Modules()))
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())


def test_a_pruned_weight_counts_as_zero():
    net, zeroed = Modules(), Modules()
    prune.l1_unstructured(net.conv, "weight", amount=0.5)
    zeroed.conv.weight.data.copy_(net.conv.weight)
    close(explained("epsilon_plus", net), explained("epsilon_plus", zeroed))


# ---- what is refused --------------------------------------------------------------------------------------------


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        return 3 * ctx.saved_tensors[0] ** 2 * gradient


REFUSED = {
    "instance_norm": nn.InstanceNorm2d(6),
    "local_response_norm": nn.LocalResponseNorm(2),
    "group_norm": nn.GroupNorm(2, 6).double(),
    "layer_norm": nn.LayerNorm([6, 4, 4]).double(),
    "statistics": nn.BatchNorm2d(6, track_running_stats=False).double(),
    "square": lambda x: x.square(),
    "pow": lambda x: x**2,
    "mul": lambda x: x * x,
    "softmax": lambda x: x.softmax(1),
    "abs": lambda x: x.abs(),
    "exp": lambda x: x.exp(),
    "rdiv": lambda x: 1 / (1 + x),
    "std": lambda x: x / x.std(),
    "matmul": lambda x: x @ x,
    "mul that spreads": lambda x: (x[:, None] * torch.ones(6, 6, 1, 1)).sum(2),
}


@pytest.mark.parametrize("make", [LRP, DeepTaylor])
@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_refused_in_one_line(name, make):
    net = Modules(norm=lambda net, x: REFUSED[name](x))
    with pytest.raises(ValueError, match=rf"{make.name} has no rule for .*{name}.* of this classifier") as caught:
        make(ScoreFunction(net, "logit")).explain(pictures(2)[0], target=0)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [LRP, DeepTaylor])
@pytest.mark.parametrize("what", ["all", "traced", "a part", "a function"])
def test_what_hides_its_calls_is_refused(what, make):
    net = Modules()
    images, _ = pictures(2)
    body = nn.Sequential(net.conv, net.norm, net.act, net.plain, net.pool, nn.Flatten(), net.first, net.act, net.head)
    hidden = {
        "all": lambda: torch.jit.script(body),
        "traced": lambda: torch.jit.trace(body, images),
        "a part": lambda: nn.Sequential(net.conv, torch.jit.script(nn.Sequential(*body[1:3])), *body[3:]),
        "a function": lambda: Modules(norm=lambda net, x: Cube.apply(x)),
    }[what]()
    with pytest.raises(ValueError, match=rf"{make.name} .* of this classifier|found no convolution"):
        make(ScoreFunction(hidden, "logit")).explain(images, target=0)


# ---- precision --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["logit", "probability"])
@pytest.mark.parametrize("method", ["epsilon", "epsilon_plus", "epsilon_gamma_box", "deep_taylor"])
def test_under_autocast_relevance_is_that_of_full_precision(method, objective):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(12)
        net = cifar_resnet(depth=20)
    images, _ = pictures(2, height=32, width=32, dtype=torch.float32)
    make = lambda: METHODS[method](ScoreFunction(net, objective))  # noqa: E731
    wanted = make().explain(images, target=TARGETS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = make().explain(images, target=TARGETS)
    assert found.attribution.dtype == torch.float32
    scale = wanted.attribution.abs().max()
    assert scale > 0
    torch.testing.assert_close(found.attribution, wanted.attribution, rtol=0, atol=0.01 * scale.item())
    torch.testing.assert_close(found.gap, wanted.gap, rtol=0.01, atol=1e-4)


class Halved(nn.Module):
    """A network that enters autocast by itself."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.net(images).float()


@pytest.mark.parametrize("method", ["epsilon_plus", "epsilon_gamma_box", "deep_taylor"])
def test_of_a_network_that_enters_autocast_relevance_is_that_of_full_precision_up_to_rounding(method):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(12)
        net = cifar_resnet(depth=20)
    images, _ = pictures(2, height=32, width=32, dtype=torch.float32)
    found, wanted = (explained(method, one, images).attribution for one in (Halved(net), net))
    assert found.dtype == torch.float32
    error, size = ((value.flatten(1).norm(dim=1)) for value in (found - wanted, wanted))
    assert size.max() > 1e-3
    assert (error <= 0.02 * size).all()
