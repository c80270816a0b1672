"""Noise schedules and what a denoiser predicts.

Notation (Salimans and Ho 2022): `z_t = alpha_t z + sigma_t eps`, `v = alpha_t eps - sigma_t z`, for `t` in [0, 1] and
`alpha_t^2 + sigma_t^2 = 1`.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from diffig.checks import check_at_least, check_choice

Prediction = Literal["v", "epsilon"]
Kind = Literal["cosine", "linear"]
LAST = 0.99  # where sampling starts; at t = 1 nothing of the signal is left and epsilon says nothing


class NoiseSchedule:
    """How much signal and how much noise there is at each time.

    Args:
        kind: `cosine`, `sigma_t / alpha_t = shift * tan(pi t / 2)` (Nichol and Dhariwal 2021), or `linear`, the
            variance preserving process of Ho, Jain and Abbeel (2020) in continuous time (Song et al. 2021).
        shift: of the cosine. Signals that many places share outlast noise that single places drown in; a shift above 1
            spends more of the time there (Hoogeboom, Heek and Salimans 2023).
        levels: `M`, the times that training uses; None for all.
    """

    def __init__(self, kind: Kind = "cosine", shift: float = 1.0, levels: int | None = None) -> None:
        check_choice(kind, Kind, "noise_schedule.kind")
        if not (math.isfinite(shift) and shift > 0):
            raise ValueError(f"noise_schedule.shift={shift} must be a positive number; 1 is the plain cosine")
        if levels is not None:
            check_at_least(levels, 1, "noise_schedule.levels", "noise levels; 100 is the paper's")
        self.kind, self.shift, self.levels = kind, float(shift), levels

    @property
    def config(self) -> dict[str, Any]:
        """The arguments that build it again."""
        return {"kind": self.kind, "shift": self.shift, "levels": self.levels}

    def __call__(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return `alpha_t` and `sigma_t` at `times` in [0, 1)."""
        if self.kind == "linear":
            low, high = 0.1, 20.0
            alpha = torch.exp(-times.square() * (high - low) / 4 - times * low / 2)
            return alpha, (1 - alpha.square()).clamp(min=0).sqrt()
        angle = torch.atan(self.shift * torch.tan(times * (math.pi / 2)))
        return torch.cos(angle), torch.sin(angle)

    def training_times(self, uniform: Tensor) -> Tensor:
        """Return times `(B,)` in (0, `LAST`] of numbers `(B,)` in [0, 1): the schedule's levels where it has some."""
        return LAST * (uniform if self.levels is None else (uniform * self.levels).floor().add(1) / self.levels)

    def grid(self, n_steps: int, like: Tensor) -> Tensor:
        """Return the falling times of a sampling, `(n_steps + 1,)` from `LAST` to 0, of the kind of `like`."""
        return torch.linspace(LAST, 0, n_steps + 1, device=like.device, dtype=like.dtype)


def target(clean: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor, prediction: Prediction) -> Tensor:
    """Return what the denoiser is trained to predict, shaped like `clean`."""
    check_choice(prediction, Prediction, "prediction")
    return alpha * noise - sigma * clean if prediction == "v" else noise


def clean_of(noisy: Tensor, output: Tensor, alpha: Tensor, sigma: Tensor, prediction: Prediction) -> Tensor:
    """Return the clean path that a denoiser's `output` stands for, shaped like `noisy`."""
    return alpha * noisy - sigma * output if prediction == "v" else (noisy - sigma * output) / alpha
