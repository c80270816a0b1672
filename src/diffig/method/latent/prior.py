"""The trained prior over latent paths: DiffIG's denoiser over sequences whose ends are held."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from diffig.checks import check_choice
from diffig.diffusion.denoisers.dit1d import DiT1D
from diffig.diffusion.noise import NoiseSchedule, Prediction
from diffig.diffusion.prior import PathBatch, PathPrior, read_weights
from diffig.diffusion.sampler import Fresh, Push, Shift, ddim, ddpm
from diffig.renamed import old_arguments

Sampler = Literal["ddpm", "ddim"]


class Ends(NamedTuple):
    """Where sequences start and end, both `(N, d)`."""

    start: Tensor
    end: Tensor

    def hold(self, paths: Tensor) -> Tensor:
        """Return `paths` `(N, T + 1, d)` with first and last point put back."""
        return torch.cat([self.start[:, None].to(paths), paths[:, 1:-1], self.end[:, None].to(paths)], 1)

    def clip(self, paths: Tensor) -> Tensor:
        """Return `paths` `(N, T + 1, d)` with every coordinate between its ends, as all training paths have it."""
        low, high = torch.minimum(self.start, self.end)[:, None], torch.maximum(self.start, self.end)[:, None]
        return torch.minimum(torch.maximum(paths, low.to(paths)), high.to(paths))


@old_arguments(noise="noise_schedule", facts="training_metadata")
class LatentPrior(PathPrior):
    """Samples sequences `(N, T + 1, d)` between given ends.

    Args:
        denoiser: a `DiT1D`.
        prediction: `epsilon` (the paper's) or `v`.
        noise_schedule: of the training; the plain cosine on `M = 100` levels where none is given.
        training_metadata: what the file should tell (latent shape, concentrations, data, steps).
    """

    TRAIN_WITH = "diffig-train module=latent_diffusion"

    def __init__(
        self,
        denoiser: nn.Module,
        prediction: Prediction = "epsilon",
        noise_schedule: NoiseSchedule | None = None,
        training_metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(denoiser, prediction, noise_schedule or NoiseSchedule(levels=100), training_metadata)

    @classmethod
    @old_arguments(noise="noise_schedule")
    def new(
        cls,
        length: int,
        dim: int,
        prediction: Prediction = "epsilon",
        noise_schedule: NoiseSchedule | None = None,
        **denoiser: Any,
    ) -> LatentPrior:
        """Return an untrained prior for sequences of `length` points with `dim` coordinates; the rest is `DiT1D`'s."""
        return cls(DiT1D(length, dim, **denoiser), prediction, noise_schedule)

    @property
    def n_segments(self) -> int:
        """Segments `T` of the sequences it was trained on."""
        return int(self.denoiser.config["length"]) - 1  # type: ignore[index]

    def arguments(self, batch: PathBatch) -> tuple[Tensor, ...]:
        """Return the concentration `(B,)`, which the denoiser may have been built to ignore."""
        return (batch["concentration"],)

    def free(self, paths: Tensor) -> Tensor:
        """Return all but the first and the last point."""
        return paths[:, 1:-1]

    def hold(self, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return `noisy` with the exact ends."""
        return Ends(clean[:, 0], clean[:, -1]).hold(noisy)

    def check(self, batch: PathBatch, n_steps: int) -> tuple[dict[str, Tensor], Tensor]:
        """Return errors of the first two moments against the distribution, and the samples.

        `E gamma(t) = z' + t (z - z')` and `Var gamma_i(t) = t (1 - t) (z_i - z'_i)^2 / (1 + a)`; both errors are
        relative, the first to the root mean square way, the second to the variance, summed over coordinates.
        """
        clean, concentration = batch["clean"], batch["concentration"]
        ends = Ends(clean[:, 0], clean[:, -1])
        samples = self.sample(ends, batch["noise"], concentration, n_steps, sampler="ddim")
        way = (ends.end - ends.start)[:, None]
        knots = torch.linspace(0, 1, clean.shape[1], device=clean.device)[1:-1, None]
        apart = samples[:, 1:-1] - ends.start[:, None] - knots * way
        along = (apart * way).sum((0, 2)) / way.square().sum()
        expected = (knots * (1 - knots) * way.square() / (1 + concentration)[:, None, None]).sum((0, 2))
        ratio = apart.square().sum((0, 2)) / expected
        return {"mean": along.square().mean().sqrt(), "variance": (ratio - 1).square().mean().sqrt()}, samples

    def sample(
        self,
        ends: Ends,
        noise: Tensor,
        concentration: Tensor,
        n_steps: int = 100,
        *,
        sampler: Sampler = "ddpm",
        fresh: Fresh | None = None,
        shift: Shift | None = None,
        push: Push | None = None,
        clip: bool = True,
    ) -> Tensor:
        """Return sequences `(N, T + 1, d)` with exact ends.

        Args:
            ends: of each sequence.
            noise: standard normal `(N, T + 1, d)`.
            concentration: `(N,)`, for a denoiser that was built to listen.
            n_steps: denoising steps.
            sampler: `ddpm` draws `fresh` noise at each step, `ddim` is deterministic.
            fresh: step to noise; needed by `ddpm`.
            shift, push: guidance, see the samplers; both see sequences with exact ends.
            clip: keep predicted clean paths between their ends, coordinate by coordinate.
        """
        check_choice(sampler, Sampler, "sampler")

        def tidy(paths: Tensor) -> Tensor:
            return ends.hold(ends.clip(paths) if clip else paths)

        def denoise(noisy: Tensor, time: Tensor) -> Tensor:
            return tidy(self.clean(ends.hold(noisy), time, concentration))

        def shift_held(clean: Tensor, noisy: Tensor, step: int) -> Tensor:
            assert shift is not None
            return tidy(clean + shift(clean, ends.hold(noisy), step)) - clean

        def push_held(mean: Tensor, variance: Tensor, time: Tensor) -> Tensor:
            assert push is not None
            return push(ends.hold(mean), variance, time)

        bend, move = shift_held if shift else None, push_held if push else None
        if sampler == "ddim":
            return ends.hold(ddim(noise, denoise, self.noise_schedule, n_steps, bend, move, order=2))
        if fresh is None:
            raise ValueError("sampler=ddpm draws noise at each step: pass fresh, or choose sampler=ddim")
        return ends.hold(ddpm(noise, denoise, self.noise_schedule, fresh, n_steps, bend, move))

    @classmethod
    def load(cls, path: str | FilePath) -> LatentPrior:
        """Return the prior of a file written by `save`, in evaluation mode.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the file is no latent prior, or its weights fit another architecture.
        """
        advice = f"train one with `{cls.TRAIN_WITH}`"
        about, weights = read_weights(FilePath(path), "latent prior", advice)
        try:
            if about["kind"] != cls.__name__:
                raise KeyError(f"it holds a {about['kind']}")
            with torch.random.fork_rng(devices=[]):  # weights that are drawn only to be replaced
                denoiser = DiT1D(**about["denoiser"])
            denoiser.load_state_dict(weights)
            prior = cls(denoiser, about["prediction"], NoiseSchedule(**about["noise"]), about["facts"])
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(
                f"{path} is no latent prior that this version can read "
                f"({type(error).__name__}: {str(error).splitlines()[0]}); {advice}"
            ) from error
        return prior.eval().requires_grad_(False)
