"""The error of sampled fields against the moments of the stick-breaking distribution.

Of a whitened field `z`: mean 0; variance 1; no correlation in time; correlation of neighbouring places, the chance
`(c - 1) / c` that a randomly shifted grid of cells of side `c` puts them into one cell.
"""

from __future__ import annotations

import torch
from torch import Tensor


def moment_errors(fields: Tensor, cell_size: Tensor) -> dict[str, Tensor]:
    """Return root mean square errors `mean`, `variance`, `time_correlation`, `space_correlation` (scalars).

    Args:
        fields: `(N, T - 1, h, w)` whitened fields.
        cell_size: `(N,)` sides of their cells.
    """
    flat = fields.transpose(0, 1).flatten(1)  # (T - 1, N h w)
    expected = torch.eye(fields.shape[1], device=fields.device, dtype=fields.dtype)
    errors = {
        "mean": flat.mean(1).square().mean().sqrt(),
        "variance": (flat.var(1) - 1).square().mean().sqrt(),
        "time_correlation": (torch.corrcoef(flat) - expected).square().mean().sqrt(),
    }
    spatial = []
    for size in cell_size.unique():
        group = fields[cell_size == size]
        beside = (group[..., :-1] * group[..., 1:]).mean() / group.square().mean()
        spatial.append(beside - (size - 1) / size)
    errors["space_correlation"] = torch.stack(spatial).square().mean().sqrt()
    return errors
