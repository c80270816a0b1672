"""Time of ROAD's linear imputation: this package's, each of its ideas taken away, its predecessor, and a direct solver.

    python experiments/speed/imputation.py [--size 224] [--repeats 5] [--output outputs/speed/imputation.csv]

Processor time of one thread for one RGB copy, the least of the repeats; every solver gets the same copies in turn.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from scipy.sparse.linalg import spsolve
from torch import Tensor
from torch.nn import functional

from diffig.metrics import linear_imputation as solver

FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)
WIDTHS = {"scattered": 0, "blobs of 3": 3, "blobs of 8": 8, "blobs of 24": 24}


def picture(size: int) -> Tensor:
    """An image `(1, 3, size, size)` in [0, 1] with detail at several scales, much as photographs have."""
    draw = torch.Generator().manual_seed(0)
    scales = ((4, 0.4), (16, 0.3), (size // 2, 0.2), (size, 0.1))
    parts = [torch.rand(1, 3, side, side, generator=draw) * weight for side, weight in scales]
    return torch.stack([functional.interpolate(part, (size, size), mode="bilinear") for part in parts]).sum(0)


def hole(size: int, width: int, fraction: float) -> Tensor:
    """The highest pixels `(1, 1, size, size)` of noise smoothed by a Gaussian of that width, as a map ranks them."""
    noise = torch.randn(size, size, generator=torch.Generator().manual_seed(0)).double()
    waves = torch.fft.fftfreq(size).double() ** 2
    smooth = (-2 * (torch.pi * width) ** 2 * (waves[:, None] + waves)).exp()
    ranking = torch.fft.ifft2(torch.fft.fft2(noise) * smooth).real.flatten().argsort(descending=True)
    missing = torch.zeros(size * size, dtype=torch.bool)
    missing[ranking[: int(fraction * size * size)]] = True
    return missing.view(1, 1, size, size)


def directly(image: Tensor, missing: Tensor) -> Tensor:
    """As the authors do, one sparse system for each image and fraction, but its matrix made without a Python loop."""
    channels, height, width = image.shape[1:]
    gone = missing.flatten().numpy()
    number = np.full(height * width, -1)
    number[gone] = np.arange(gone.sum())
    number, gone = np.pad(number.reshape(height, width), 1, constant_values=-2), gone.reshape(height, width)
    values = np.pad(image[0].double().numpy(), ((0, 0), (1, 1), (1, 1)))
    diagonal, right = np.zeros(gone.sum()), np.zeros((gone.sum(), channels))
    rows, columns, entries = [], [], []
    for down in (0, 1, 2):
        for across in (0, 1, 2):
            if (down, across) == (1, 1):
                continue
            weight = 1 / 6 if 1 in (down, across) else 1 / 12
            other = number[down : down + height, across : across + width][gone]
            diagonal += weight * (other != -2)
            inside = np.flatnonzero(other >= 0)
            rows, columns = [*rows, inside], [*columns, other[inside]]
            entries.append(np.full(len(inside), -weight))
            neighbour = values[:, down : down + height, across : across + width][:, gone].T
            right += weight * neighbour * (other == -1)[:, None]
    everyone = np.arange(gone.sum())
    places = (np.concatenate([everyone, *rows]), np.concatenate([everyone, *columns]))
    matrix = sparse.coo_matrix((np.concatenate([diagonal, *entries]), places)).tocsc()
    solved = image[0].double().numpy().copy()
    solved[:, gone] = spsolve(matrix, right).T
    return torch.from_numpy(solved)[None]


def jacobi_in_double(images: Tensor, missing: Tensor) -> Tensor:
    """The predecessor: conjugate gradients with the diagonal as preconditioner, convolutions in float64, to 1e-9."""
    known = (~missing).double().expand_as(images).flatten(0, 1)[:, None]
    planes, gone = images.double().flatten(0, 1)[:, None], 1 - known
    stencil = planes.new_tensor([[1, 2, 1], [2, 0, 2], [1, 2, 1]])[None, None] / 12

    def spread(values: Tensor) -> Tensor:
        return functional.conv2d(values, stencil, padding=1)

    def dot(one: Tensor, other: Tensor) -> Tensor:
        return (one * other).sum((1, 2, 3), keepdim=True)

    weight = spread(torch.ones_like(planes[:1]))
    mean = dot(planes, known) / known.sum((1, 2, 3), keepdim=True)
    residual = gone * spread((planes - mean) * known)
    solution, direction = torch.zeros_like(planes), residual / weight
    power, limit = dot(residual, direction), dot(residual, residual) * 1e-18
    for step in range(5000):
        active = dot(residual, residual) > limit
        if step % 16 == 0 and not bool(active.any()):
            break
        image_of = gone * (weight * direction - spread(direction))
        length = torch.where(active, power / dot(direction, image_of), 0)
        solution, residual = solution + length * direction, residual - length * image_of
        scaled = residual / weight
        fresh = dot(residual, scaled)
        direction = torch.where(active, scaled + fresh / power * direction, direction)
        power = torch.where(active, fresh, power)
    return torch.where(missing, (solution + mean).view(images.shape), images)


def without_pyramid(images: Tensor, missing: Tensor) -> Tensor:
    kept = solver._Hole._below
    solver._Hole._below = lambda *_: None  # type: ignore[method-assign]
    try:
        return solver.linear_imputation(images, missing, most=5000)
    finally:
        solver._Hole._below = kept  # type: ignore[method-assign]


def in_double(images: Tensor, missing: Tensor) -> Tensor:
    return solver.linear_imputation(images.double(), missing, 1e-6)


SOLVERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "predecessor": jacobi_in_double,
    "direct": directly,
    "no pyramid": without_pyramid,
    "float64": in_double,
    "diffig": solver.linear_imputation,
}


def compare(size: int, repeats: int) -> pd.DataFrame:
    """One row for each mask and solver: milliseconds of one copy and the largest error against the direct solver."""
    image, rows = picture(size), []
    for kind, width in WIDTHS.items():
        for fraction in FRACTIONS:
            missing = hole(size, width, fraction)
            exact = directly(image, missing)
            best = dict.fromkeys(SOLVERS, float("inf"))
            error = dict.fromkeys(SOLVERS, 0.0)
            for _ in range(repeats):
                for name, solve in SOLVERS.items():
                    start = time.process_time()
                    filled = solve(image, missing)
                    best[name] = min(best[name], 1e3 * (time.process_time() - start))
                    error[name] = float((filled - exact).abs().max())
            rows += [(kind, fraction, name, best[name], error[name]) for name in SOLVERS]
            line = "  ".join(f"{name} {best[name]:.1f} ms ({error[name]:.0e})" for name in SOLVERS)
            print(f"{kind}, {fraction:.0%}: {line}", flush=True)
    return pd.DataFrame(rows, columns=["hole", "fraction", "solver", "ms", "error"])


def batches(size: int, repeats: int) -> None:
    """Sixteen copies at once, in groups that fit the cache and all in one."""
    missing = torch.cat([hole(size, width, fraction) for width in (0, 8) for fraction in (*FRACTIONS, 0.2, 0.4, 0.8)])
    images = picture(size).expand(len(missing), -1, -1, -1).contiguous()
    best, kept = {"in groups": float("inf"), "all at once": float("inf")}, solver.CACHED
    for _ in range(repeats):
        for name, cached in zip(best, (kept, 2**40), strict=True):
            solver.CACHED = cached
            start = time.process_time()
            solver.linear_imputation(images, missing)
            best[name] = min(best[name], 1e3 * (time.process_time() - start) / len(images))
    solver.CACHED = kept
    print(f"{len(images)} copies: " + ", ".join(f"{name} {value:.1f} ms each" for name, value in best.items()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("outputs/speed/imputation.csv"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = compare(options.size, options.repeats)
    batches(options.size, options.repeats)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    table.round({"ms": 2}).to_csv(options.output, index=False)
    wide = table.pivot_table(index=["hole", "fraction"], columns="solver", values="ms", sort=False)
    print((wide.div(wide["diffig"], axis=0)).round(1).to_string())
