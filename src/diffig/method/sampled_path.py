"""What field and latent DiffIG share: a trained prior, sampling steps, and networks that may guide them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diffig.checks import check_at_least
from diffig.diffusion.prior import PathPrior
from diffig.method.guidance.learned_guidance import LearnedGuidance
from diffig.paths.generator import PathGenerator
from diffig.paths.stick_breaking import draw_concentration
from diffig.randomness import Streams


class SampledPath(PathGenerator):
    """Paths sampled from a trained prior; subclasses say in which coordinates.

    Args:
        n_segments: `T` of the coordinates, which the prior must have been trained for.
        prior: the trained prior.
        learned: guidance by networks; none leaves the samples alone.
        sample_steps: `S`, denoising steps.
        concentration: asked of the prior, or a range drawn from for each path.

    Raises:
        ValueError: another number of segments, no steps, or networks trained on another noise schedule.
    """

    is_random = True

    def __init__(
        self,
        n_segments: int,
        prior: PathPrior,
        learned: LearnedGuidance | None,
        sample_steps: int,
        concentration: float | Sequence[float],
    ) -> None:
        if prior.n_segments != n_segments:
            raise ValueError(
                f"the prior was trained for {prior.n_segments} segments and the space has {n_segments}; set "
                f"n_segments={prior.n_segments} or train a prior with `{prior.TRAIN_WITH}`"
            )
        self.sample_steps = check_at_least(sample_steps, 1, "sample_steps", "denoising steps")
        self.concentration = concentration
        self.learned = learned or LearnedGuidance()
        self.learned.check_noise(prior.noise_schedule)

    def concentrations(self, streams: Streams, n_images: int, n_paths: int, like: Tensor) -> Tensor:
        """Return what is asked of each path, `(n_images * n_paths,)`, image-major, of the type and place of `like`."""
        drawn = [
            draw_concentration(streams.numpy(image, path, "concentration"), self.concentration)
            for image in range(n_images)
            for path in range(n_paths)
        ]
        return torch.tensor(drawn, device=like.device, dtype=like.dtype)
