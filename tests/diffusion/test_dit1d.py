"""The transformer over the points of a path: shapes, symmetries, one block written a second time, a first lesson."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from diffig.diffusion.denoisers.dit1d import SIZES, Block, DiT1D, DiT1DRegressor

LENGTH, DIM = 6, 5


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def awake(net: nn.Module, seed: int = 0) -> nn.Module:
    """The network with random numbers in every parameter, so that nothing is hidden behind a zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return net


def small(kind=DiT1D, **options):
    return kind(LENGTH, DIM, **{"width": 16, "depth": 2, "heads": 4, **options})


@pytest.mark.parametrize("concentration_input", [False, True])
def test_a_new_denoiser_predicts_exactly_zero(concentration_input):
    net = small(concentration_input=concentration_input)
    output = net(normal(3, LENGTH, DIM), torch.rand(3), torch.tensor([1.0, 5.0, 20.0]))
    assert output.shape == (3, LENGTH, DIM)
    assert (output == 0).all()


def test_a_regressor_gives_one_number_for_each_path():
    assert small(DiT1DRegressor)(normal(3, LENGTH, DIM), torch.rand(3)).shape == (3,)


@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_what_they_say(size):
    config = DiT1D(3, 2, size).config
    assert (config["width"], config["depth"], config["heads"]) == SIZES[size]


@pytest.mark.parametrize("kind", [DiT1D, DiT1DRegressor])
def test_the_order_of_the_points_matters(kind):
    net, paths, times = awake(small(kind)), normal(2, LENGTH, DIM), torch.tensor([0.1, 0.7])
    swapped = paths[:, [0, 2, 1, 3, 4, 5]]
    before, after = net(paths, times), net(swapped, times)
    if kind is DiT1D:
        after = after[:, [0, 2, 1, 3, 4, 5]]  # only a network without positions would give the same points back
    assert (before - after).abs().max() > 1e-3


@pytest.mark.parametrize("kind", [DiT1D, DiT1DRegressor])
def test_time_and_concentration_matter(kind):
    net, paths = awake(small(kind, concentration_input=True)), normal(2, LENGTH, DIM)
    times, concentration = torch.tensor([0.1, 0.7]), torch.tensor([1.0, 20.0])
    assert (net(paths, times, concentration) - net(paths, times.flip(0), concentration)).abs().max() > 1e-3
    assert (net(paths, times, concentration) - net(paths, times, concentration.flip(0))).abs().max() > 1e-3


@pytest.mark.parametrize("kind", [DiT1D, DiT1DRegressor])
def test_a_path_is_judged_alone(kind):
    net = awake(small(kind)).double()
    paths, times = normal(5, LENGTH, DIM, dtype=torch.float64), torch.rand(5, dtype=torch.float64)
    alone = torch.cat([net(path[None], time[None]) for path, time in zip(paths, times, strict=True)])
    torch.testing.assert_close(net(paths, times), alone)


def test_a_block_is_the_plain_formula():
    width, heads = 8, 2
    block = awake(Block(width, heads)).double()
    weights = {name: tensor.double() for name, tensor in block.named_parameters()}
    tokens, condition = normal(2, 4, width, dtype=torch.float64), normal(2, width, seed=1, dtype=torch.float64)

    def linear(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x):
        return (x - x.mean()) / torch.sqrt(((x - x.mean()) ** 2).mean() + 1e-6)

    expected = tokens.clone()
    for n in range(len(tokens)):
        silu = condition[n] / (1 + torch.exp(-condition[n]))
        scale1, shift1, gate1, scale2, shift2, gate2 = linear(silu, "modulation.1").split(width)
        seen = torch.stack([norm(token) * (1 + scale1) + shift1 for token in tokens[n]])
        query, key, value = linear(seen, "qkv").split(width, dim=1)
        mixed = torch.zeros_like(seen)
        size = width // heads
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            for i in range(len(seen)):
                scores = torch.stack([(query[i, part] * key[j, part]).sum() / math.sqrt(size) for j in range(4)])
                share = scores.exp() / scores.exp().sum()
                mixed[i, part] = sum(share[j] * value[j, part] for j in range(4))
        x = tokens[n] + gate1 * linear(mixed, "out")
        for i in range(len(x)):
            hidden = linear(norm(x[i]) * (1 + scale2) + shift2, "mlp.0")
            gelu = 0.5 * hidden * (1 + torch.tanh(math.sqrt(2 / math.pi) * (hidden + 0.044715 * hidden**3)))
            expected[n, i] = x[i] + gate2 * linear(gelu, "mlp.2")
    torch.testing.assert_close(block(tokens, condition), expected)


@pytest.mark.parametrize("kind", [DiT1D, DiT1DRegressor])
def test_config_and_weights_build_it_again(kind):
    net = awake(small(kind, concentration_input=True))
    again = kind(**net.config)
    again.load_state_dict(net.state_dict())
    given = normal(2, LENGTH, DIM), torch.tensor([0.2, 0.9]), torch.tensor([2.0, 3.0])
    assert torch.equal(net(*given), again(*given))
    assert again.config == net.config


@pytest.mark.parametrize("kind", [DiT1D, DiT1DRegressor])
def test_half_precision_stays_close(kind):
    net, paths, times = awake(small(kind)), normal(3, LENGTH, DIM), torch.rand(3)
    with torch.autocast("cpu", torch.bfloat16):
        rough = net(paths, times).float()
    exact = net(paths, times)
    assert (rough - exact).abs().max() < 0.05 * exact.abs().max() + 0.05


def test_it_learns_to_denoise_straight_lines_wider_than_its_tokens():
    torch.manual_seed(0)
    dim, width = 48, 32
    net = DiT1D(LENGTH, dim, width=width, depth=1, heads=4)
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    steps = torch.linspace(0, 1, LENGTH)[:, None]
    losses = []
    for _ in range(60):
        paths = torch.lerp(torch.randn(64, 1, dim), torch.randn(64, 1, dim), steps)
        noise, times = torch.randn_like(paths), 0.98 * torch.rand(64)
        angle = (times * math.pi / 2)[:, None, None]
        noisy = angle.cos() * paths + angle.sin() * noise
        noisy[:, 0], noisy[:, -1] = paths[:, 0], paths[:, -1]
        loss = (net(noisy, times) - noise)[:, 1:-1].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # It begins at 1, the variance of the noise.
    assert losses[0] == pytest.approx(1, abs=0.05)
    assert sum(losses[-10:]) / 10 < 0.4


def test_wrong_sizes_are_told_in_words():
    with pytest.raises(ValueError, match=r"size='huge' is unknown; choose one of \['tiny', 'small', 'base'\]"):
        DiT1D(LENGTH, DIM, "huge")
    with pytest.raises(ValueError, match="width an even multiple of heads"):
        DiT1D(LENGTH, DIM, width=10, heads=4)
    with pytest.raises(ValueError, match="built for paths of 5 segments in 5 dimensions"):
        small()(normal(2, LENGTH + 1, DIM), torch.rand(2))
    with pytest.raises(ValueError, match="give concentration"):
        small(concentration_input=True)(normal(2, LENGTH, DIM), torch.rand(2))
