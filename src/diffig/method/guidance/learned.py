"""Learned guidance: a network that predicts from a noisy path how good the clean one is (Kim, Lee and Choi 2026)."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any, Literal

import torch
from torch import Tensor, nn

from diffig.checks import check_choice
from diffig.diffusion.denoisers.dit1d import DiT1DRegressor
from diffig.diffusion.noise import NoiseSchedule
from diffig.diffusion.prior import read_weights, write_weights
from diffig.renamed import old_arguments, old_attribute

Quantity = Literal["faithfulness", "complexity"]
ADVICE = "train one with `diffig-train module=path_score module.quantity={quantity}`"


@old_arguments(schedule="noise_schedule", facts="training_metadata")
class PathScore(nn.Module):
    """Predicts one quantity of the clean path from a noisy one, in standard deviations of its training labels.

    Faithfulness lies within 1 of 0 and entropy between 0 and 12; standardised, a guidance strength means the same for
    both.

    Args:
        regressor: predicts `(N,)` from noisy paths `(N, L, d)` and times `(N,)`; its `config` builds it again.
        quantity: `faithfulness` (higher is better) or `complexity` (entropy of |A| in nats).
        mean, std: of the training labels; `mean + std * prediction` is in the quantity's own unit.
        noise_schedule: of its training.
        space: what the paths are, as their labels say it.
        training_metadata: what the file should tell about labels and training.
        chunk_size: paths whose gradient is taken at a time; memory follows it.
    """

    def __init__(
        self,
        regressor: nn.Module,
        quantity: Quantity = "faithfulness",
        mean: float = 0.0,
        std: float = 1.0,
        noise_schedule: NoiseSchedule | None = None,
        space: dict[str, Any] | None = None,
        training_metadata: dict[str, Any] | None = None,
        chunk_size: int = 256,
    ) -> None:
        super().__init__()
        check_choice(quantity, Quantity, "quantity")
        if not std > 0:
            raise ValueError(f"std={std} of {quantity} must be positive; labels that are all alike teach nothing")
        self.regressor, self.quantity = regressor, quantity
        self.mean, self.std = float(mean), float(std)
        self.noise_schedule = NoiseSchedule() if noise_schedule is None else noise_schedule
        self.space, self.training_metadata = dict(space or {}), dict(training_metadata or {})
        self.chunk_size = chunk_size

    schedule = old_attribute("schedule", "noise_schedule")
    facts = old_attribute("facts", "training_metadata")

    def forward(self, noisy: Tensor, times: Tensor) -> Tensor:
        """Return standardised predictions `(N,)` for noisy paths `(N, L, d)` at times `(N,)`."""
        prediction: Tensor = self.regressor(noisy, times)
        return prediction

    def gradient(self, noisy: Tensor, times: Tensor) -> Tensor:
        """Return the gradient `(N, L, d)` of the standardised prediction in the noisy paths.

        It works in callers without gradients too, and leaves the gradients of the parameters alone.
        """
        gradients = []
        with torch.inference_mode(False), torch.enable_grad():
            for paths, moments in zip(noisy.split(self.chunk_size), times.split(self.chunk_size), strict=True):
                leaf = paths.detach().clone().requires_grad_()  # a clone leaves inference mode
                (gradient,) = torch.autograd.grad(self(leaf, moments.detach().clone()).sum(), leaf)
                gradients.append(gradient)
        return torch.cat(gradients)

    def save(self, path: str | FilePath) -> None:
        """Write weights and description to a safetensors file, whole or not at all."""
        about = {
            "kind": type(self).__name__,
            "regressor": self.regressor.config,
            "quantity": self.quantity,
            "mean": self.mean,
            "std": self.std,
            "schedule": self.noise_schedule.config,
            "space": self.space,
            "facts": self.training_metadata,
        }
        write_weights(self.regressor, FilePath(path), about)

    @classmethod
    def load(cls, path: str | FilePath, quantity: Quantity | None = None) -> PathScore:
        """Return the path score of a file written by `save`, in evaluation mode and without gradients of its weights.

        Args:
            path: the file.
            quantity: what it should predict; None takes what is there.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the file is no path score, its weights fit another architecture, or it predicts something else.
        """
        advice = ADVICE.format(quantity=quantity or "faithfulness")
        about, weights = read_weights(FilePath(path), "path score", advice)
        try:
            if about["kind"] != cls.__name__:
                raise KeyError(f"it holds a {about['kind']}")
            with torch.random.fork_rng(devices=[]):  # weights that are drawn only to be replaced
                regressor = DiT1DRegressor(**about["regressor"])
            regressor.load_state_dict(weights)
            schedule = NoiseSchedule(**about["schedule"])
            parts = about["quantity"], about["mean"], about["std"], schedule, about["space"], about["facts"]
            score = cls(regressor, *parts)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"{path} is no path score that this version can read "
                f"({type(error).__name__}: {str(error).splitlines()[0]}); {advice}"
            ) from error
        if quantity not in (None, score.quantity):
            raise ValueError(f"{path} predicts {score.quantity}, not {quantity}; {advice}")
        return score.eval().requires_grad_(False)
