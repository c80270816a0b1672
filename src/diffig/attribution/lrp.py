"""Layer-wise relevance propagation (Bach et al. 2015) by the rules of Zennit (the extra `lrp`).

Notation: `z_ij = x_i w_ij`, and `R_i = sum_j z_ij / (sum_i z_ij + b_j + s_j) R_j`. `epsilon`: `s` has the sign of the
sum; `gamma`: `w + gamma max(w, 0)`; `z_plus`: only `z_ij > 0`; `alpha2_beta1`: twice the positive ones less the
negative ones; `box`, for the first layer: `x_i w_ij - l_i max(w_ij, 0) - h_i min(w_ij, 0)` with the lowest pixel `l`
and the highest `h`.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.attribution.integrate import Integral
from diffig.attribution.lrp_layers import first_layer, mergeable, merged_batch_norm
from diffig.attribution.relevance import Relevance
from diffig.baselines import Baseline
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
    biases and `epsilon` have absorbed. Batch norms are merged into the layer that feeds them while relevance is
    computed (one more forward image for a batch tells which that is), others hand it on as it is, as normalisation by
    constants does; sums of branches share theirs in proportion.

    Args:
        score, baseline, seed: as in `Attributor`; objective `logit`, `probability` or `margin`.
        composite: `epsilon`, `epsilon_plus`, `epsilon_alpha2_beta1`, `epsilon_gamma_box`, `gamma` or `z_plus`.
        epsilon: of the epsilon rule; also what stabilises the other rules' denominators.
        gamma: of the gamma rule.
        ignore_bias: leave biases out of the sums, so that relevance is conserved and none is absorbed.

    Raises:
        ImportError: Zennit is not installed.
        ValueError: an unknown composite, an objective without a relevance to start with, and in `explain` a network
            with attention or gates.
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
        self.zennit = _zennit(self.name)
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
        rules = self.zennit["rules"]
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

    def hooks(self, images: Tensor) -> Any:
        """Return the Zennit composite: `register(classifier)` puts its hooks on, `remove()` takes them off."""
        types, rules = self.zennit["types"], self.zennit["rules"]
        first, low, high = first_layer(self.score, images) if self.composite.first else (None, None, None)

        def rule_of(context: Any, name: str, module: nn.Module) -> Any:
            if module is first:
                return self._rule(self.composite.first, low, high)
            if isinstance(module, types.Convolution):
                return self._rule(self.composite.convolution, None, None)
            if isinstance(module, nn.Linear):
                return self._rule(self.composite.linear, None, None)
            if isinstance(module, types.AvgPool):
                return rules.Norm(stabilizer=self.epsilon)
            return rules.Pass() if isinstance(module, types.Activation | types.BatchNorm) else None

        merged = merged_batch_norm(self.zennit["canonizers"], mergeable(self.score, images))
        return self.zennit["core"].Composite(rule_of, [merged])

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        score, parts, ends = self.score, [], []
        positive = self.composite.convolution == self.composite.linear == "z_plus"
        with score.borrowed(), torch.inference_mode(False), torch.enable_grad():
            hooks = self.hooks(images)
            try:
                hooks.register(score.classifier)
                for chunk, labels in zip(images.split(score.chunk_size), targets.split(score.chunk_size), strict=True):
                    leaf, labels = chunk.detach().clone().requires_grad_(), labels.clone()
                    with Relevance(positive):
                        logits = score.ask(leaf)
                    ends.append(score.read(logits.detach(), labels))
                    (relevance,) = torch.autograd.grad(logits, leaf, self.start(logits.detach(), labels))
                    score.charge(len(leaf), len(leaf))
                    parts.append(relevance)
            finally:
                hooks.remove()
        attribution = torch.cat(parts)
        flat = attribution.flatten(1)
        return Integral(attribution, flat.sum(1) - torch.cat(ends), flat.abs().sum(1))


def _zennit(method: str) -> dict[str, Any]:
    """Zennit's modules by name; ImportError that names the extra where it is not installed."""
    try:
        return {name: importlib.import_module(f"zennit.{name}") for name in ("canonizers", "core", "rules", "types")}
    except ImportError as error:
        raise ImportError(f"method={method} needs Zennit; install the extra: pip install 'diffig[lrp]'") from error
