"""Coordinates in which the published DiffIG generates paths: a sequence of points in an autoencoder's latent space.

Notation (Kim, Lee and Choi 2026): `z' = E(x')`, `z = E(x)` with `d` coordinates, a path `gamma_k`, `k = 0 ... T`, of
shape `(T + 1, d)` with `gamma_0 = z'` and `gamma_T = z`. Under stick-breaking every coordinate is
`gamma_i(t) = z'_i + F_i(t) (z_i - z'_i)` with a distribution function `F_i` of its own, so it never leaves the segment
between its ends.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from diffig.checks import check_at_least
from diffig.paths.codec import Codec
from diffig.paths.decoded import DecodedPath, Ends
from diffig.paths.stick_breaking import dirichlet_increments
from diffig.renamed import old_arguments, old_attribute


@old_arguments(n_knots="n_segments")
class LatentSpace:
    """Sequences of latents and the image paths they stand for.

    Args:
        autoencoder: encodes and decodes.
        n_segments: `T`, segments of a sequence.
        spacing: `time`, points at even times of the process, or `arc_length`, moved along the drawn path to even
            distances in latent space.
        ends: how the decoded path meets the exact images, see `DecodedPath`.
    """

    def __init__(
        self,
        autoencoder: Codec,
        n_segments: int = 16,
        spacing: Literal["time", "arc_length"] = "time",
        ends: Ends = "overwrite",
    ) -> None:
        if spacing not in ("time", "arc_length"):
            raise ValueError(f"spacing={spacing!r} is unknown; choose time or arc_length")
        self.autoencoder = autoencoder
        self.n_segments = check_at_least(n_segments, 2, "n_segments", "one segment leaves nothing to generate")
        self.spacing, self.ends = spacing, ends

    n_knots = old_attribute("n_knots", "n_segments")

    @torch.no_grad()
    def encode(self, images: Tensor, chunk_size: int = 64) -> Tensor:
        """Return flat latents `(B, d)` of images `(B, C, H, W)`."""
        return torch.cat([self.autoencoder.encode(part).flatten(1) for part in images.split(chunk_size)])

    def sequence(self, start: Tensor, end: Tensor, concentration: float, rng: np.random.Generator) -> Tensor:
        """Return one path `(T + 1, d)` drawn from the stick-breaking distribution between `start` and `end` `(d,)`."""
        masses = np.full(self.n_segments, 1 / self.n_segments)
        increments = dirichlet_increments(rng, concentration, masses, start.shape)
        progress = torch.from_numpy(increments.cumsum(0).clip(0, 1)).to(start)
        points = torch.cat([start[None], torch.lerp(start, end, progress)])
        points[-1] = end
        return even(points) if self.spacing == "arc_length" else points

    def grid(self, sequence: Tensor, images: Tensor) -> Tensor:
        """Return sequences `(N, T + 1, d)` as latents `(N, T + 1, c, h, w)` of `images` `(N, C, H, W)`."""
        channels, height, width = images.shape[1:]
        return sequence.unflatten(2, self.autoencoder.latent_shape((channels, height, width)))

    def path(self, images: Tensor, baselines: Tensor, sequence: Tensor) -> DecodedPath:
        """Return the image paths of sequences `(N, T + 1, d)` from `baselines` to `images` `(N, C, H, W)`."""
        return DecodedPath(images, baselines, self.grid(sequence, images), self.autoencoder.decode, self.ends)

    def progress(self, sequence: Tensor, images: Tensor) -> Tensor:
        """Return how far each place has come, `(N, 1, T + 1, h, w)`, 0 at the start and 1 at the end; differentiable.

        It is the way along the difference of the ends, over all channels of the place.
        """
        points = self.grid(sequence, images)
        way = (points[:, -1:] - points[:, :1]).detach()
        along = ((points - points[:, :1].detach()) * way).sum(2)
        return (along / way.square().sum(2).clamp(min=1e-6))[:, None]


def even(points: Tensor) -> Tensor:
    """Return the polygon `points` `(T + 1, d)` at `T + 1` places with even distances along it; both ends stay."""
    length = torch.cat([points.new_zeros(1), points.diff(dim=0).norm(dim=1).cumsum(0)])
    if length[-1] <= 0:
        return points
    wanted = torch.linspace(0, 1, len(points), device=points.device, dtype=points.dtype) * length[-1]
    upper = torch.searchsorted(length, wanted).clamp(1, len(points) - 1)
    span = length[upper] - length[upper - 1]
    share = ((wanted - length[upper - 1]) / torch.where(span > 0, span, 1)).clamp(0, 1)
    moved = torch.lerp(points[upper - 1], points[upper], share[:, None])
    moved[0], moved[-1] = points[0], points[-1]
    return moved
