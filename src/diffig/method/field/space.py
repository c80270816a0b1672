"""Coordinates in which paths are generated: the field of progress, whitened.

Notation: basis with bands `b`, knots `u_k = k / T` of each band's *own clock*, progress `D_b(u)` on an `h x w` grid,
concentration `a`. Under stick-breaking `E D(u) = u` and `Cov(D(u), D(v)) = u (1 - v) / (1 + a)` for `u <= v`,
a Brownian bridge's up to the scale. With its Cholesky factor `L L^T`, `z = sqrt(1 + a) L^-1 (D - u)` has mean 0,
variance 1 and no correlation in time, whatever the image, classifier or resolution.
A schedule turns own clocks into path time, `alpha_b(t) = D_b(H_b(t))`: it is the base measure of the band's process.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffig.checks import check_at_least
from diffig.paths.basis import Basis, LaplacianBasis
from diffig.paths.path import AlphaPath
from diffig.paths.schedule import Schedule
from diffig.renamed import old_arguments, old_attribute


@old_arguments(n_knots="n_segments")
class FieldSpace:
    """Monotone fields of progress and their whitened residual to the straight line.

    Args:
        basis: the linear coordinates of the difference image.
        schedule: when each band moves.
        n_segments: `T`, intervals of a band's own clock.
        grid: `(h, w)` of the field; it is enlarged to the image.
    """

    def __init__(
        self,
        basis: Basis | None = None,
        schedule: Schedule | None = None,
        n_segments: int = 16,
        grid: tuple[int, int] = (8, 8),
    ) -> None:
        self.basis = basis or LaplacianBasis()
        self.schedule = schedule or Schedule()
        self.n_segments = check_at_least(n_segments, 2, "n_segments", "one interval leaves nothing to generate")
        self.grid = (int(grid[0]), int(grid[1]))
        starts, ends = self.schedule.windows(self.basis.n_bands)
        # Enough points that every band has its own knots' resolution inside its window.
        self.path_segments = max(self.n_segments, round(self.n_segments / float((ends - starts).min())))

    n_knots = old_attribute("n_knots", "n_segments")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape `(bands, T - 1, h, w)` of one whitened field."""
        return (self.basis.n_bands, self.n_segments - 1, *self.grid)

    def encode(self, progress: Tensor, concentration: Tensor) -> Tensor:
        """Return the whitened residual `(..., T - 1, h, w)` of progress `(..., T + 1, h, w)`.

        Args:
            progress: values of the field at the knots.
            concentration: broadcastable to the leading axes.
        """
        line, factor, scale = self._law(progress, concentration)
        residual = (progress[..., 1:-1, :, :] - line).flatten(-2)
        white = torch.linalg.solve_triangular(factor, residual, upper=False)
        return white.unflatten(-1, progress.shape[-2:]) * scale

    def decode(self, field: Tensor, concentration: Tensor) -> Tensor:
        """Return progress `(..., T + 1, h, w)` from 0 to 1 for a whitened field `(..., T - 1, h, w)`; differentiable.

        Values are clamped to [0, 1] and sorted along the clock (the monotone rearrangement), so any field is a path.
        """
        line, factor, scale = self._law(field, concentration)
        residual = (factor @ field.flatten(-2)).unflatten(-1, field.shape[-2:]) / scale
        inner = (line + residual).clamp(0, 1).sort(dim=-3).values
        ends = torch.zeros_like(inner[..., :1, :, :])
        return torch.cat([ends, inner, ends + 1], -3)

    def alpha(self, progress: Tensor, times: Tensor) -> Tensor:
        """Return `alpha` `(B, n, bands, h, w)` at `n` path times in [0, 1] of progress `(B, bands, T + 1, h, w)`."""
        clock = self.schedule.clock(times, self.basis.n_bands).T * self.n_segments  # (bands, len(times))
        lower = clock.floor().clamp(max=self.n_segments - 1)
        band = torch.arange(self.basis.n_bands, device=progress.device)[:, None]
        below, above = progress[:, band, lower.long()], progress[:, band, lower.long() + 1]
        return torch.lerp(below, above, (clock - lower)[None, :, :, None, None]).transpose(1, 2)

    def path(self, images: Tensor, baselines: Tensor, progress: Tensor, components: Tensor | None = None) -> AlphaPath:
        """Return the paths of progress `(B, bands, T + 1, h, w)` from `baselines` to `images` `(B, C, H, W)`.

        `components` `(B, bands, C, H, W)` saves splitting the difference once more where it is known.
        """
        times = torch.linspace(0, 1, self.path_segments + 1, device=images.device, dtype=images.dtype)
        alpha = self.alpha(progress, times).clone()
        alpha[:, -1] = 1  # a window may end a rounding error after the path
        parts = self.basis.components(images - baselines) if components is None else components
        return AlphaPath(images, baselines, alpha, parts)

    def _law(self, like: Tensor, concentration: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The mean at the inner knots, the Cholesky factor of the bridge's covariance, and `sqrt(1 + a)`."""
        knots = torch.arange(1, self.n_segments, device=like.device, dtype=torch.float64) / self.n_segments
        bridge = torch.minimum(knots[:, None], knots) * (1 - torch.maximum(knots[:, None], knots))
        factor = torch.linalg.cholesky(bridge).to(like.dtype)
        concentration = concentration.to(like)
        concentration = concentration.reshape(*concentration.shape, *[1] * (like.ndim - concentration.ndim))
        return knots.to(like.dtype)[:, None, None], factor, (1 + concentration).sqrt()
