"""A classifier's calls, watched: what goes in and what comes out, with a next step where torch has none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

NEEDED = "logits of shape (B, K) are needed"


def check_module(classifier: object) -> None:
    """Raise where `classifier` is no module, a plain function for example."""
    if not isinstance(classifier, nn.Module):
        raise TypeError(
            f"the classifier is a {type(classifier).__name__}; it must be a torch.nn.Module: for a function, "
            "net = torch.nn.Module(); net.forward = function"
        )


def check_logits(output: object, batch: int) -> None:
    """Raise where `output` is not a tensor `(batch, K)`."""
    if not isinstance(output, Tensor):
        keys = list(output) if isinstance(output, Mapping) else []
        what = f"{type(output).__name__}{f' of {keys}' if keys else ''}"
        key = ("logits" if "logits" in keys else keys[0]) if keys else 0
        raise TypeError(
            f"the classifier returned a {what}; {NEEDED}: wrap it in a module whose forward returns the one tensor of "
            f"logits, such as net(images)[{key!r}]"
        )
    shape = tuple(output.shape)
    if output.ndim == 2 and shape[0] == batch and shape[1]:
        if not output.is_floating_point() or output.layout != torch.strided:
            kind = output.dtype if output.layout == torch.strided else output.layout
            raise TypeError(
                f"the classifier returned {kind}; {NEEDED}, floating and dense: wrap it in a module whose forward "
                "returns what it had before it rounded, chose or packed them"
            )
        return
    advice = "wrap it in a module whose forward returns them"
    if shape == (batch,):
        advice = "for one number z for each image return two, torch.stack([torch.zeros_like(z), z], 1)"
    elif output.ndim > 2 and shape[0] == batch and set(shape[2:]) == {1}:
        advice = "take torch.nn.Sequential(net, torch.nn.Flatten())"
    raise ValueError(f"the classifier returned shape {shape}; {NEEDED}: {advice}")


@contextlib.contextmanager
def watched(classifier: nn.Module) -> Iterator[None]:
    """While it lasts, whatever `classifier` returns is checked, and what torch says of its inputs gets a next step.

    Raises:
        TypeError: images and weights differ in type or place, the output is no tensor, or autograd cannot use the
            weights.
        ValueError: the output has another shape than `(B, K)`, or images of this shape do not fit the classifier.
    """
    given: list[Tensor] = []
    inside: list[nn.Module] = []  # empty again once the classifier has returned

    def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        given[:] = [images for images in inputs[:1] if isinstance(images, Tensor)]
        inside[:] = [module]

    def after(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        inside.clear()
        if given:
            check_logits(output, len(given[0]))

    scripted = isinstance(classifier, torch.jit.ScriptModule)  # which takes no hooks of Python
    hooks = () if scripted else (classifier.register_forward_pre_hook(before), classifier.register_forward_hook(after))
    try:
        yield
    except RuntimeError as error:
        advice = _advice(str(error), classifier, given)
        if advice is not None:
            raise TypeError(advice) from error
        if inside and given and any(word in str(error) for word in ("channels", "size", "shape")):
            raise ValueError(_about_shape(str(error), classifier, tuple(given[0].shape))) from error
        raise
    finally:
        for hook in hooks:
            hook.remove()


def _advice(said: str, classifier: nn.Module, given: list[Tensor]) -> str | None:
    """What to do about an error of torch; None where it is of another kind."""
    if "use_reentrant" in said or "torch.utils.checkpoint" in said:
        return (
            "the classifier computes parts of itself again on the way back (torch.utils.checkpoint), which hides them; "
            "switch that off: it saves memory in training alone, and chunks save it here"
        )
    if "does not require grad" in said or "Inference tensors do not track" in said:
        return (
            "the classifier's logits have no gradient towards the images: somewhere it leaves autograd, by "
            "torch.no_grad, inference_mode, detach(), .data, NumPy or rounding; take that out of its forward"
        )
    held = list(chain(classifier.parameters(), classifier.buffers()))
    if "nference tensor" in said and any(tensor.is_inference() for tensor in held):
        return (
            "the classifier's weights were made under torch.inference_mode, and autograd cannot use them; make or load "
            "the classifier outside of it (torch.no_grad is no hindrance)"
        )
    weights = [tensor for tensor in held if tensor.is_floating_point()]
    if not given or not weights:
        return None
    images, kinds, places = given[0], {w.dtype for w in weights}, {w.device for w in weights}
    if "type" in said and images.dtype not in kinds:
        kind = weights[0].dtype
        cast = {torch.float32: "images.float()", torch.float64: "images.double()"}.get(kind, f"images.to({kind})")
        return f"the images are {images.dtype}, the classifier's weights {kind}; convert with {cast}"
    if ("device" in said or "type" in said) and images.device not in places:
        place = weights[0].device
        return f"the images are on {images.device}, the classifier on {place}; move them with images.to({str(place)!r})"
    return None


def _about_shape(said: str, classifier: nn.Module, shape: tuple[int, ...]) -> str:
    """What to do where a classifier fails on images `(B, C, H, W)` because of their shape."""
    takes = next((layer.in_channels for layer in classifier.modules() if isinstance(layer, nn.Conv2d)), shape[1])
    step = "give images of the size that it takes"
    if shape[1] != takes:
        step = f"its first convolution takes {takes} channels, and these have {shape[1]}"
        if shape[3] == takes:
            step += ": take images.permute(0, 3, 1, 2)"
        elif shape[1] == 1:
            step += f": for grey images, take images.repeat(1, {takes}, 1, 1)"
    return f"the classifier fails on images of shape {shape[1:]}: {said.strip().splitlines()[0]}; {step}"
