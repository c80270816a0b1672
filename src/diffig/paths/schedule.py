"""When each band of a basis moves: the base measure of its stick-breaking process.

Notation: `K` bands in order, path time `t` in [0, 1], window length `L`, overlap `w`. Band `b` moves in
`[s_b, s_b + L]` with `s_b = (1 - L) (b / (K - 1)) ** power` and `L = 1 / (1 + (K - 1)(1 - w))`; `w = 1` moves all
together, `w = 0` one after another. `H_b(t) = clip((t - s_b) / L, 0, 1)`.
"""

from __future__ import annotations

import torch
from torch import Tensor

ORDERS = ("together", "coarse_first", "fine_first")


class Schedule:
    """Windows of time for the bands of a basis.

    Args:
        order: `together`, `coarse_first` or `fine_first`.
        overlap: `w` in [0, 1], the share of a window that it has in common with the next.
        power: above 1 moves the windows' starts towards the beginning of the path, below 1 towards its end; the first
            and the last stay. Windows overlap by exactly `overlap` at 1 only; far from 1 no band may move for a while.
    """

    def __init__(self, order: str = "coarse_first", overlap: float = 0.4, power: float = 1.0) -> None:
        if order not in ORDERS:
            raise ValueError(f"schedule.order={order!r} is unknown; choose one of {list(ORDERS)}")
        if not 0 <= overlap <= 1:
            raise ValueError(f"schedule.overlap={overlap} must lie in [0, 1]; 1 moves all bands together")
        if power <= 0:
            raise ValueError(f"schedule.power={power} must be positive; 1 spaces the windows evenly")
        self.order, self.overlap, self.power = order, float(overlap), float(power)

    def windows(self, n_bands: int) -> tuple[Tensor, Tensor]:
        """Return the starts and ends `(K,)` of the windows in path time, bands coarsest first."""
        if self.order == "together" or n_bands == 1:
            return torch.zeros(n_bands), torch.ones(n_bands)
        length = 1 / (1 + (n_bands - 1) * (1 - self.overlap))
        starts = (1 - length) * (torch.arange(n_bands) / (n_bands - 1)) ** self.power
        if self.order == "fine_first":
            starts = starts.flip(0)
        return starts, starts + length

    def clock(self, times: Tensor, n_bands: int) -> Tensor:
        """Return `H_b(t)` `(len(times), K)` in [0, 1]: how far each band's own clock has run at path time `t`."""
        starts, ends = (bound.to(times) for bound in self.windows(n_bands))
        return ((times[:, None] - starts) / (ends - starts)).clamp(0, 1)
