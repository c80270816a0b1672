"""The noise schedule and what a denoiser predicts.

Notation (Salimans and Ho 2022): `z_t = alpha_t z + sigma_t eps`, `v = alpha_t eps - sigma_t z`, for `t` in [0, 1], on
the cosine schedule `sigma_t / alpha_t = shift * tan(pi t / 2)`. Fields whose cells share one process keep their signal
at noise levels where single places have lost theirs; the shift spends more of the time there (Hoogeboom, Heek and
Salimans 2023).
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

Prediction = Literal["v", "epsilon"]
SHIFT = 2.0
LAST = 0.99  # where sampling starts; at t = 1 nothing of the signal is left and epsilon says nothing


def cosine(times: Tensor) -> tuple[Tensor, Tensor]:
    """Return `alpha_t` and `sigma_t` at `times` in [0, 1)."""
    angle = torch.atan(SHIFT * torch.tan(times * (math.pi / 2)))
    return torch.cos(angle), torch.sin(angle)


def target(clean: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor, prediction: Prediction) -> Tensor:
    """Return what the denoiser is trained to predict, shaped like `clean`."""
    if prediction not in get_args(Prediction):
        raise ValueError(f"prediction={prediction!r} is unknown; choose one of {list(get_args(Prediction))}")
    return alpha * noise - sigma * clean if prediction == "v" else noise


def clean_of(noisy: Tensor, output: Tensor, alpha: Tensor, sigma: Tensor, prediction: Prediction) -> Tensor:
    """Return the clean field that a denoiser's `output` stands for."""
    return alpha * noisy - sigma * output if prediction == "v" else (noisy - sigma * output) / alpha
