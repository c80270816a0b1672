"""Sampling: from noise to a path, step by step, bent on the way by guidance.

Notation: levels `t_0 > t_1 > ... > t_S = 0`; at each step from `t` to `s < t` the denoiser predicts the clean path
`z_0` from `z_t`, and guidance may shift it, `z_0 <- z_0 + shift(z_0, z_t)`. Then

* `ddim`, deterministic (Song, Meng and Ermon 2021): `z_s = alpha_s z_0 + sigma_s eps` with `eps` the noise that goes
  with `z_0`. Of second order `z_0` is first carried on along its change since the step before,
  `z_0 + (z_0 - z_0') h / (2 h')`, `h = lambda_s - lambda_t`, `lambda = log(alpha / sigma)` (DPM-Solver++ 2M, Lu et al.
  2022), at no further call. In ten steps DDIM loses a quarter of the variance, the second order a tenth.
* `ddpm`, ancestral (Ho, Jain and Abbeel 2020): `z_s ~ N(mu + push(mu), Sigma)` with mean and variance of
  `q(z_s | z_t, z_0)`. What DiffIG adds to the mean is `omega Sigma g(mu)` (Kim, Lee and Choi 2026).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from diffig.checks import check_at_least
from diffig.diffusion.noise import NoiseSchedule

Denoise = Callable[[Tensor, Tensor], Tensor]  # noisy path and scalar time -> clean path
Shift = Callable[
    [Tensor, Tensor, int], Tensor
]  # clean path, noisy path and step -> what guidance adds to the clean one
Push = Callable[[Tensor, Tensor, Tensor], Tensor]  # posterior mean, variance and time -> what guidance adds to the mean
Fresh = Callable[[int], Tensor]  # step -> standard normal noise


def ddim(
    noise: Tensor,
    denoise: Denoise,
    schedule: NoiseSchedule,
    n_steps: int = 10,
    shift: Shift | None = None,
    push: Push | None = None,
    order: int = 2,
) -> Tensor:
    """Return clean paths shaped like `noise`, deterministically.

    Args:
        noise: standard normal start.
        denoise: `(z_t, t) -> z_0`.
        schedule: of the noise.
        n_steps: `S`, calls of the denoiser and of the guidance.
        shift, push: guidance; None leaves the sample bit for bit alone. `push` gets half of the variance that `ddpm`
            has: without fresh noise that moves the distribution as far (Song et al. 2021, the probability flow).
        order: 1 is DDIM, 2 corrects it.
    """
    check_at_least(n_steps, 1, "n_steps", "denoising steps, sample_steps of a config")
    if order not in (1, 2):
        raise ValueError(f"order={order} is unknown; choose 1 (DDIM) or 2 (DPM-Solver++ 2M)")
    times = schedule.grid(n_steps, noise)
    alphas, sigmas = schedule(times)
    levels = (alphas / sigmas).log()
    noisy, before = noise, None
    for step in range(n_steps):
        clean = denoise(noisy, times[step])
        if shift is not None:
            clean = clean + shift(clean, noisy, step)
        if step + 1 == n_steps:
            return clean
        ahead = clean
        if order == 2 and before is not None:
            ratio = (levels[step + 1] - levels[step]) / (levels[step] - levels[step - 1])
            ahead = clean + (clean - before) * ratio / 2
        implied = (noisy - alphas[step] * ahead) / sigmas[step]
        following = alphas[step + 1] * ahead + sigmas[step + 1] * implied
        if push is not None:
            following = following + push(following, posterior(alphas, sigmas, step)[2] / 2, times[step])
        noisy, before = following, clean
    raise AssertionError("unreachable: n_steps is at least 1")


def ddpm(
    noise: Tensor,
    denoise: Denoise,
    schedule: NoiseSchedule,
    fresh: Fresh,
    n_steps: int = 100,
    shift: Shift | None = None,
    push: Push | None = None,
) -> Tensor:
    """Return clean paths shaped like `noise`, drawn step by step; arguments as in `ddim`.

    Args:
        noise, denoise, schedule, n_steps, shift, push: as in `ddim`.
        fresh: new noise for each step, shaped like `noise`.
    """
    check_at_least(n_steps, 1, "n_steps", "denoising steps, sample_steps of a config")
    times = schedule.grid(n_steps, noise)
    alphas, sigmas = schedule(times)
    noisy = noise
    for step in range(n_steps):
        clean = denoise(noisy, times[step])
        if shift is not None:
            clean = clean + shift(clean, noisy, step)
        if step + 1 == n_steps:
            return clean
        of_noisy, of_clean, variance = posterior(alphas, sigmas, step)
        mean = of_noisy * noisy + of_clean * clean
        if push is not None:
            mean = mean + push(mean, variance, times[step])
        noisy = mean + variance.sqrt() * fresh(step)
    raise AssertionError("unreachable: n_steps is at least 1")


def posterior(alphas: Tensor, sigmas: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the factors of `z_t` and of `z_0` in the mean of `q(z_s | z_t, z_0)`, and its variance, from `step` on.

    With `alpha_ts = alpha_t / alpha_s` and `sigma_ts^2 = sigma_t^2 - alpha_ts^2 sigma_s^2` they are
    `alpha_ts sigma_s^2 / sigma_t^2`, `alpha_s sigma_ts^2 / sigma_t^2` and `sigma_ts^2 sigma_s^2 / sigma_t^2`, scalars.

    Args:
        alphas, sigmas: `(S + 1,)` of the times of a sampling.
        step: of `t`; `s` is the next one.
    """
    ratio = alphas[step] / alphas[step + 1]
    lost = (sigmas[step].square() - ratio.square() * sigmas[step + 1].square()).clamp(min=0)
    whole, left = sigmas[step].square(), sigmas[step + 1].square()
    return ratio * left / whole, alphas[step + 1] * lost / whole, lost * left / whole
