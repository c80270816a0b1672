"""Deterministic sampling of fields, bent on the way by guidance of the predicted clean field.

Notation (Song, Meng and Ermon 2021, eta = 0): at each of `S` steps from `t` to `s < t`
1. the denoiser predicts the clean field `z_0` from `z_t`;
2. guidance shifts it, `z_0 <- z_0 + shift(z_0)`;
3. `eps = (z_t - alpha_t z_0) / sigma_t` is the noise that goes with it;
4. `z_s = alpha_s z_0 + sigma_s eps`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from diffig.checks import check_at_least
from diffig.diffusion.noise import LAST, cosine

Denoise = Callable[[Tensor, Tensor], Tensor]  # noisy field and scalar time -> clean field
Shift = Callable[[Tensor, int], Tensor]  # clean field and step -> what guidance adds


def ddim(noise: Tensor, denoise: Denoise, n_steps: int = 10, shift: Shift | None = None) -> Tensor:
    """Return clean fields shaped like `noise`; without `shift` the unguided sample.

    Args:
        noise: standard normal start.
        denoise: `(z_t, t) -> z_0`.
        n_steps: `S`, calls of the denoiser and of the guidance.
        shift: what guidance adds to the predicted clean field at a step; None leaves the sample bit for bit alone.
    """
    check_at_least(n_steps, 1, "n_steps", "denoising steps")
    times = torch.linspace(LAST, 0, n_steps + 1, device=noise.device, dtype=noise.dtype)
    alphas, sigmas = cosine(times)
    noisy = noise
    for step in range(n_steps):
        clean = denoise(noisy, times[step])
        if shift is not None:
            clean = clean + shift(clean, step)
        implied = (noisy - alphas[step] * clean) / sigmas[step]
        noisy = alphas[step + 1] * clean + sigmas[step + 1] * implied if step + 1 < n_steps else clean
    return noisy
