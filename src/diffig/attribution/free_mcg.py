"""FreeMCG (Kim et al., CVPR 2025): the gradient along the image manifold, without a derivative of the classifier.

The paper gives the direction; the number of particles, the noise and how particles are centred are not known for
feature attribution and are arguments here. The released code holds only counterfactuals, see
`diffig.generative.counterfactual`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.baselines import Baseline
from diffig.checks import check_at_least
from diffig.diffusion.ensemble import covariance_gradient, own_terms, residual
from diffig.diffusion.levels import ImageDenoiser, denoise, nearest_level, noised, share
from diffig.integration.integrate import Integral
from diffig.paths.generator import candidates
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class FreeMCG(Attributor):
    """The covariance of denoised particles with their logits, times `e_c - p`: a map of no contributions.

    The image is noised `K` times and denoised; the particles are moved so that their mean is the image, and shown to
    the classifier. `K` forward images for each noise, one more for `p`, none backward: any black box will do. The
    direction is that of the log-probability, whatever the objective of the score. Gap and absolute mass are NaN.

    Args:
        score, baseline, seed: as in `Attributor`; the baseline is not used.
        diffusion: an image diffusion model, see `diffig.generative.ImageDiffusion`.
        n_particles: `K`.
        noise: `sqrt(1 - a_t)` in (0, 1), how noisy the image is made before it is denoised; several are averaged.
        recentre: move the particles' mean to the image; without it they stay where the model puts them.
        per_particle: each particle is weighted by its own term alone, as the released counterfactuals are.
    """

    name = "free_mcg"
    asks_baseline = False

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        diffusion: ImageDenoiser,
        n_particles: int = 100,
        noise: float | Sequence[float] = 0.5,
        recentre: bool = True,
        per_particle: bool = False,
    ) -> None:
        super().__init__(score, baseline, seed)
        self.n_particles = check_at_least(n_particles, 2, "n_particles", "one particle has no covariance")
        self.noise = [float(value) for value in noise] if isinstance(noise, Sequence) else [float(noise)]
        if not self.noise or not all(0 < value < 1 for value in self.noise):
            raise ValueError(f"noise={noise} must lie in (0, 1): 0.3 keeps details, 0.8 only the gist of an image")
        self.diffusion, self.recentre, self.per_particle = diffusion, recentre, per_particle

    @property
    def multiplies_by_inputs(self) -> bool:
        """A direction and no contributions: the sum means nothing."""
        return False

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        if isinstance(self.diffusion, nn.Module):
            self.diffusion.to(images.device)
        residuals = residual(self.score.logits(images), targets)
        # As many images at a time as their particles fit into a chunk, or one.
        width = max(1, self.score.chunk_size // self.n_particles)
        indices = torch.tensor(streams.indices)
        parts = [
            self._direction(one, labels, wanted, Streams(streams.seed, own))
            for one, labels, wanted, own in zip(
                images.split(width), targets.split(width), residuals.split(width), indices.split(width), strict=True
            )
        ]
        unknown = images.new_full((len(images),), torch.nan)
        return Integral(torch.cat(parts), unknown, unknown.clone())

    def _direction(self, images: Tensor, targets: Tensor, residuals: Tensor, streams: Streams) -> Tensor:
        total = torch.zeros_like(images)
        for number, sigma in enumerate(self.noise):
            level = nearest_level(self.diffusion, sigma)
            drawn = streams.normal(tuple(images.shape[1:]), self.n_particles, f"free_mcg {number}").to(images)
            noisy = noised(candidates(images, self.n_particles), drawn, share(self.diffusion, level))
            found = denoise(self.diffusion, noisy, level, self.score.chunk_size)
            found = found.unflatten(0, (len(images), -1))
            if self.recentre:
                found = (images[:, None] + found - found.mean(1, keepdim=True)).clamp(0, 1)
            logits = self.score.logits(found.flatten(0, 1)).unflatten(0, (len(images), -1))
            particles = found.flatten(2)
            if self.per_particle:
                direction = own_terms(particles, logits, residual(logits, targets)).mean(1)
            else:
                direction = covariance_gradient(particles, logits, residuals[:, None])[:, 0]
            total += direction.view_as(images) / len(self.noise)
        return total
