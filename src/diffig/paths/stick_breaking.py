"""Random monotone paths: every feature's progress is the distribution function of a Dirichlet process.

Notation (Jeon, Jeong and Choi 2023): concentration `a` (their alpha), base measure `H` on [0, 1], `G ~ DP(a, H)`,
`gamma_i(t) = x'_i + F_G(t) (x_i - x'_i)`. On any grid of times the increments of `F_G` are exactly
`Dirichlet(a dH_1, ..., a dH_T)` (Ferguson 1973), so no stick need be broken: T Gamma draws, normalised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from diffig.checks import check_at_least
from diffig.paths.generator import ExplainBatch, PathGenerator, candidates
from diffig.paths.replayed import Progress, ReplayedIncrements, ReplayedPath
from diffig.randomness import Streams

Floats = NDArray[np.float64]


def dirichlet_increments(
    rng: np.random.Generator, concentration: float, masses: Floats, shape: Sequence[int]
) -> Floats:
    """Return increments `(T, *shape)` that sum to 1 along the first axis: the exact distribution on a grid.

    Args:
        rng: the random stream.
        concentration: `a > 0`; large values give the base measure itself, small ones a single jump.
        masses: `(T,)` what `H` puts on each interval of the grid; intervals of mass 0 get exactly 0.
        shape: features that draw independently.
    """
    order = (concentration * masses).reshape(-1, *[1] * len(shape))
    held = order > 0
    safe = np.where(held, order, 1.0)
    size = (len(masses), *shape)
    if safe.min() >= 0.1:
        weights = np.where(held, rng.standard_gamma(safe, size), 0.0)
        return weights / weights.sum(0)
    # Gamma(s) of a small s underflows, but its logarithm is that of Gamma(s + 1) plus log(U) / s (Stuart's identity).
    logs = np.log(rng.standard_gamma(safe + 1, size)) + np.log1p(-rng.random(size)) / safe
    logs = np.where(held, logs, -np.inf)
    weights = np.exp(logs - logs.max(0))
    return weights / weights.sum(0)


def truncated_increments(
    rng: np.random.Generator, concentration: float, masses: Floats, shape: Sequence[int], n_breaks: int = 200
) -> Floats:
    """Return increments `(T, *shape)` by breaking a stick `n_breaks` times (Sethuraman 1994), as the papers do.

    What is left of the stick, `(a / (1 + a)) ** n_breaks` on average, goes to one last place drawn from `H` like the
    others, so that the mean path stays `H` however early the stick is cut.
    """
    fractions = rng.beta(1.0, concentration, (n_breaks, *shape))
    remaining = np.cumprod(1 - fractions, 0)
    pieces = np.concatenate([fractions[:1], fractions[1:] * remaining[:-1], remaining[-1:]])
    places = np.searchsorted(np.cumsum(masses)[:-1], rng.random(pieces.shape), side="right")
    increments = np.zeros((len(masses), *shape))
    for piece, place in zip(pieces, places, strict=True):
        np.put_along_axis(increments, place[None], np.take_along_axis(increments, place[None], 0) + piece, 0)
    return increments


def spread_cells(
    rng: np.random.Generator, cell_size: int, height: int, width: int
) -> tuple[int, int, NDArray[np.intp]]:
    """Return rows and columns of a coarse grid of cells and the index `(height, width)` of each place's cell.

    The grid is shifted at random, so that no border between cells is special.
    """
    shift = rng.integers(cell_size, size=2) if cell_size > 1 else np.zeros(2, dtype=np.int64)
    rows = (np.arange(height) + shift[0]) // cell_size
    columns = (np.arange(width) + shift[1]) // cell_size
    n_columns = int(columns[-1]) + 1
    return int(rows[-1]) + 1, n_columns, rows[:, None] * n_columns + columns[None]


def draw_concentration(rng: np.random.Generator, concentration: float | Sequence[float]) -> float:
    """Return the concentration, drawn log-uniformly where a range `(low, high)` is given."""
    low, high = (concentration, concentration) if isinstance(concentration, int | float) else concentration
    if not 0 < low <= high or not math.isfinite(high):
        raise ValueError(f"concentration={concentration} must be positive and finite, or a range (low, high) of such")
    return float(low * (high / low) ** rng.random()) if high > low else float(low)


class StickBreakingPath(PathGenerator):
    """Stick-breaking paths: independent for each feature, or shared by the features of a cell.

    Args:
        n_segments: `T`.
        concentration: `a`, or a range from which each path draws log-uniformly; 10 is SPI's best, DiffIG uses 1 to 20.
        cell_size: side of the squares that share one process; a list draws one of its sizes for each path.
        channels: `separate` (the paper's: every channel of every pixel on its own) or `shared`.
        masses: `(T,)` base measure on the segments; uniform where none is given.
        construction: `exact` (Dirichlet increments) or `truncated` (sticks, as in the papers).
    """

    is_random = True

    def __init__(
        self,
        n_segments: int = 128,
        concentration: float | Sequence[float] = 10.0,
        cell_size: int | Sequence[int] = 1,
        channels: str = "separate",
        masses: Sequence[float] | None = None,
        construction: str = "exact",
    ) -> None:
        self.n_segments = check_at_least(n_segments, 1, "n_segments", "a path needs at least one segment")
        if channels not in ("separate", "shared"):
            raise ValueError(f"channels={channels!r} is unknown; choose separate or shared")
        if construction not in ("exact", "truncated"):
            raise ValueError(f"construction={construction!r} is unknown; choose exact or truncated")
        draw_concentration(np.random.default_rng(0), concentration)
        self.concentration, self.channels, self.construction = concentration, channels, construction
        self.cell_sizes = [cell_size] if isinstance(cell_size, int) else list(cell_size)
        base = np.full(n_segments, 1 / n_segments) if masses is None else np.asarray(masses, dtype=np.float64)
        if base.shape != (n_segments,) or (base < 0).any() or not math.isclose(base.sum(), 1, rel_tol=1e-6):
            raise ValueError(f"masses {base.shape} must be {n_segments} numbers of at least 0 that sum to 1")
        self.masses = base / base.sum()

    def progress(self, rng: np.random.Generator, channels: int, height: int, width: int) -> NDArray[np.float32]:
        """Return one draw of the progress field, `(T + 1, channels, height, width)`, rising from 0 to 1."""
        concentration, n_cells, cells = self._law(rng, height, width)
        draw = dirichlet_increments if self.construction == "exact" else truncated_increments
        increments = draw(rng, concentration, self.masses, (channels, n_cells))
        alpha = np.zeros((self.n_segments + 1, channels, n_cells), dtype=np.float32)
        np.clip(np.cumsum(increments, 0), 0, 1, out=increments)
        alpha[1:] = increments
        alpha[-1] = 1
        return alpha[:, :, cells]

    def _law(self, rng: np.random.Generator, height: int, width: int) -> tuple[float, int, NDArray[np.intp]]:
        """The concentration, the number of cells and the cell `(height, width)` of each place of one draw."""
        concentration = draw_concentration(rng, self.concentration)
        cell_size = int(rng.choice(self.cell_sizes)) if len(self.cell_sizes) > 1 else self.cell_sizes[0]
        rows, columns, cells = spread_cells(rng, cell_size, height, width)
        return concentration, rows * columns, cells

    def _generate(self, batch: ExplainBatch, n_paths: int, streams: Streams) -> ReplayedPath:
        """Return random monotone paths of batch `B * n_paths` that draw `progress` again instead of holding it.

        No score is evaluated. With `construction=truncated` the increments are held, memory that grows with `T`.
        """
        images, baselines = batch.images, batch.baselines
        channels = images.shape[1] if self.channels == "separate" else 1
        draw = ReplayedIncrements if self.construction == "exact" else truncated_increments
        progress, cells = [], []
        for image, path in product(range(len(images)), range(n_paths)):
            rng = streams.numpy(image, path, "stick_breaking")
            concentration, n_cells, own = self._law(rng, *images.shape[-2:])
            increments = draw(rng, concentration, self.masses, (channels, n_cells))
            progress.append(Progress(increments, self.n_segments))
            cells.append(own)
        return ReplayedPath(candidates(images, n_paths), candidates(baselines, n_paths), progress, cells)
