"""A path from noise to the image, along the reverse chain of an image diffusion model guided by the classifier.

Notation of `diffig.diffusion.levels`: levels `t_0 > t_1 > ... > t_S` with `a_{t_S} = 1` (clean). The chain starts from
`eps_0 ~ N(0, I)` and goes on as the sampler does; `eps_k` is the noise that it finds in its own state at level `t_k`,
bent towards the target, `eps_k <- eps_k - omega sqrt(1 - a_k) |eps_k| g / |g|` with `g` the classifier's gradient at
the denoised state (classifier guidance, Dhariwal and Nichol 2021). The path puts that noise on the explained image:
`u_k = a_k^(e/2) u + (1 - a_k)^(e/2) eps_k`, so that the signal rises from 0 to 1 while the noise falls to 0.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from diffig.checks import check_at_least
from diffig.diffusion.levels import ImageDenoiser, denoise, implied_noise, ladder, reverse_step, share
from diffig.paths.generator import ExplainBatch, PathGenerator, candidates
from diffig.paths.path import PointPath
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class DenoisingPath(PathGenerator):
    """From a noise image to the image; where it starts is its own choice and not the baseline given.

    Noise leaves the range of pixels: every point is clamped to [0, 1], the nearest picture that a classifier may be
    shown. The path of clamped points is still continuous and ends exactly at the image.

    Args:
        denoiser: an image diffusion model.
        sample_steps: `S`, segments of the path and calls of the denoiser.
        exponent: `e`; the paper tried 0.5, 1 and 2.
        omega: strength of the guidance; each of its steps costs a gradient, 0 leaves the chain to itself.
        eta: 0 follows the chain without fresh noise, 1 draws it anew at each step (ancestral sampling).
    """

    is_random = True

    def __init__(
        self,
        denoiser: ImageDenoiser,
        sample_steps: int = 16,
        exponent: float = 1.0,
        omega: float = 0.3,
        eta: float = 0.0,
    ) -> None:
        self.sample_steps = check_at_least(sample_steps, 1, "sample_steps", "denoising steps")
        if exponent <= 0:
            raise ValueError(f"exponent={exponent} must be positive; the paper tried 0.5, 1 and 2")
        if omega < 0 or not 0 <= eta <= 1:
            raise ValueError(f"omega={omega} must be 0 or more and eta={eta} lie in [0, 1]")
        self.denoiser, self.exponent = denoiser, float(exponent)
        self.omega, self.eta = float(omega), float(eta)
        self.levels = ladder(len(denoiser.alpha_bar) - 1, self.sample_steps)

    @property
    def backward_images(self) -> int:
        """Gradients that one path costs."""
        return self.sample_steps - 1 if self.omega else 0

    def _generate(self, batch: ExplainBatch, n_paths: int, streams: Streams) -> PointPath:
        """Return the paths, `PointPath` of batch `B * n_paths`; `baselines` are not looked at."""
        images, targets, score = batch.images, batch.targets, batch.score
        shape = tuple(images.shape[1:])
        repeated, labels = candidates(images, n_paths), candidates(targets, n_paths)
        noise = streams.normal(shape, n_paths, "denoising").to(repeated)
        noisy, points = noise, [self._point(repeated, noise, 0.0)]
        for step, (level, following) in enumerate(pairwise(self.levels)):
            shares = share(self.denoiser, level), share(self.denoiser, following)
            found = denoise(self.denoiser, noisy, level, score.chunk_size)
            noise = implied_noise(noisy, found, shares[0])
            if step:  # the first point is pure noise, whatever the chain makes of it
                noise, found = self._guided(noisy, noise, found, shares[0], labels, score)
                points.append(self._point(repeated, noise, shares[0]))
            fresh = streams.normal(shape, n_paths, f"denoising {step}").to(noise) if self.eta else None
            noisy = reverse_step(found, noise, shares, self.eta, fresh)
        return PointPath(torch.stack([*points, repeated], 1))

    def _point(self, images: Tensor, noise: Tensor, signal: float) -> Tensor:
        power = self.exponent / 2
        inside = signal**power * (2 * images - 1) + (1 - signal) ** power * noise
        return ((inside + 1) / 2).clamp(0, 1)

    def _guided(
        self, noisy: Tensor, noise: Tensor, found: Tensor, signal: float, labels: Tensor, score: ScoreFunction
    ) -> tuple[Tensor, Tensor]:
        """The noise bent towards the target, and the image that goes with it."""
        if not self.omega:
            return noise, found
        gradient = score.value_and_grad(found, labels)[1]
        size = gradient.flatten(1).norm(dim=1)
        length = noise.flatten(1).norm(dim=1) * (self.omega * (1 - signal) ** 0.5)
        scale = torch.where(size > 0, length / torch.where(size > 0, size, 1), 0)
        noise = noise - scale[:, None, None, None] * gradient
        clean = (noisy - (1 - signal) ** 0.5 * noise) / signal**0.5
        return noise, ((clean + 1) / 2).clamp(0, 1)
