"""Any network as a classifier of pixels in [0, 1]: what goes in is normalised, what comes out is read as logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from diffig.notebook.preprocessing import Preprocessing

KEYS = ("logits", "out", "prediction_logits")


class Network(nn.Module):
    """Float32 logits `(B, K)` of float32 images `(B, C, H, W)` in [0, 1], whatever the model's own type and output.

    Args:
        model: returns logits as a tensor, in a tuple, a dictionary, or an object with `logits`.
        preprocessing: what is done to pixels before the model sees them.
        name: what rows of results call it.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, name: str | None = None) -> None:
        super().__init__()
        training = model.training
        self.net = model
        self.normalise = preprocessing.inside
        self.name = name or type(model).__name__.lower()
        for buffer, values in (("mean", preprocessing.mean), ("std", preprocessing.std)):
            self.register_buffer(buffer, torch.tensor(values, device=self.device).view(-1, 1, 1))
        self.train(training)

    @property
    def device(self) -> torch.device:
        """Where the model's first weights are."""
        return next((tensor.device for tensor in _floats(self.net)), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The type of the model's first weights."""
        return next((tensor.dtype for tensor in _floats(self.net)), torch.float32)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits; one number for each image is the logit of class 0, and everything else has one of 0."""
        logits = logits_of(self.net(self.normalise(images).to(self.dtype))).float()
        if logits.shape == (len(images),):
            logits = logits[:, None]
        if logits.ndim == 4 and logits.shape[2:] == (1, 1):
            logits = logits.flatten(1)
        return nn.functional.pad(logits, (0, 1)) if self._is_single(logits) else logits

    def outputs(self, image: Tensor) -> int:
        """Return how many numbers the model gives for one image `(1, C, H, W)`."""
        training = [module for module in self.modules() if module.training]
        self.eval()
        try:
            with torch.no_grad():
                return logits_of(self.net(self.normalise(image).to(self.dtype))).numel()
        finally:
            for module in training:
                module.training = True

    @staticmethod
    def _is_single(logits: Tensor) -> bool:
        return logits.ndim == 2 and logits.shape[1] == 1


class OneLabel(nn.Module):
    """One label of a multi-label network: class 0 with the probability `sigmoid(logit)`, and everything else.

    Args:
        network: logits of all labels.
        label: which.
    """

    def __init__(self, network: Network, label: int) -> None:
        super().__init__()
        self.network, self.label = network, label
        self.name, self.mean, self.std = network.name, network.mean, network.std

    def forward(self, images: Tensor) -> Tensor:
        """Return `(B, 2)`, the label's logit and 0."""
        return nn.functional.pad(self.network(images)[:, self.label, None], (0, 1))


def logits_of(output: Any) -> Tensor:
    """Return the logits in what a model returned.

    Raises:
        TypeError: it holds none, or several things of which none is called logits.
    """
    if isinstance(output, Tensor):
        return output
    if isinstance(getattr(output, "logits", None), Tensor):
        return output.logits
    if isinstance(output, Mapping):
        held = {key: value for key, value in output.items() if isinstance(value, Tensor)}
        for key in (*KEYS, *(held if len(held) == 1 else ())):
            if key in held:
                return held[key]
        raise TypeError(
            f"the model returned a dictionary of {list(output)} and none is called logits; wrap it in a module whose "
            "forward returns the logits"
        )
    if isinstance(output, tuple | list) and output and isinstance(output[0], Tensor):
        return output[0]
    raise TypeError(
        f"the model returned a {type(output).__name__} without logits; wrap it in a module whose forward returns them"
    )


def _floats(module: nn.Module) -> Any:
    return (tensor for tensor in [*module.parameters(), *module.buffers()] if tensor.is_floating_point())
