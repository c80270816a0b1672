"""A transformer over the points of a path: a denoiser of sequences, and a regressor on the same trunk.

Blocks are adaLN-Zero (Peebles and Xie 2023): with `a, b, g = modulation(condition)`, a layer `f` enters as
`x + g f((1 + a) norm(x) + b)` and `g` begins at 0.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

# width, depth, heads; `base` is the size that planners of this design were published with (Dong et al. 2024).
SIZES = {"tiny": (128, 3, 4), "small": (256, 6, 4), "base": (384, 12, 6)}


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Return `cos` and `sin` of `positions` `(N,)` at `width / 2` frequencies from 1 to 1e-4, `(N, width)` float32."""
    steps = torch.arange(width // 2, device=positions.device, dtype=torch.float32) / (width // 2)
    angles = positions.float()[:, None] * torch.exp(-math.log(10_000) * steps)
    return torch.cat([angles.cos(), angles.sin()], 1)


def zeroed(layer: nn.Linear) -> nn.Linear:
    """Return the layer with weights and bias 0."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Modulated(nn.Module):
    """Layer normalisation whose scale and shift come from the condition; plain at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)

    def forward(self, tokens: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Return normalised tokens `(N, L, width)`; scale and shift are `(N, width)`."""
        normed: Tensor = self.norm(tokens)
        return normed * (1 + scale[:, None]) + shift[:, None]


class Block(nn.Module):
    """Attention over all tokens, then a two-layer network on each; the identity at the start of training."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = Modulated(width), Modulated(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))
        self.modulation = nn.Sequential(nn.SiLU(), zeroed(nn.Linear(width, 6 * width)))

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        """Return tokens `(N, L, width)` for a condition `(N, width)`."""
        scale, shift, gate, scale_mlp, shift_mlp, gate_mlp = self.modulation(condition).chunk(6, 1)
        tokens = tokens + gate[:, None] * self._attention(self.before_attention(tokens, scale, shift))
        return tokens + gate_mlp[:, None] * self.mlp(self.before_mlp(tokens, scale_mlp, shift_mlp))

    def _attention(self, tokens: Tensor) -> Tensor:
        count, length, width = tokens.shape
        parts = self.qkv(tokens).view(count, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each (N, heads, L, width / heads)
        mixed = scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(count, length, width))
        return out


class Trunk(nn.Module, ABC):
    """Tokens and condition of a noisy sequence, for a head to read.

    Args:
        length: tokens, `T + 1` points.
        dim: numbers in each.
        size: `tiny | small | base`, what width, depth and heads are where they are not given.
        width, depth, heads: of the transformer.
        concentration_input: whether the network is told the concentration of the distribution.
    """

    def __init__(
        self,
        length: int,
        dim: int,
        size: str = "tiny",
        width: int | None = None,
        depth: int | None = None,
        heads: int | None = None,
        concentration_input: bool = False,
    ) -> None:
        super().__init__()
        if size not in SIZES:
            raise ValueError(f"size={size!r} is unknown; choose one of {list(SIZES)}, or set width, depth and heads")
        sizes = (width, depth, heads)
        width, depth, heads = (
            default if given is None else int(given) for given, default in zip(sizes, SIZES[size], strict=True)
        )
        if min(length, dim, width, depth, heads) < 1 or width % heads or width % 2:
            raise ValueError(
                f"length={length}, dim={dim}, width={width}, depth={depth}, heads={heads}: all must be positive, and "
                "width an even multiple of heads"
            )
        self.config: dict[str, Any] = {
            "length": length,
            "dim": dim,
            "size": size,
            "width": width,
            "depth": depth,
            "heads": heads,
            "concentration_input": concentration_input,
        }
        self.width = width
        self.project = nn.Linear(dim, width)
        self.register_buffer("positions", sinusoids(torch.arange(length), width), persistent=False)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        # `law` is its name in weights files.
        self.law = (
            nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width)) if concentration_input else None
        )
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.last = Modulated(width)
        self.last_modulation = nn.Sequential(nn.SiLU(), zeroed(nn.Linear(width, 2 * width)))
        self.add_head(length, dim)

    @abstractmethod
    def add_head(self, length: int, dim: int) -> None:
        """Add the layers that read tokens and condition."""

    def read(self, noisy: Tensor, times: Tensor, concentration: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return normalised tokens `(N, L, width)` and their condition `(N, width)`."""
        length, dim = self.config["length"], self.config["dim"]
        if noisy.shape[1:] != (length, dim) or times.shape != noisy.shape[:1]:
            raise ValueError(
                f"noisy has shape {tuple(noisy.shape)} and times {tuple(times.shape)}; this network reads "
                f"(N, {length}, {dim}) and (N,): it was built for paths of {length - 1} segments in {dim} dimensions"
            )
        condition: Tensor = self.time(sinusoids(1000 * times, self.width).to(noisy.dtype))
        if self.law is not None:
            if concentration is None:
                raise ValueError("this network was built with concentration_input; give concentration (N,)")
            condition = condition + self.law(concentration.to(noisy).log()[:, None])
        tokens = self.project(noisy) + self.positions
        for block in self.blocks:
            tokens = block(tokens, condition)
        scale, shift = self.last_modulation(condition).chunk(2, 1)
        return self.last(tokens, scale, shift), condition


class DiT1D(Trunk):
    """Predicts noise (or v) for every point of a noisy path; 0 before training.

    To what the tokens say it adds `M z`, with `z` the noisy sequence and `M` `(L, L)` linear in the condition. Noise
    fills all `dim` numbers of a point while tokens carry `width`; with `width < dim` no noise could be predicted
    without a way around the tokens. `M z` is the best linear prediction for paths whose coordinates share one
    distribution, the given ends included. Arguments as for `Trunk`.
    """

    def add_head(self, length: int, dim: int) -> None:
        """Add the two linear layers of tokens and condition."""
        self.head = zeroed(nn.Linear(self.width, dim))
        self.mixing = nn.Sequential(nn.SiLU(), zeroed(nn.Linear(self.width, length * length)))

    def forward(self, noisy: Tensor, times: Tensor, concentration: Tensor | None = None) -> Tensor:
        """Return the prediction `(N, L, dim)` for noisy paths of the same shape.

        Args:
            noisy: paths at noise level `times`.
            times: `(N,)` in [0, 1].
            concentration: `(N,)` of the distribution; only where the network was built for it.
        """
        tokens, condition = self.read(noisy, times, concentration)
        mixing = self.mixing(condition).view(-1, noisy.shape[1], noisy.shape[1])
        prediction: Tensor = self.head(tokens) + mixing @ noisy
        return prediction


class DiT1DRegressor(Trunk):
    """Predicts one number for a noisy path; arguments as for `Trunk`."""

    def add_head(self, length: int, dim: int) -> None:
        """Add a small network of the mean token."""
        half = self.width // 2
        self.halve = nn.Linear(self.width, half)
        self.head = nn.Sequential(nn.Linear(half, half), nn.SiLU(), nn.Linear(half, 1))

    def forward(self, noisy: Tensor, times: Tensor, concentration: Tensor | None = None) -> Tensor:
        """Return predictions `(N,)` for noisy paths `(N, L, dim)` at noise levels `times` `(N,)`."""
        tokens, _ = self.read(noisy, times, concentration)
        prediction: Tensor = self.head(self.halve(tokens).mean(1))[:, 0]
        return prediction
