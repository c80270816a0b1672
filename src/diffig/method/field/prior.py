"""The trained prior over fields of progress; one small file serves every image, classifier and resolution."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path as FilePath
from typing import Any

import torch
from torch import Tensor, nn

from diffig.diffusion.noise import NoiseSchedule, Prediction
from diffig.diffusion.prior import PathBatch, PathPrior, read_weights
from diffig.diffusion.sampler import Push, Shift, ddim
from diffig.method.field.moments import moment_errors
from diffig.renamed import old_arguments

SHIPPED = str(files("diffig.method.field") / "prior.safetensors")


@old_arguments(noise="noise_schedule", facts="training_metadata")
class FieldPrior(PathPrior):
    """Samples whitened fields `(N, T - 1, h, w)` of the stick-breaking distribution.

    Args:
        denoiser: predicts from `(noisy, times, concentration, cell_size)`.
        prediction: `v` or `epsilon`.
        noise_schedule: of the training. Fields whose cells share one process keep their signal at noise levels where
            single places have lost theirs, hence the shift of 2.
        training_metadata: what the file should tell about the training (concentrations, cells, steps).
    """

    TRAIN_WITH = "diffig-train module=path_diffusion"

    def __init__(
        self,
        denoiser: nn.Module,
        prediction: Prediction = "v",
        noise_schedule: NoiseSchedule | None = None,
        training_metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(denoiser, prediction, noise_schedule or NoiseSchedule(shift=2.0), training_metadata)

    @property
    def n_segments(self) -> int:
        """Segments `T` of the fields it was trained on."""
        return int(self.denoiser.config["n_knots"])  # type: ignore[index]

    def arguments(self, batch: PathBatch) -> tuple[Tensor, ...]:
        """Return concentration and cell size `(B,)`."""
        return batch["concentration"], batch["cell_size"]

    def check(self, batch: PathBatch, n_steps: int) -> tuple[dict[str, Tensor], Tensor]:
        """Return how far samples are from the distribution's moments, and the samples."""
        samples = self.sample(batch["noise"], batch["concentration"], batch["cell_size"], n_steps)
        return moment_errors(samples, batch["cell_size"]), samples

    def sample(
        self,
        noise: Tensor,
        concentration: Tensor,
        cell_size: Tensor,
        n_steps: int = 10,
        shift: Shift | None = None,
        push: Push | None = None,
    ) -> Tensor:
        """Return fields `(..., T - 1, h, w)` from standard normal `noise` of that shape; see `ddim`.

        Args:
            noise: leading axes (images, bands) are folded for the denoiser and given back to guidance.
            concentration, cell_size: `(N,)` with `N` the first axis of `noise`.
            n_steps, shift, push: of the sampler.
        """
        lead = noise.shape[:-3]
        fold = int(torch.tensor(lead[1:]).prod()) if len(lead) > 1 else 1
        asked = concentration.to(noise).repeat_interleave(fold), cell_size.to(noise).repeat_interleave(fold)

        def denoise(noisy: Tensor, time: Tensor) -> Tensor:
            return self.clean(noisy.reshape(-1, *noise.shape[-3:]), time, *asked).view(noise.shape)

        return ddim(noise, denoise, self.noise_schedule, n_steps, shift, push)

    @classmethod
    def load(cls, path: str | FilePath | None = None) -> FieldPrior:
        """Return the prior of a file written by `save`, in evaluation mode; the shipped one where no path is given.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the file is no prior, or its weights fit another architecture.
        """
        return _load(str(path) if path else SHIPPED)


@lru_cache(maxsize=4)
def _load(path: str) -> FieldPrior:
    from diffig.diffusion.denoisers.unet import FieldUNet

    train = f"train one with `{FieldPrior.TRAIN_WITH}`"
    advice = f"{train} and give prior.path, or leave prior.path empty for the shipped one"
    about, weights = read_weights(FilePath(path), "prior", advice)
    try:
        if about.get("kind", cls := FieldPrior.__name__) != cls:
            raise KeyError(f"it holds a {about['kind']}")
        with torch.random.fork_rng(devices=[]):  # weights that are drawn only to be replaced
            denoiser = FieldUNet(n_segments=about["denoiser"].pop("n_knots"), **about["denoiser"])
        denoiser.load_state_dict(weights)
        noise = (
            NoiseSchedule(**about["noise"]) if "noise" in about else NoiseSchedule(shift=about.get("noise_shift", 2.0))
        )
        prior = FieldPrior(denoiser, about["prediction"], noise, about["facts"])
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"{path} is no prior that this version can read ({type(error).__name__}: {str(error).splitlines()[0]}); "
            + train
        ) from error
    return prior.eval().requires_grad_(False)
