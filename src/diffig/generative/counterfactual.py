"""Counterfactual images by FreeMCG (Kim et al., CVPR 2025): what would have to change for another class to be seen.

Notation of `diffig.diffusion.levels` and `diffig.diffusion.ensemble`. `K` particles are noised to a share `strength` of
the levels and denoised step by step (`eta = 1`). Each step from level `t` to `s` adds
`sqrt(a_t a_s) (step g - proximity l)` with `g = C_xf (e_c - p_k)`, `l = sign(x_k - x)`, both with the norm of the
particle's noise. The last step is left unguided, so that what comes out has been denoised; the result is the mean.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diffig.checks import check_at_least, check_images, check_indices, check_pixel_range, check_targets
from diffig.diffusion.ensemble import covariance_gradient, own_terms, residual
from diffig.diffusion.levels import CLEAN, ImageDenoiser, denoise, implied_noise, ladder, noised, reverse_step, share
from diffig.paths.generator import candidates
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class Counterfactual(NamedTuple):
    """What was found for each image.

    images: `(B, C, H, W)` in [0, 1].
    flipped: `(B,)` whether the classifier sees the target now.
    l1, l2: `(B,)` mean absolute and root mean square difference from the original, in pixel values.
    before, after: `(B, n)` probabilities of the original and of the counterfactual.
    trajectory: `(B, S)` mean probability of the target among the particles, step by step.
    """

    images: Tensor
    flipped: Tensor
    l1: Tensor
    l2: Tensor
    before: Tensor
    after: Tensor
    trajectory: Tensor


class CounterfactualSearch:
    """Finds counterfactuals by forward passes alone: `K * S + 2` images for each, none backward.

    Args:
        score: of the classifier; its chunk size bounds the memory.
        seed: of the noise, together with each image's index.
        diffusion: an image diffusion model, see `diffig.generative.ImageDiffusion`.
        n_particles: `K`.
        strength: in (0, 1], the share of the noise levels that the search goes back up; more changes more.
        n_steps: `S`, denoising steps.
        step: of the guidance.
        proximity: of the pull back to the image.
        per_particle: move each particle by its own term of the covariance alone, as the released code does.
    """

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        seed: int = 0,
        *,
        diffusion: ImageDenoiser,
        n_particles: int = 100,
        strength: float = 0.4,
        n_steps: int = 100,
        step: float = 0.2,
        proximity: float = 0.02,
        per_particle: bool = False,
    ) -> None:
        self.score = score if isinstance(score, ScoreFunction) else ScoreFunction(score)
        self.seed = int(seed)
        self.n_particles = check_at_least(n_particles, 2, "n_particles", "one particle has no covariance")
        if not 0 < strength <= 1:
            raise ValueError(f"strength={strength} must lie in (0, 1]; the paper's default is 0.4")
        if min(step, proximity) < 0:
            raise ValueError(f"step={step} and proximity={proximity} must be 0 or more; the paper has 0.2 and 0.02")
        self.diffusion, self.per_particle = diffusion, per_particle
        self.step, self.proximity = float(step), float(proximity)
        n_levels = len(diffusion.alpha_bar)
        self.levels = ladder(min(round(strength * n_levels), n_levels - 1), n_steps)

    def search(self, images: Tensor, targets: Tensor, indices: Tensor | None = None) -> Counterfactual:
        """Return a counterfactual of each image.

        Args:
            images: `(B, C, H, W)` in [0, 1].
            targets: `(B,)` the classes to be seen.
            indices: `(B,)` the images' dataset indices, the key of their randomness; 0 ... B - 1 otherwise.
        """
        check_images(images)
        check_pixel_range(images)
        targets = check_targets(targets, len(images))
        indices = torch.arange(len(images)) if indices is None else indices
        check_indices(indices, len(images))
        if isinstance(self.diffusion, nn.Module):
            self.diffusion.to(images.device)
        images = images.detach()
        width = max(1, self.score.chunk_size // self.n_particles)
        groups = zip(images.split(width), targets.split(width), indices.split(width), strict=True)
        parts = [self._descend(one, labels, Streams(self.seed, own)) for one, labels, own in groups]
        found, trajectory = (torch.cat(part) for part in zip(*parts, strict=True))
        before, after = self.score.logits(torch.cat([images, found])).softmax(1).chunk(2)
        difference = (found - images).flatten(1)
        lengths = difference.abs().mean(1), difference.square().mean(1).sqrt()
        return Counterfactual(found, after.argmax(1) == targets, *lengths, before, after, trajectory)

    def _descend(self, images: Tensor, targets: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
        """Counterfactuals, and the target's probability at each step."""
        shape, count = tuple(images.shape[1:]), self.n_particles
        repeated = candidates(images, count)
        drawn = streams.normal(shape, count, "counterfactual").to(images)
        noisy, probabilities = noised(repeated, drawn, share(self.diffusion, self.levels[0])), []
        for number, (level, following) in enumerate(pairwise(self.levels)):
            shares = share(self.diffusion, level), share(self.diffusion, following)
            found = denoise(self.diffusion, noisy, level, self.score.chunk_size)
            logits = self.score.logits(found).unflatten(0, (-1, count))
            probabilities.append(logits.softmax(2)[torch.arange(len(images)), :, targets].mean(1))
            if following == CLEAN:
                break
            noise = implied_noise(noisy, found, shares[0])
            guidance = self._guidance(found, logits, targets, noise, repeated)
            fresh = streams.normal(shape, count, f"counterfactual {number}").to(images)
            noisy = reverse_step(found, noise, shares, 1.0, fresh) + (shares[0] * shares[1]) ** 0.5 * guidance
        return found.unflatten(0, (-1, count)).mean(1), torch.stack(probabilities, 1)

    def _guidance(self, found: Tensor, logits: Tensor, targets: Tensor, noise: Tensor, original: Tensor) -> Tensor:
        terms = own_terms if self.per_particle else covariance_gradient
        particles = found.unflatten(0, (len(targets), -1)).flatten(2)
        direction = terms(particles, logits, residual(logits, targets)).flatten(0, 1).view_as(found)
        away = (found - original).sign()
        length = noise.flatten(1).norm(dim=1)
        return self.step * _scaled(direction, length) - self.proximity * _scaled(away, length)


def _scaled(directions: Tensor, lengths: Tensor) -> Tensor:
    """Directions `(N, C, H, W)` with the lengths `(N,)`; zero stays zero."""
    sizes = directions.flatten(1).norm(dim=1)
    factors = torch.where(sizes > 0, lengths / torch.where(sizes > 0, sizes, 1), 0)
    return directions * factors[:, None, None, None]
