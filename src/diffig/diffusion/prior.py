"""What every trained prior over paths has: a denoiser, a noise schedule, a loss, and one file that holds it all."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path as FilePath
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from diffig.diffusion.noise import NoiseSchedule, Prediction, clean_of, target
from diffig.io import KEY, check_version, write_tensors
from diffig.renamed import old_attribute

PathBatch = dict[str, Tensor]
WEIGHTS_VERSION = 1


class PathPrior(nn.Module, ABC):
    """A denoiser of paths and what it takes to train it and to sample from it.

    Args:
        denoiser: predicts from `(noisy, times, *arguments)`; its `config` builds it again.
        prediction: `v` or `epsilon`.
        noise_schedule: how much noise there is at each time.
        training_metadata: what the file should tell about the distribution and the training.
    """

    TRAIN_WITH: ClassVar[str]
    """The command that trains such a prior, for messages."""

    def __init__(
        self,
        denoiser: nn.Module,
        prediction: Prediction,
        noise_schedule: NoiseSchedule,
        training_metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.denoiser, self.prediction, self.noise_schedule = denoiser, prediction, noise_schedule
        self.training_metadata = dict(training_metadata or {})

    @property
    @abstractmethod
    def n_segments(self) -> int:
        """Segments `T` of the paths it was trained on."""

    noise = old_attribute("noise", "noise_schedule")
    n_knots = old_attribute("n_knots", "n_segments")
    facts = old_attribute("facts", "training_metadata")

    @abstractmethod
    def arguments(self, batch: PathBatch) -> tuple[Tensor, ...]:
        """Return what the denoiser is told besides the noisy path and the time, each `(B,)`."""

    def free(self, paths: Tensor) -> Tensor:
        """Return the part of `paths` `(B, ...)` that is noised and learnt."""
        return paths

    def hold(self, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return `noisy` `(B, ...)` with the parts that are never noised put back from `clean`."""
        return noisy

    def loss(self, batch: PathBatch) -> Tensor:
        """Return the denoising error (scalar); all its randomness lies in the batch.

        Args:
            batch: `clean` and `noise` `(B, ...)`, `time` `(B,)` in [0, 1), and what `arguments` takes.
        """
        clean, noise = batch["clean"], batch["noise"]
        times = self.noise_schedule.training_times(batch["time"])
        alpha, sigma = (level.view(-1, *[1] * (clean.ndim - 1)) for level in self.noise_schedule(times))
        noisy = self.hold(alpha * clean + sigma * noise, clean)
        output = self.denoiser(noisy, times, *self.arguments(batch))
        wanted = target(clean, noise, alpha, sigma, self.prediction)
        return nn.functional.mse_loss(self.free(output), self.free(wanted))

    @abstractmethod
    def check(self, batch: PathBatch, n_steps: int) -> tuple[dict[str, Tensor], Tensor]:
        """Return errors of samples by name (scalars), and the samples, shaped like `batch["clean"]`."""

    @torch.no_grad()
    def clean(self, noisy: Tensor, time: Tensor, *arguments: Tensor) -> Tensor:
        """Return the predicted clean paths of `noisy` ones `(N, ...)` at one noise level."""
        alpha, sigma = self.noise_schedule(time)
        output = self.denoiser(noisy, time.expand(len(noisy)), *arguments)
        return clean_of(noisy, output, alpha, sigma, self.prediction)

    def save(self, path: str | FilePath, half: bool = False) -> None:
        """Write weights and description to a safetensors file; `half` stores float16."""
        about = {
            "kind": type(self).__name__,
            "denoiser": self.denoiser.config,
            "prediction": self.prediction,
            "noise": self.noise_schedule.config,
            "facts": self.training_metadata,  # the word of weights files
        }
        write_weights(self.denoiser, FilePath(path), about, half)


def write_weights(module: nn.Module, target: FilePath, about: dict[str, Any], half: bool = False) -> None:
    """Write weights and a description of them to one safetensors file; a kill leaves the old file or the new."""
    weights = {**module.state_dict()}
    if half:
        weights = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
    write_tensors(target, weights, {"diffig": json.dumps({KEY: WEIGHTS_VERSION, **about})})


def read_weights(path: FilePath, what: str, advice: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return description and float32 weights of a file that `write_weights` wrote.

    Args:
        path: the file.
        what, advice: of the messages: what it should hold, and what to do where it does not.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is broken, holds something else or is of a later diffig.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"no {what} at {path}; {advice}")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["diffig"])
            check_version(about, path, f"a {what}", WEIGHTS_VERSION)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no {what} ({type(error).__name__}: {error}); {advice}") from error
    return about, {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
