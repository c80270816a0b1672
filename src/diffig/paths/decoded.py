"""A path told in an autoencoder's latent space and decoded where it is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from diffig.paths.path import Path

Ends = Literal["overwrite", "residual"]


class DecodedPath(Path):
    """Straight in pixels between decoded points; exact at both ends.

    An autoencoder does not give images back exactly, so a decoded path misses its ends. `overwrite` puts the exact
    images in place of the first and last point (DiffIG), which leaves the whole error of reconstruction to the first
    and the last segment. `residual` spreads it: `P_k = D(z_k) + (1 - k / T) (x' - D(z_0)) + (k / T) (x - D(z_T))`.

    Args:
        images, baselines: `(N, C, H, W)`.
        latents: `(N, T + 1, c, h, w)`.
        decode: latents `(n, c, h, w)` to images `(n, C, H, W)`; differentiable, and asked for `chunk_size` at a time.
        ends: `overwrite` or `residual`.
        chunk_size: bound of the decoder's batch.
    """

    is_monotone = False

    def __init__(
        self,
        images: Tensor,
        baselines: Tensor,
        latents: Tensor,
        decode: Callable[[Tensor], Tensor],
        ends: Ends = "overwrite",
        chunk_size: int = 64,
    ) -> None:
        if latents.ndim != 5 or len(latents) != len(images) or latents.shape[1] < 2:
            raise ValueError(
                f"latents has shape {tuple(latents.shape)}; it must be ({len(images)}, T + 1, c, h, w) with T >= 1"
            )
        if ends not in get_args(Ends):
            raise ValueError(f"ends={ends!r} is unknown; choose one of {list(get_args(Ends))}")
        super().__init__(images, baselines, latents.shape[1] - 1)
        self.latents, self.decode, self.ends, self.chunk_size = latents, decode, ends, chunk_size
        self._missed: tuple[Tensor, Tensor] | None = None

    def decoded(self, rows: Tensor, knots: Tensor) -> Tensor:
        """Return the path's points `(n, C, H, W)` at the knots `knots` of the paths `rows`, both `(n,)`."""
        parts = [
            self.decode(self.latents[row, knot])
            for row, knot in zip(rows.split(self.chunk_size), knots.split(self.chunk_size), strict=True)
        ]
        points = torch.cat(parts)
        if points.shape[1:] != self.images.shape[1:]:
            raise ValueError(
                f"the decoder makes images {tuple(points.shape[1:])} and the path's are {tuple(self.images.shape[1:])}"
                "; use the autoencoder that was trained on these images"
            )
        if self.ends == "residual":
            start, end = self._residuals()
            share = (knots / self.n_segments).to(points)[:, None, None, None]
            points = points + (1 - share) * start[rows] + share * end[rows]
        first, last = (knots == 0)[:, None, None, None], (knots == self.n_segments)[:, None, None, None]
        return torch.where(first, self.baselines[rows], torch.where(last, self.images[rows], points))

    def _residuals(self) -> tuple[Tensor, Tensor]:
        if self._missed is None:
            with torch.no_grad():
                first, last = (
                    torch.cat([self.decode(part) for part in self.latents[:, knot].split(self.chunk_size)])
                    for knot in (0, -1)
                )
            self._missed = self.baselines - first, self.images - last
        return self._missed

    def _between(self, lower: Tensor, fraction: Tensor) -> Tensor:
        # Neighbouring positions share knots: each is decoded once.
        rows = torch.arange(len(self), device=lower.device)[:, None]
        flat = torch.stack([lower, lower + 1]) + rows * (self.n_segments + 1)
        needed, places = flat.unique(return_inverse=True)
        points = self.decoded(needed // (self.n_segments + 1), needed % (self.n_segments + 1))
        below, above = points[places]
        return torch.lerp(below, above, fraction[..., None, None, None])
