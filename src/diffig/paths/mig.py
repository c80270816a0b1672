"""Manifold IG's path: a discrete geodesic of the decoder's image (Zaher et al. 2024, after Shao et al. 2018).

Notation: latents `z_0 ... z_T` with fixed ends, points `P_i = D(z_i)`, `dt = 1 / T`. The curve's energy is
`E = 1 / (2 dt) sum_i |P_{i+1} - P_i|^2`, its gradient `e_i = -J_D(z_i)^T (P_{i+1} - 2 P_i + P_{i-1}) / dt`, and a sweep
takes `z_i <- z_i - a e_i` at every inner point.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from diffig.checks import check_at_least, check_choice
from diffig.paths.codec import Codec, decode, pull_back
from diffig.paths.decoded import Ends
from diffig.paths.eig import LatentLinePath

Sweep = Literal["red_black", "gauss_seidel"]
TRIALS = 12  # of a step, before the point stays where it is


class LatentGeodesicPath(LatentLinePath):
    """The latent line, relaxed until its decoded length is shared out evenly and no longer falls.

    The energy joins neighbours only, so all odd points may move at once and then all even ones, each as if alone. This
    is the paper's one-after-another sweep in another order, for all images and half of the points in one batch.

    Args:
        autoencoder, ends: as in `LatentLinePath`.
        n_segments: `T`; the paper's 20.
        sweeps: at most so many; the paper's 300.
        step_size: `a`, with `line_search` only the first one tried; by default `dt / 2`, the best for a decoder that
            keeps lengths. The paper's is 5e-5 without a search.
        line_search: take the step that would be best were the decoder linear, which the trial before tells, and shorten
            it until the energy falls by a quarter of what the slope promises. The energy then never rises.
        tolerance: an image is done when a sweep lowers its energy by less than this share. The paper stops at
            `sum_i |e_i|^2 < 1000`, a number that belongs to its own images and autoencoder.
        sweep: `red_black`, or `gauss_seidel` for the paper's order, one point after another.
    """

    def __init__(
        self,
        autoencoder: Codec,
        n_segments: int = 20,
        ends: Ends = "overwrite",
        *,
        sweeps: int = 300,
        step_size: float | None = None,
        line_search: bool = True,
        tolerance: float = 1e-2,
        sweep: Sweep = "red_black",
    ) -> None:
        super().__init__(autoencoder, n_segments, ends)
        self.sweeps = check_at_least(sweeps, 0, "sweeps", "0 leaves the straight latent line")
        self.step_size = 0.5 / n_segments if step_size is None else float(step_size)
        if not self.step_size > 0:
            raise ValueError(f"step_size={step_size} must be positive; the paper's is 5e-5")
        check_choice(sweep, Sweep, "sweep")
        if not 0 <= tolerance < 1:
            raise ValueError(f"tolerance={tolerance} must lie in [0, 1); 0 takes every sweep")
        self.line_search, self.tolerance = bool(line_search), float(tolerance)
        inner = torch.arange(1, self.n_segments)
        self.groups = [inner[::2], inner[1::2]] if sweep == "red_black" else list(inner.split(1))
        self.groups = [group for group in self.groups if len(group)]

    def latents(self, images: Tensor, baselines: Tensor, chunk_size: int) -> Tensor:
        """Return the latents `(B, T + 1, c, h, w)` of the geodesics, exact at both ends."""
        return self.relax(super().latents(images, baselines, chunk_size), images.shape[1:], chunk_size)

    def energy(self, points: Tensor) -> Tensor:
        """Return `E` `(B,)` of decoded points `(B, T + 1, C, H, W)`."""
        return 0.5 * self.n_segments * points.diff(dim=1).square().flatten(1).sum(1)

    def relax(self, latents: Tensor, image_shape: torch.Size, chunk_size: int = 64) -> Tensor:
        """Return latents `(B, T + 1, c, h, w)` of lower energy between the same ends; `T + 1` images each are kept."""
        latents = latents.clone()
        points = decode(self.autoencoder, latents.flatten(0, 1), image_shape, chunk_size)
        points = points.unflatten(0, latents.shape[:2]).clone()
        sizes = torch.full_like(latents[:, :, 0, 0, 0], self.step_size)
        busy = torch.arange(len(latents), device=latents.device)
        for _ in range(self.sweeps if self.groups else 0):
            before = self.energy(points[busy])
            for group in self.groups:
                self._move(latents, points, sizes, busy, group.to(busy.device), chunk_size)
            busy = busy[before - self.energy(points[busy]) > self.tolerance * before]
            if not len(busy):
                break
        return latents

    def _move(
        self, latents: Tensor, points: Tensor, sizes: Tensor, busy: Tensor, group: Tensor, chunk_size: int
    ) -> None:
        """Move the points `group` of the images `busy`, in place; none of them is another's neighbour."""
        rows = busy.repeat_interleave(len(group))
        knots = group.repeat(len(busy))
        around = points[rows, knots - 1], points[rows, knots + 1]
        old, image = latents[rows, knots], points[rows, knots]
        slope = -self.n_segments * (around[0] + around[1] - 2 * image)
        gradient = pull_back(self.autoencoder, old, slope, chunk_size)
        promised = gradient.square().flatten(1).sum(1)
        size = sizes[rows, knots]
        waiting = torch.arange(len(rows), device=rows.device)
        for trial in range(TRIALS if self.line_search else 1):
            tried = old[waiting] - size[waiting, None, None, None] * gradient[waiting]
            made = decode(self.autoencoder, tried, image.shape[1:], chunk_size)
            good = torch.ones_like(waiting, dtype=torch.bool)
            if self.line_search:
                # The change of the energy, written with the step made and not as a difference of two large numbers.
                step = made - image[waiting]
                linear, square = ((step * part).flatten(1).sum(1) for part in (slope[waiting], self.n_segments * step))
                enough = linear + square < -0.25 * size[waiting] * promised[waiting]
                # What it would be least at, were the decoder linear.
                best = size[waiting] * (-0.5 * linear / square.clamp(min=torch.finfo(square.dtype).tiny))
                best = torch.where(best > 0, best, 0.5 * size[waiting]).clamp(max=100 * size[waiting])
                good = enough & (best < 2 * size[waiting]) if trial == 0 else enough
                better = torch.where(enough, best, torch.minimum(best, 0.5 * size[waiting]))
                sizes[rows[waiting], knots[waiting]] = size[waiting] = better
            chosen = waiting[good]
            latents[rows[chosen], knots[chosen]], points[rows[chosen], knots[chosen]] = tried[good], made[good]
            waiting = waiting[~good]
            if not len(waiting):
                return
        sizes[rows[waiting], knots[waiting]] = self.step_size
