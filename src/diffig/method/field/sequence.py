"""Fields of progress as sequences, so that networks which read latent sequences read them too.

A field has `T - 1` inner knots of `bands * h * w` numbers and does not say which image it moves. Between two ends that
do, baseline and image averaged to the field's grid, it is a sequence `(T + 1, d)` like a latent one: the ends are held
and known, the middle is what is sampled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, pad

from diffig.method.field.space import FieldSpace
from diffig.paths.path import AlphaPath
from diffig.paths.stick_breaking import StickBreakingPath
from diffig.renamed import old_attribute


class FieldSequence:
    """Whitened fields between the images they join.

    Args:
        field: the coordinates.
        concentration: that whitened sequences are decoded with; training draws from it alone.
        cell_size: side of the cells that share one process, in places of the grid.
    """

    spacing = "time"

    def __init__(self, field: FieldSpace | None = None, concentration: float = 1.0, cell_size: int = 2) -> None:
        self.field = field or FieldSpace()
        self.concentration, self.cell_size = float(concentration), int(cell_size)
        self.n_segments = self.field.n_segments
        self.autoencoder = None  # nothing is encoded

    n_knots = old_attribute("n_knots", "n_segments")

    @property
    def description(self) -> dict[str, Any]:
        """What a set of labels depends on."""
        basis, schedule = self.field.basis, self.field.schedule
        plan = [schedule.order, schedule.overlap, schedule.power]
        return {
            "field": [type(basis).__name__, list(self.field.shape), plan, self.concentration, self.cell_size],
        }

    @property
    def dim(self) -> int:
        """Numbers of one point of a sequence."""
        bands, _, height, width = self.field.shape
        return bands * height * width

    def encode(self, images: Tensor, chunk_size: int = 64) -> Tensor:
        """Return images `(B, C, H, W)` averaged to the grid, flat and filled up with zeros, `(B, d)`."""
        flat = adaptive_avg_pool2d(images, self.field.grid).flatten(1)
        if flat.shape[1] > self.dim:
            raise ValueError(
                f"{images.shape[1]} channels do not fit a field of {self.field.shape[0]} bands; take a basis with more"
            )
        return pad(flat, (0, self.dim - flat.shape[1]))

    def join(self, field: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """Return the sequences `(N, T + 1, d)` of fields `(N, bands, T - 1, h, w)` between ends `(N, d)`."""
        return torch.cat([start[:, None], field.transpose(1, 2).flatten(2), end[:, None]], 1)

    def inner(self, sequence: Tensor) -> Tensor:
        """Return the fields `(N, bands, T - 1, h, w)` of sequences `(N, T + 1, d)`."""
        bands, _, height, width = self.field.shape
        return sequence[:, 1:-1].unflatten(2, (bands, height, width)).transpose(1, 2)

    def sequence(self, start: Tensor, end: Tensor, concentration: float, rng: np.random.Generator) -> Tensor:
        """Return one sequence `(T + 1, d)` drawn from the distribution between `start` and `end` `(d,)`.

        Args:
            start, end: what `encode` says of baseline and image.
            concentration: must be the space's own, see `LatentPathData.concentration`.
            rng: the random stream.
        """
        if abs(concentration - self.concentration) > 1e-6 * self.concentration:
            raise ValueError(
                f"concentration={concentration:g} was drawn and these sequences are decoded with "
                f"{self.concentration:g}; set latents.concentration to [{self.concentration:g}, {self.concentration:g}]"
            )
        distribution = StickBreakingPath(self.n_segments, concentration, self.cell_size)
        bands, _, height, width = self.field.shape
        progress = torch.from_numpy(distribution.progress(rng, bands, height, width)).transpose(0, 1)
        field = self.field.encode(progress, torch.full((bands,), concentration))
        return self.join(field[None].to(start), start[None], end[None])[0]

    def path(self, images: Tensor, baselines: Tensor, sequence: Tensor) -> AlphaPath:
        """Return the image paths of sequences `(N, T + 1, d)` from `baselines` to `images` `(N, C, H, W)`."""
        field = self.inner(sequence)
        concentration = torch.full((len(field),), self.concentration, device=field.device)
        return self.field.path(images, baselines, self.field.decode(field, concentration))
