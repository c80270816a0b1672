"""Noisy images at the discrete levels of an image diffusion model, and the step from one level to a cleaner one.

Notation (Ho, Jain and Abbeel 2020; Song, Meng and Ermon 2021): `u = 2 x - 1` an image in [-1, 1], levels
`t = 0 ... T - 1`, `a_t` the share of signal (alpha-bar, falling in `t`), `u_t = sqrt(a_t) u + sqrt(1 - a_t) eps`.
Level -1 is the clean image, `a_{-1} = 1`.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

CLEAN = -1


class ImageDenoiser(Protocol):
    """What a diffusion model of images must offer.

    alpha_bar: `(T,)` the share of signal `a_t` of each level.
    """

    alpha_bar: Tensor

    def denoised(self, noisy: Tensor, levels: int | Tensor) -> Tensor:
        """Return the expected image `(B, C, H, W)`, in pixels and not clamped, behind `noisy` in units of [-1, 1]."""
        ...


def share(denoiser: ImageDenoiser, level: int) -> float:
    """Return `a_t` of one level; 1 for the clean image."""
    return 1.0 if level == CLEAN else float(denoiser.alpha_bar[level])


def nearest_level(denoiser: ImageDenoiser, sigma: float) -> int:
    """Return the level whose noise `sqrt(1 - a_t)` comes nearest to `sigma`."""
    return int(((1 - denoiser.alpha_bar.double()).sqrt() - sigma).abs().argmin())


def ladder(first: int, n_steps: int) -> list[int]:
    """Return `n_steps` levels, falling evenly from `first`, and the clean one behind them."""
    if not 1 <= n_steps <= first + 1:
        raise ValueError(
            f"{n_steps} steps down from noise level {first}: choose 1 to {first + 1}, or start from a higher level"
        )
    return [first - step * (first + 1) // n_steps for step in range(n_steps + 1)]


def noised(images: Tensor, noise: Tensor, level_share: float) -> Tensor:
    """Return `u_t` of images in [0, 1] and standard normal noise, all `(B, C, H, W)`; `level_share` is `a_t`."""
    return math.sqrt(level_share) * (2 * images - 1) + math.sqrt(1 - level_share) * noise


def implied_noise(noisy: Tensor, images: Tensor, level_share: float) -> Tensor:
    """Return the noise `eps` in `noisy` `u_t`, given what was denoised: `images` in [0, 1], all `(B, C, H, W)`."""
    return (noisy - math.sqrt(level_share) * (2 * images - 1)) / math.sqrt(1 - level_share)


def reverse_step(
    images: Tensor, noise: Tensor, shares: tuple[float, float], eta: float, fresh: Tensor | None
) -> Tensor:
    """Return `u_s` at the cleaner level `s`, given what was denoised at level `t` (Song, Meng and Ermon 2021, eq. 12).

    Args:
        images: denoised, `(B, C, H, W)` in pixels; `noise` and `fresh` are shaped like them.
        noise: that goes with them.
        shares: `a_t` and `a_s`.
        eta: 0 is DDIM, 1 the ancestral step of DDPM.
        fresh: standard normal noise; may be None where `eta` is 0.
    """
    before, after = shares
    spread = eta * math.sqrt((1 - after) / (1 - before) * (1 - before / after))
    moved = math.sqrt(after) * (2 * images - 1) + math.sqrt(max(1 - after - spread**2, 0.0)) * noise
    return moved if fresh is None or spread == 0 else moved + spread * fresh


@torch.no_grad()
def denoise(denoiser: ImageDenoiser, noisy: Tensor, level: int, chunk_size: int) -> Tensor:
    """Return the denoised images `(B, C, H, W)` clamped to [0, 1], `chunk_size` at a time."""
    return torch.cat([denoiser.denoised(part, level) for part in noisy.split(chunk_size)]).clamp(0, 1)
