"""Small classifiers whose attributions are known, or can be worked out by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def fixed(shape, seed, scale=1.0, dtype=torch.float64):
    """Normal numbers that are the same on every call."""
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def pictures(batch=4, channels=3, height=8, width=8, seed=0, dtype=torch.float64):
    """Images and baselines in [0, 1] that differ almost everywhere."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, channels, height, width)
    images = torch.rand(shape, generator=generator, dtype=dtype)
    return images, torch.rand(shape, generator=generator, dtype=dtype)


class Linear(nn.Module):
    """Logits `W x`: every complete path method must return `w_c (x - x')`."""

    def __init__(self, shape=(3, 8, 8), classes=5, seed=1, dtype=torch.float64):
        super().__init__()
        self.register_buffer("weight", fixed((classes, *shape), seed, dtype=dtype))

    def forward(self, images: Tensor) -> Tensor:
        return torch.einsum("bchw,kchw->bk", images, self.weight)

    def contributions(self, images, baselines, targets):
        return self.weight[targets] * (images - baselines)


class Additive(nn.Module):
    """Logits `sum_i w_ki sin(2 x_i)`: no interactions, so monotone paths cannot disagree."""

    def __init__(self, shape=(3, 8, 8), classes=5, seed=2):
        super().__init__()
        self.register_buffer("weight", fixed((classes, *shape), seed))

    def forward(self, images: Tensor) -> Tensor:
        return torch.einsum("bchw,kchw->bk", torch.sin(2 * images), self.weight)

    def contributions(self, images, baselines, targets):
        return self.weight[targets] * (torch.sin(2 * images) - torch.sin(2 * baselines))


class FourFeatures(nn.Module):
    """Class 0 scores `x0^2 x1 + 2 x0 x2 x3^2 - x3` of a 1 x 2 x 2 image, class 1 scores 0: features need each other.

    The squares matter: of a score that is linear in each feature the straight line gives Shapley values already.
    """

    def forward(self, images: Tensor) -> Tensor:
        a, b, c, d = images.flatten(1).unbind(1)
        value = a.square() * b + 2 * a * c * d.square() - d
        return torch.stack([value, torch.zeros_like(value)], 1)


class Cliff(nn.Module):
    """Class 0 scores a logistic step of the mean pixel: flat, then steep at `place`, then flat."""

    def __init__(self, place=0.3, slope=200.0):
        super().__init__()
        self.place, self.slope = place, slope

    def forward(self, images: Tensor) -> Tensor:
        value = torch.sigmoid(self.slope * (images.flatten(1).mean(1) - self.place))
        return torch.stack([value, torch.zeros_like(value)], 1)


class TanhNet(nn.Module):
    """Logits `V tanh(W x + b)`, whose gradient the oracle writes down by hand."""

    def __init__(self, shape=(3, 8, 8), classes=5, width=12, seed=3, dtype=torch.float64):
        super().__init__()
        size = shape[0] * shape[1] * shape[2]
        self.register_buffer("first", fixed((width, size), seed, 2 / size**0.5, dtype))
        self.register_buffer("shift", fixed((width,), seed + 1, dtype=dtype))
        self.register_buffer("second", fixed((classes, width), seed + 2, dtype=dtype))

    def forward(self, images: Tensor) -> Tensor:
        return torch.tanh(images.flatten(1) @ self.first.T + self.shift) @ self.second.T


class RowTanhNet(TanhNet):
    """The same, one multiplication at a time: the result of a row cannot depend on its neighbours in the batch."""

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.tanh((images.flatten(1)[:, None] * self.first).sum(2) + self.shift)
        return (hidden[:, None] * self.second).sum(2)


class Deep(nn.Module):
    """Convolutions with batch normalisation and dropout, so that there is a mode to get wrong."""

    def __init__(self, channels=3, classes=5, seed=4, dtype=torch.float64):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.body = nn.Sequential(
                nn.Conv2d(channels, 6, 3, stride=2, padding=1),
                nn.BatchNorm2d(6),
                nn.Softplus(beta=5),
                nn.Dropout(0.5),
                nn.Conv2d(6, 8, 3, padding=1),
                nn.Softplus(beta=5),
            )
            self.head = nn.Linear(8, classes)
        self.body[1].running_mean.fill_(0.1)
        self.body[1].running_var.fill_(0.05)
        with torch.no_grad():
            for parameter in (self.body[4].weight, self.head.weight):
                parameter.mul_(4)
        self.to(dtype).eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images).mean((2, 3)))


class ReLUNet(nn.Module):
    """Convolutions, batch normalisation and a shortcut; one ReLU works in place, one is a function."""

    def __init__(self, channels=3, classes=5, seed=5, bias=True, dtype=torch.float64):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.body = nn.Sequential(
                nn.Conv2d(channels, 6, 3, padding=1, bias=bias),
                nn.BatchNorm2d(6),
                nn.ReLU(inplace=True),
                nn.Dropout(0.5),
                nn.MaxPool2d(2),
            )
            self.branch = nn.Conv2d(6, 6, 3, padding=1, bias=bias)
            self.head = nn.Linear(6, classes, bias=bias)
        if bias:
            self.body[1].running_mean.fill_(0.1)
            nn.init.constant_(self.body[1].bias, 0.2)
        self.body[1].running_var.fill_(0.05)
        with torch.no_grad():
            self.head.weight.mul_(4)
        self.to(dtype).eval()

    def forward(self, images: Tensor) -> Tensor:
        features = self.body(images - 0.3)
        features = torch.relu(features + self.branch(features))
        return self.head(features.mean((2, 3)))


class Headed(nn.Module):
    """A smooth representation and a linear head, whose predictions differ from image to image."""

    def __init__(self, shape=(3, 8, 8), classes=5, width=10, seed=6, dtype=torch.float64):
        super().__init__()
        size = shape[0] * shape[1] * shape[2]
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(size, width), nn.Tanh())
        self.head = nn.Linear(width, classes)
        with torch.no_grad():
            self.body[1].weight.copy_(fixed((width, size), seed, 4 / size**0.5))
            self.body[1].bias.copy_(-0.5 * self.body[1].weight.sum(1))
            self.head.weight.copy_(fixed((classes, width), seed + 1, 2.0))
            self.head.bias.zero_()
        self.to(dtype).eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images))


class Ridge(nn.Module):
    """Class 0 of a 1 x 1 x 2 image scores `a + b` and a steep hill beside the line from black to white."""

    def forward(self, images: Tensor) -> Tensor:
        a, b = images.flatten(1).unbind(1)
        value = a + b + 3 * torch.exp(-((a - 0.5).square() + (b - 0.42).square()) / 0.03)
        return torch.stack([value, torch.zeros_like(value)], 1)


class NoSecondDerivative(torch.autograd.Function):
    """The identity, which refuses to be differentiated twice."""

    @staticmethod
    def forward(ctx, images):
        return images.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return gradient.clone()


class FirstOrderOnly(nn.Module):
    """A classifier that can be differentiated once; a second derivative through it raises."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        return NoSecondDerivative.apply(self.net(NoSecondDerivative.apply(images)))


class _Count(torch.autograd.Function):
    @staticmethod
    def forward(ctx, images, spy):
        ctx.spy = spy
        return images.clone()

    @staticmethod
    def jvp(ctx, change, _):
        return change.clone()

    @staticmethod
    def backward(ctx, gradient):
        ctx.spy.backward_images += len(gradient)
        return gradient.clone(), None


class Spy(nn.Module):
    """Counts the images that really go through a classifier, forwards and backwards."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        self.forward_images, self.backward_images, self.largest_call = 0, 0, 0

    def forward(self, images: Tensor) -> Tensor:
        self.forward_images += len(images)
        self.largest_call = max(self.largest_call, len(images))
        return self.net(_Count.apply(images, self))


class SoftplusNet(nn.Module):
    """A small smooth classifier with frozen random weights: images `(B, C, H, W)` to logits `(B, K)`."""

    def __init__(self, channels: int = 3, classes: int = 5, seed: int = 0) -> None:
        super().__init__()
        state = torch.random.get_rng_state()
        torch.manual_seed(seed)
        self.first = nn.Conv2d(channels, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 8, 3, stride=2)
        self.head = nn.Linear(8, classes)
        torch.random.set_rng_state(state)
        for parameter in self.parameters():
            parameter.requires_grad_(False).mul_(2.0)

    def forward(self, images: Tensor) -> Tensor:
        features = nn.functional.softplus(self.second(nn.functional.softplus(self.first(images))))
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits
