"""Preconditioned conjugate gradients for a batch of linear systems, each with its own stopping."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Product = Callable[[Tensor, Tensor], Tensor]


def conjugate_gradients(
    product: Product, precondition: Callable[[Tensor], Tensor], right: Tensor, iterations: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Return the solutions of `A v = b`, and their residuals `b - A v`, both like `right` `(B, ...)`.

    Args:
        product: `(rows, vectors)` to `A vectors`, for the systems `rows` `(m,)` and their vectors `(m, ...)`; each `A`
            symmetric and positive. It is asked only for systems that are not solved yet.
        precondition: vectors `(m, ...)` to something near `inv(A) vectors`, symmetric and positive.
        right: the right sides `b`.
        iterations: at most.
        tolerance: a system is solved where its residual is this much smaller than `b`.
    """
    solution, residual = torch.zeros_like(right), right.clone()
    wanted = tolerance * _size(right)
    direction = precondition(residual)
    power = _dot(residual, direction)
    for _ in range(iterations):
        rows = (_size(residual) > wanted).nonzero()[:, 0]
        if len(rows) == 0:
            break
        moved = product(rows, direction[rows])
        length = _spread(power[rows] / _dot(direction[rows], moved), right)
        solution[rows] += length * direction[rows]
        residual[rows] -= length * moved
        smoothed = precondition(residual[rows])
        ahead = _dot(residual[rows], smoothed)
        direction[rows] = smoothed + _spread(ahead / power[rows], right) * direction[rows]
        power[rows] = ahead
    return solution, residual


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).flatten(1).sum(1)


def _size(vectors: Tensor) -> Tensor:
    return vectors.flatten(1).norm(dim=1)


def _spread(numbers: Tensor, like: Tensor) -> Tensor:
    return numbers.reshape(-1, *[1] * (like.ndim - 1))
