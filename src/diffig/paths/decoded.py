"""A path in an autoencoder's latent space, whose points are decoded when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from diffig.checks import check_choice
from diffig.paths.codec import check_decoded
from diffig.paths.path import Path

Ends = Literal["overwrite", "residual", "decoded"]


def check_ends(ends: Ends) -> Ends:
    """Return `ends`; raise where it is none."""
    check_choice(ends, Ends, "ends")
    return ends


class DecodedPath(Path):
    """Straight in pixels between decoded points.

    An autoencoder does not give images back exactly, so a decoded path misses its ends. `overwrite` puts the exact
    images in place of the first and last point (DiffIG), which leaves the whole error of reconstruction to the first
    and the last segment. `residual` spreads it: `P_k = D(z_k) + (1 - k / T) (x' - D(z_0)) + (k / T) (x - D(z_T))`.
    `decoded` lets reconstructions be the ends, as published code does: the path then explains `F(D(z_T)) - F(D(z_0))`,
    and since `F(x) - F(x')` was asked for, these images are its `intended` ones and the gap is measured against them.

    Args:
        images, baselines: `(N, C, H, W)`.
        latents: `(N, T + 1, c, h, w)`.
        decode: latents `(n, c, h, w)` to images `(n, C, H, W)`; differentiable, and asked for `chunk_size` at a time.
        ends: `overwrite`, `residual` or `decoded`.
        chunk_size: bound of the decoder's batch.
    """

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
        check_ends(ends)
        super().__init__(images, baselines, latents.shape[1] - 1)
        self.latents, self.decode, self.ends, self.chunk_size = latents, decode, ends, chunk_size
        self._missed: tuple[Tensor, Tensor] | None = None
        if ends == "decoded":
            self.intended = baselines, images
            self.baselines, self.images = self._decoded_end(0), self._decoded_end(-1)

    def decoded(self, rows: Tensor, knots: Tensor) -> Tensor:
        """Return the path's points `(n, C, H, W)` at the knots `knots` of the paths `rows`, both `(n,)`."""
        parts = [
            self.decode(self.latents[row, knot])
            for row, knot in zip(rows.split(self.chunk_size), knots.split(self.chunk_size), strict=True)
        ]
        points = torch.cat(parts)
        return self.tied(points, rows, knots.to(points) / self.n_segments)

    def tied(self, points: Tensor, rows: Tensor, share: Tensor) -> Tensor:
        """Return decoded points `(n, C, H, W)` of the paths `rows`, tied to the ends; `share` `(n,)` is in [0, 1]."""
        check_decoded(points, self.images.shape[1:])
        share = share[:, None, None, None]
        if self.ends == "residual":
            if self._missed is None:
                self._missed = self.baselines - self._decoded_end(0), self.images - self._decoded_end(-1)
            start, end = self._missed
            points = points + (1 - share) * start[rows] + share * end[rows]
        return torch.where(share <= 0, self.baselines[rows], torch.where(share >= 1, self.images[rows], points))

    @torch.no_grad()
    def _decoded_end(self, knot: int) -> Tensor:
        end = torch.cat([self.decode(part) for part in self.latents[:, knot].split(self.chunk_size)])
        check_decoded(end, self.images.shape[1:])
        return end

    def _between(self, lower: Tensor, fraction: Tensor) -> Tensor:
        # Neighbouring positions share knots: each is decoded once.
        rows = torch.arange(len(self), device=lower.device)[:, None]
        flat = torch.stack([lower, lower + 1]) + rows * (self.n_segments + 1)
        needed, places = flat.unique(return_inverse=True)
        points = self.decoded(needed // (self.n_segments + 1), needed % (self.n_segments + 1))
        below, above = points[places]
        return torch.lerp(below, above, fraction[..., None, None, None])
