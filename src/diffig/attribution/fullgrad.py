"""FullGrad (Srinivas and Fleuret 2019): the input's gradient term and those of all biases.

Notation: a network of linear layers and ReLUs is linear where it stands, `F(x) = dF/dx . x + sum_l dF/db_l . b_l`.
`b_l` is all that a layer adds by itself: a convolution's bias, a batch norm's shift less its scaled mean, a constant
added by the network's own code. `x` is what the first layer is given, the normalised image.
"""

from __future__ import annotations

import warnings
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.overrides import TorchFunctionMode

from diffig.attribution.backward_rules import PRODUCTS, UNDEFINED, check_plain, is_signal, scale_and_shift
from diffig.attribution.base import Attributor
from diffig.attribution.lrp_layers import CONVOLUTIONS
from diffig.integration.integrate import Integral
from diffig.randomness import Streams
from diffig.scores import nan_where_undefined

LAYERS = (*CONVOLUTIONS, "linear")
SUMS = ("add", "__add__", "__radd__", "__iadd__", "add_", "addmm", "addmv", "addbmm", "baddbmm")
DIFFERENCES = ("sub", "subtract", "__sub__", "__isub__", "sub_", "subtract_", "rsub", "__rsub__")
LEFT_OUT = 0.1  # of a logit, from where on it is said
NOT_LINEAR = (*UNDEFINED[1:], "layer_norm", "group_norm", "instance_norm", "rms_norm")


class Biases(TorchFunctionMode):
    """While entered, keeps what the first layer is given, `entry`, and each layer's output and addend, `terms`."""

    def __init__(self) -> None:
        super().__init__()
        self.entry: Tensor | None = None
        self.terms: list[tuple[Tensor, Tensor]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return what `func` returns, apart from what is kept."""
        kwargs = dict(kwargs or {})
        args = args or ((kwargs.pop("input"),) if "input" in kwargs else ())
        name = getattr(func, "__name__", "")
        if name in NOT_LINEAR or (name in PRODUCTS and all(map(is_signal, args[:2]))):
            self._refuse(name)
        if self.entry is None and name in (*LAYERS, "batch_norm"):
            self.entry = args[0]
        bias = _bias(func, args, kwargs) if name in (*SUMS, *DIFFERENCES) else None
        output = func(*args, **kwargs)
        if self.entry is None:
            return output  # the normalisation
        if name in LAYERS:
            bias = args[2] if len(args) > 2 else kwargs.get("bias")
        elif name == "batch_norm":
            known = scale_and_shift(func, args, kwargs)
            if known is None:
                self._refuse("batch_norm by the batch's own statistics")
            bias = known[1]
        if bias is None or not output.requires_grad:
            return output
        if name in LAYERS[:-1] or name == "batch_norm":
            bias = bias[(..., *(None,) * (output.ndim - 2))]
        self.terms.append((output, bias.detach()))
        return output.clone()  # an in-place ReLU that follows must not write into what is kept

    def _refuse(self, name: str) -> NoReturn:
        raise ValueError(
            "fullgrad takes apart what is linear where it stands (convolutions, linear layers, batch norms, ReLU), "
            f"and this classifier calls {name.strip('_')}; choose a convolutional classifier with batch norms, or "
            "method=grad_cam, or method=ig"
        )


def _bias(func: Any, args: Any, kwargs: Any) -> Tensor | None:
    """What a sum or difference adds to its signals: its value where they are 0; `None` where all of it are signals."""
    signals = [is_signal(value) for value in (*args[:2], *kwargs.values())]
    if not any(signals) or all(signals):
        return None
    with torch.no_grad():
        silent = [torch.zeros_like(value) if is_signal(value) else value for value in args]
        if isinstance(silent[0], Tensor):
            silent[0] = silent[0].clone()  # some write into it
        value: Tensor = func(*silent, **kwargs)
    return value


class FullGrad(Attributor):
    """A heat map of at least 0 in every channel alike: the rescaled size of the input term and of each bias term.

    Terms without places (of linear layers) are part of the decomposition and not of the map. The decomposition is
    complete for ReLU networks and the logit; a softmax, SiLU or a saturated ReLU6 bend it, and a warning says so where
    more than a tenth of a logit is left out.
    """

    name = "fullgrad"
    asks_baseline = False

    @property
    def multiplies_by_inputs(self) -> bool:
        """False: sizes are rescaled layer by layer for the map; `decompose` returns the contributions."""
        return False

    def decompose(self, images: Tensor, targets: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the input term `(B, C, H, W)` and each layer's bias terms `(B, K, ...)`, in the order of calls.

        All of them together sum to the score of each image (equation 3).

        Raises:
            ValueError: a network without convolution, linear layer or batch norm, with attention or other norms, with
                a bias that is added to a transposed output, or with a script, which hides them.
        """
        parts: list[list[Tensor]] = []
        score, size = self.score, self.score.chunk_size
        check_plain(score.classifier, self.name)
        with score.opened():
            for chunk, labels in zip(images.split(size), targets.split(size), strict=True):
                leaf = chunk.detach().clone().requires_grad_()
                with Biases() as layers:
                    logits = score.ask(leaf)
                score.charge(len(leaf), len(leaf))
                if layers.entry is None:
                    raise ValueError("fullgrad found no convolution and no linear layer in this classifier")
                kept = [leaf, logits, layers.entry, *(output for output, _ in layers.terms)]
                scores = score.read(logits, labels.clone())
                _, ends, gradient, *rest = torch.autograd.grad(
                    scores.sum(), kept, allow_unused=True, materialize_grads=True
                )
                gradient = nan_where_undefined(gradient, scores)
                if any(len(slope) != len(leaf) for slope in rest):
                    raise ValueError(
                        "fullgrad needs every bias added where the batch is the first dimension; in this classifier "
                        "one is added to a transposed output: write it as functional.linear, or choose method=ig"
                    )
                terms = [slope * bias for slope, (_, bias) in zip(rest, layers.terms, strict=True)]
                parts.append([gradient * layers.entry.detach(), *terms])
                _compare(parts[-1], (ends * logits.detach()).sum(1))
        entry, *biases = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
        return entry.view_as(images) if entry.ndim != 4 else entry, biases

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        size, heats = self.score.chunk_size, []
        for chunk, labels in zip(images.split(size), targets.split(size), strict=True):  # terms of all layers are large
            entry, terms = self.decompose(chunk, labels)
            spatial = [term for term in terms if term.ndim == 4]
            heats.append(torch.stack([rescaled(term, images.shape[2:]) for term in (entry, *spatial)]).sum(0))
        heat = torch.cat(heats)
        unknown = images.new_full((len(images),), torch.nan)
        return Integral(heat.expand_as(images).clone(), unknown, unknown.clone())


def _compare(terms: list[Tensor], whole: Tensor) -> None:
    """Warn where `terms` do not add up to `whole` `(B,)`, the logits times the score's slopes."""
    found = sum((term.flatten(1).sum(1) for term in terms), torch.zeros_like(whole))
    if bool(((found - whole).abs() > LEFT_OUT * torch.maximum(found.abs(), whole.abs())).any()):
        warnings.warn(
            f"the terms of fullgrad leave out more than {LEFT_OUT:.0%} of an image's logit: this classifier is not "
            "linear where it stands (SiLU, tanh, a square, a saturated ReLU6), or adds constants that are no biases; "
            "method=ig is complete for any classifier",
            stacklevel=2,
        )


def rescaled(term: Tensor, size: torch.Size) -> Tensor:
    """Return `|term|` from 0 to 1 over each image, at the images' size, summed over channels (section 4).

    Args:
        term: `(B, K, h, w)`, an input's or a bias's part of the score.
        size: `(H, W)` of the result `(B, 1, H, W)`.
    """
    values = term.abs().flatten(1)
    values = values - values.amin(1, keepdim=True)
    largest = values.amax(1, keepdim=True)
    values = values / torch.where(largest > 0, largest, 1)
    return interpolate(values.view_as(term), size, mode="bilinear").sum(1, keepdim=True)
