"""Random progress drawn again from its seed whenever a point is asked for: no point is stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffig.paths.path import Path, blend

Floats = NDArray[np.float64]


class ReplayedIncrements:
    """The rows of `dirichlet_increments`, replayed from the state of their random stream.

    They are the same to the last bit where more than one feature draws; a single one is summed in another order. Held
    are the state and one or two numbers for each feature, and each pass over the rows draws them anew. Making the
    object takes one pass, or three where an order is below 0.1.

    Args:
        rng, concentration, masses, shape: as in `dirichlet_increments`.
    """

    def __init__(self, rng: np.random.Generator, concentration: float, masses: Floats, shape: Sequence[int]) -> None:
        self._orders, self._shape = [float(order) for order in concentration * masses], tuple(shape)
        self._is_small = min(order or 1.0 for order in self._orders) < 0.1
        self._gammas = _copy(rng)
        if self._is_small:
            for _ in self._drawn(rng):  # the uniform numbers come after all of these
                pass
            self._uniforms = _copy(rng)
            self._largest = reduce(np.maximum, self._logarithms(rng))
        self._total = reduce(np.add, self._weights())

    def __iter__(self) -> Iterator[Floats]:
        return (weights / self._total for weights in self._weights())

    def _drawn(self, rng: np.random.Generator) -> Iterator[Floats]:
        """Gamma variables, of one order more where orders are small; also where nothing is held."""
        for order in self._orders:
            yield rng.standard_gamma((order or 1.0) + self._is_small, self._shape)

    def _logarithms(self, uniforms: np.random.Generator) -> Iterator[Floats]:
        for order, drawn in zip(self._orders, self._drawn(_copy(self._gammas)), strict=True):
            logs = np.log(drawn) + np.log1p(-uniforms.random(self._shape)) / (order or 1.0)
            yield logs if order > 0 else np.full_like(logs, -np.inf)

    def _weights(self) -> Iterator[Floats]:
        if self._is_small:
            yield from (np.exp(logs - self._largest) for logs in self._logarithms(_copy(self._uniforms)))
        else:
            for order, drawn in zip(self._orders, self._drawn(_copy(self._gammas)), strict=True):
                yield drawn if order > 0 else np.zeros_like(drawn)


def _copy(rng: np.random.Generator) -> np.random.Generator:
    """A generator in the same state that goes its own way."""
    bits = type(rng.bit_generator)()
    bits.state = rng.bit_generator.state
    return np.random.Generator(bits)


class Progress:
    """Progress `(T + 1, K, n)` from 0 to 1, the running sum of increments, read forwards; a look back begins anew.

    Args:
        increments: the `T` rows `(K, n)`, which may be gone through again and again.
        n_segments: `T`.
    """

    def __init__(self, increments: Iterable[Floats], n_segments: int) -> None:
        self.increments, self.n_segments = increments, n_segments
        self._begin()

    def _begin(self) -> None:
        self._rows, self._first = self._running_sum(), 0
        self._window: list[NDArray[np.float32]] = []

    def _running_sum(self) -> Iterator[NDArray[np.float32]]:
        total: Floats | float = 0.0
        for number, increment in enumerate(self.increments, 1):
            if number == 1:
                yield np.zeros(increment.shape, dtype=np.float32)
            total = total + increment
            row = np.clip(total, 0, 1) if number < self.n_segments else np.ones_like(total)
            yield row.astype(np.float32)

    def rows(self, first: int, last: int) -> NDArray[np.float32]:
        """Return the rows `first` to `last`; these are held until the next call, in case it asks for some of them."""
        if first < self._first:
            self._begin()
        while self._first < first and self._window:
            self._window.pop(0)
            self._first += 1
        while self._first < first:
            next(self._rows)
            self._first += 1
        self._window += islice(self._rows, max(0, last + 1 - first - len(self._window)))
        return np.stack(self._window[: last + 1 - first])


class ReplayedPath(Path):
    """A path whose places progress as `Progress` says, the features of a cell together.

    Args:
        images, baselines: `(N, C, H, W)`.
        progress: of each path, `K` is 1 or `C`.
        cells: of each path, the index `(H, W)` of each place's cell among the `n`.
    """

    def __init__(
        self, images: Tensor, baselines: Tensor, progress: Sequence[Progress], cells: Sequence[NDArray[np.intp]]
    ) -> None:
        super().__init__(images, baselines, progress[0].n_segments)
        self._progress = list(progress)
        self._cells = [torch.from_numpy(index).to(images.device) for index in cells]
        self._difference = images - baselines

    @property
    def alpha(self) -> Tensor:
        """The whole field of progress `(N, T + 1, K, H, W)`, as an `AlphaPath` holds it; memory grows with `T`."""
        steps = torch.arange(self.n_segments + 1, device=self.images.device)
        lower = steps.clamp(max=self.n_segments - 1).expand(len(self), -1)
        return self._alpha(lower, (steps - lower).to(self.images))

    def _between(self, lower: Tensor, fraction: Tensor) -> Tensor:
        return blend(self._alpha(lower, fraction), self.baselines, self._difference)

    def _alpha(self, lower: Tensor, fraction: Tensor) -> Tensor:
        """Progress `(N, J, K, H, W)` at `fraction` of the way from row `lower` to the next, both `(N, J)`."""
        found = []
        spans = zip(lower.amin(1).tolist(), lower.amax(1).tolist(), strict=True)
        for (first, last), own, part, progress, cells in zip(
            spans, lower, fraction[..., None, None], self._progress, self._cells, strict=True
        ):
            rows = torch.from_numpy(progress.rows(first, last + 1)).to(self.images)
            found.append(torch.lerp(rows[own - first], rows[own - first + 1], part)[..., cells])
        return torch.stack(found)
