"""DiffIG's guidance: the gradients of two networks move a noisy path to more faithfulness and less complexity.

Notation (Kim, Lee and Choi 2026): `J_1` faithfulness and `J_2` complexity of the clean path, both standardised,
`g = lambda_faith grad J_1 + lambda_comp grad J_2`, global scale `omega`.
* `posterior_mean` (the paper): `z_s ~ N(mu + omega Sigma g(mu), Sigma)`.
* `epsilon` (the planner codes that the method descends from): `eps <- eps - omega sigma_t g(z_t)`, which moves the
  predicted clean path by `omega sigma_t^2 / alpha_t g(z_t)`. The two differ by a factor that depends on the level, so
  strengths of one mean nothing to the other.
"""

from __future__ import annotations

import math
from pathlib import Path as FilePath
from typing import Literal

import torch
from torch import Tensor

from diffig.checks import check_choice
from diffig.diffusion.noise import NoiseSchedule
from diffig.method.guidance.learned import PathScore, Quantity

Form = Literal["posterior_mean", "epsilon"]


class LearnedGuidance:
    """Strengths and networks; a network whose strength is 0 is neither read nor asked.

    Args:
        lambda_faith: towards faithful attributions; the paper tries 0 to 1000.
        lambda_comp: towards complex ones; negative asks for sparse maps. The paper tries -100 to 100.
        omega: scale of both; the paper's is 1.
        form: `posterior_mean` or `epsilon`.
        faithfulness, complexity: `PathScore`s or the paths of their files.
    """

    def __init__(
        self,
        lambda_faith: float = 0.0,
        lambda_comp: float = 0.0,
        omega: float = 1.0,
        form: Form = "posterior_mean",
        faithfulness: PathScore | str | FilePath | None = None,
        complexity: PathScore | str | FilePath | None = None,
    ) -> None:
        for name, value in (("lambda_faith", lambda_faith), ("lambda_comp", lambda_comp), ("omega", omega)):
            if not math.isfinite(value):
                raise ValueError(f"learned.{name}={value} must be a finite number; 0 turns it off")
        check_choice(form, Form, "learned.form")
        self.omega, self.form = float(omega), form
        self.strengths = {"lambda_faith": float(lambda_faith), "lambda_comp": float(lambda_comp)}
        given: tuple[tuple[float, Quantity, PathScore | str | FilePath | None], ...] = (
            (float(lambda_faith), "faithfulness", faithfulness),
            (float(lambda_comp), "complexity", complexity),
        )
        self.terms = [(strength, _ready(score, quantity)) for strength, quantity, score in given if strength * omega]

    @property
    def active(self) -> bool:
        """Whether anything is guided."""
        return bool(self.terms)

    @property
    def pushes(self) -> bool:
        """Whether it moves the mean of each step, as the paper says."""
        return self.active and self.form == "posterior_mean"

    @property
    def shifts(self) -> bool:
        """Whether it moves the predicted clean path."""
        return self.active and self.form == "epsilon"

    def check_noise(self, noise_schedule: NoiseSchedule) -> None:
        """Raise ValueError where a network was trained on another noise schedule than `noise_schedule`."""
        for _, score in self.terms:
            if score.noise_schedule.config != noise_schedule.config:
                raise ValueError(
                    f"the network for {score.quantity} was trained on the noise {score.noise_schedule.config} and the "
                    f"path model on {noise_schedule.config}; train it with the same module.noise_schedule"
                )

    def gradient(self, noisy: Tensor, time: Tensor) -> Tensor:
        """Return `g` `(N, T + 1, d)` for sequences of that shape at one noise level."""
        times = time.expand(len(noisy))
        total = torch.zeros_like(noisy)
        for strength, score in self.terms:
            total += strength * score.to(noisy.device).gradient(noisy, times)
        return total

    def quality(self, sequences: Tensor) -> Tensor:
        """Return `J = lambda_faith J_1 + lambda_comp J_2` `(N,)` of clean sequences: what guidance climbs."""
        times = torch.zeros(len(sequences), device=sequences.device, dtype=sequences.dtype)
        with torch.no_grad():
            values = [strength * score.to(sequences.device)(sequences, times) for strength, score in self.terms]
        return torch.stack(values).sum(0)


def _ready(score: PathScore | str | FilePath | None, quantity: Quantity) -> PathScore:
    if score is None:
        raise ValueError(
            f"guidance towards {quantity} needs its trained network; set learned.{quantity} to the "
            f"path_score.safetensors of `diffig-train module=path_score module.quantity={quantity}`, or its lambda to 0"
        )
    if not isinstance(score, PathScore):
        return PathScore.load(score, quantity)
    if score.quantity != quantity:
        raise ValueError(f"the network given for {quantity} predicts {score.quantity}")
    return score
