"""Layer-wise relevance propagation (Bach et al. 2015) by the rules of Zennit (the extra `lrp`).

Notation: `z_ij = x_i w_ij`, and `R_i = sum_j z_ij / (sum_i z_ij + b_j + s_j) R_j`. `epsilon`: `s` has the sign of the
sum; `gamma`: `w + gamma max(w, 0)`; `z_plus`: only `z_ij > 0`; `alpha2_beta1`: twice the positive ones less the
negative ones; `box`, for the first layer: `x_i w_ij - l_i max(w_ij, 0) - h_i min(w_ij, 0)` with the lowest pixel `l`
and the highest `h`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.attribution.lrp_layers import Layer, input_bounds
from diffig.attribution.relevance import Relevance
from diffig.baselines import Baseline
from diffig.integration.integrate import Integral
from diffig.precision import full
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class Composite(NamedTuple):
    """The rule of convolutions, of linear layers, and of the first layer where that is another."""

    convolution: str
    linear: str
    first: str = ""


COMPOSITES = {
    "epsilon": Composite("epsilon", "epsilon"),
    "epsilon_plus": Composite("z_plus", "epsilon"),
    "epsilon_alpha2_beta1": Composite("alpha2_beta1", "epsilon"),
    "epsilon_gamma_box": Composite("gamma", "epsilon", "box"),
    "gamma": Composite("gamma", "gamma"),
    "z_plus": Composite("z_plus", "z_plus"),
}


class LRP(Attributor):
    """Relevance of each pixel: the score itself, shared out layer by layer among what it was summed from.

    It starts at the target's logit with the score as its value (for the margin: the target's logit there, and minus the
    other's at the other). There is no path and no baseline: the gap is the sum of relevance minus `F(x)`, which is what
    biases and `epsilon` have absorbed. Batch norms, and scaling and shifting by constants, count as part of the layer
    that feeds them; without one, as in normalisation of the image, they hand relevance on as it is. Sums of branches
    share theirs in proportion. Rules go by what is called, so that functions are as good as modules, and weights may be
    computed from others. It is done in the precision of images and weights, also under autocast.

    Args:
        score, baseline, seed: as in `Attributor`; objective `logit`, `probability` or `margin`.
        composite: `epsilon`, `epsilon_plus`, `epsilon_alpha2_beta1`, `epsilon_gamma_box`, `gamma` or `z_plus`.
        epsilon: of the epsilon rule; also what stabilises the other rules' denominators.
        gamma: of the gamma rule.
        ignore_bias: leave biases out of the sums, so that relevance is conserved and none is absorbed.

    Raises:
        ImportError: Zennit is not installed.
        ValueError: an unknown composite, an objective without a relevance to start with, and in `explain` a network
            that computes something without a known rule (attention, gates, other norms) or hides what (a script).
    """

    name = "lrp"
    asks_baseline = False

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        composite: str = "epsilon_plus",
        epsilon: float = 1e-6,
        gamma: float = 0.25,
        ignore_bias: bool = False,
    ) -> None:
        super().__init__(score, baseline, seed)
        if composite not in COMPOSITES:
            raise ValueError(f"composite={composite!r} is unknown; choose one of {list(COMPOSITES)}")
        if self.score.objective == "log_probability":
            raise ValueError(
                f"objective=log_probability is negative, and {self.name} would share it out with all signs turned; "
                "choose logit, probability or margin"
            )
        _zennit(self.name)  # told before any work
        self.composite = COMPOSITES[composite]
        self.epsilon, self.gamma, self.ignore_bias = float(epsilon), float(gamma), ignore_bias

    def start(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the relevance of the logits `(B, K)`; it sums to the score."""
        index = targets[:, None]
        if self.score.objective != "margin":
            return torch.zeros_like(logits).scatter(1, index, self.score.read(logits, targets)[:, None])
        other = logits.scatter(1, index, -torch.inf).argmax(1, keepdim=True)
        ours = torch.zeros_like(logits).scatter(1, index, logits.gather(1, index))
        return ours.scatter(1, other, -logits.gather(1, other))

    def _rule(self, name: str, low: Tensor | None, high: Tensor | None) -> Any:
        rules = _zennit(self.name)  # a module cannot be copied or pickled with the method
        bias = {"zero_params": ["bias"] if self.ignore_bias else None}
        if name == "box":
            return rules.ZBox(low, high, stabilizer=self.epsilon, **bias)
        if name == "alpha2_beta1":
            return rules.AlphaBeta(2, 1, stabilizer=self.epsilon, **bias)
        if name == "gamma":
            return rules.Gamma(self.gamma, stabilizer=self.epsilon, **bias)
        if name == "z_plus":
            return rules.ZPlus(stabilizer=self.epsilon, **bias)
        return rules.Epsilon(self.epsilon, **bias)

    def relevance(self, images: Tensor) -> Callable[[], Relevance]:
        """Return what makes the mode that is entered for one forward pass."""
        low, high = input_bounds(self.score, images, self.name) if self.composite.first else (None, None)

        def rule(layer: Layer, first: bool) -> Any:
            usual = self.composite.convolution if layer.kind == "convolution" else self.composite.linear
            return self._rule((self.composite.first if first else "") or usual, low, high)

        positive = self.composite.convolution == self.composite.linear == "z_plus"
        return lambda: Relevance(rule, self.name, self.epsilon, positive)

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        score, parts, ends = self.score, [], []
        # In half precision neither the sums that relevance is divided by nor `epsilon` mean anything.
        with score.opened(), full(images, self.name):
            entered = self.relevance(images)
            for chunk, labels in zip(images.split(score.chunk_size), targets.split(score.chunk_size), strict=True):
                leaf, labels = chunk.detach().clone().requires_grad_(), labels.clone()
                with entered() as mode:
                    logits = score.ask(leaf)
                mode.check(logits)
                ends.append(score.read(logits.detach(), labels))
                (relevance,) = torch.autograd.grad(logits, leaf, self.start(logits.detach(), labels))
                score.charge(len(leaf), len(leaf))
                parts.append(relevance)
        attribution = torch.cat(parts)
        flat = attribution.flatten(1)
        return Integral(attribution, flat.sum(1) - torch.cat(ends), flat.abs().sum(1))


def _zennit(method: str) -> Any:
    """Zennit's rules; ImportError that names the extra where it is not installed."""
    try:
        return importlib.import_module("zennit.rules")
    except ImportError as error:
        raise ImportError(f"method={method} needs Zennit; install the extra: pip install 'diffig[lrp]'") from error
