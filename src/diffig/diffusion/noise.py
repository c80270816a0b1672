"""The noise schedule and what a denoiser predicts.

Notation (Salimans and Ho 2022): `z_t = alpha_t z + sigma_t eps`, `alpha_t = cos(pi t / 2)`, `sigma_t = sin(pi t / 2)`,
`v = alpha_t eps - sigma_t z`, for `t` in [0, 1].
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

Prediction = Literal["v", "epsilon"]
LAST = 0.99  # where sampling starts; at t = 1 nothing of the signal is left and epsilon says nothing


def cosine(times: Tensor) -> tuple[Tensor, Tensor]:
    """Return `alpha_t` and `sigma_t` at `times` in [0, 1]."""
    angle = times * (math.pi / 2)
    return torch.cos(angle), torch.sin(angle)


def target(clean: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor, prediction: Prediction) -> Tensor:
    """Return what the denoiser is trained to predict, shaped like `clean`."""
    if prediction not in get_args(Prediction):
        raise ValueError(f"prediction={prediction!r} is unknown; choose one of {list(get_args(Prediction))}")
    return alpha * noise - sigma * clean if prediction == "v" else noise


def clean_of(noisy: Tensor, output: Tensor, alpha: Tensor, sigma: Tensor, prediction: Prediction) -> Tensor:
    """Return the clean field that a denoiser's `output` stands for."""
    return alpha * noisy - sigma * output if prediction == "v" else (noisy - sigma * output) / alpha
