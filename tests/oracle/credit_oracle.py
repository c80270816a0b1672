"""Credits a second time: float64 numpy, one piece and one feature at a time, spreading by a matrix exponential."""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy.linalg import expm


def divide(gradient, step, change, *, p, q, agreeing=False, width=0.0, unit="side"):
    """What each feature `[c][y][x]` gets of one piece."""
    weights = np.zeros_like(step)
    for place in np.ndindex(*step.shape):
        g, dx = gradient[place], step[place]
        if agreeing:
            product = g * dx * np.sign(change)
            weights[place] = product**p if product > 0 else 0.0
        else:
            weights[place] = abs(g) ** p * abs(dx) ** q
    if weights.sum() == 0:
        weights = np.abs(step)
    if width > 0:
        pixels = width * min(step.shape[1:]) if unit == "side" else width * scale(step)
        kernel = heat_kernel(*step.shape[1:], pixels)
        weights = np.stack([(kernel @ channel.reshape(-1)).reshape(channel.shape) for channel in weights])
    return change * weights / weights.sum()


def heat_kernel(height, width, pixels):
    """`exp(-s^2 / 2 L)` of the grid whose neighbours are joined, `L` its Laplacian."""
    laplacian = np.zeros((height * width, height * width))
    for y, x in np.ndindex(height, width):
        for other in ((y + 1, x), (y, x + 1)):
            if other[0] < height and other[1] < width:
                a, b = y * width + x, other[0] * width + other[1]
                laplacian[a, a] += 1
                laplacian[b, b] += 1
                laplacian[a, b] -= 1
                laplacian[b, a] -= 1
    return expm(-(pixels**2) / 2 * laplacian)


def scale(step):
    """Pixels over which a step varies: root of its energy over that of its differences, the image's side at most."""
    energy, rough = 0.0, 0.0
    channels, height, width = step.shape
    for c, y, x in np.ndindex(channels, height, width):
        energy += step[c, y, x] ** 2
        if y + 1 < height:
            rough += (step[c, y + 1, x] - step[c, y, x]) ** 2
        if x + 1 < width:
            rough += (step[c, y, x + 1] - step[c, y, x]) ** 2
    longest = max(height, width)
    found = longest if rough * longest**2 <= energy else math.sqrt(energy / rough)
    return min(found, min(height, width))


def attribution(point, model, cuts, where="midpoint", **options):
    """The sum over pieces of one path; `point` maps a position to an image."""
    total = np.zeros_like(point(cuts[0]))
    for low, high in itertools.pairwise(cuts):
        before, after = point(low), point(high)
        if where == "trapezoid":
            gradient = (model.gradient(before) + model.gradient(after)) / 2
        else:
            gradient = model.gradient({"left": before, "right": after}.get(where, (before + after) / 2))
        total += divide(gradient, after - before, model.value(after) - model.value(before), **options)
    return total
