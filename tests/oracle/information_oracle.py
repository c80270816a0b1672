"""Information curves a second time: float64 loops over one image, one pixel and one point of a curve at a time."""

from __future__ import annotations

import io
import itertools
import math

import numpy as np
from PIL import Image


def pull_push(plane, known):
    """One plane `(H, W)` from its known pixels, by recursion over the levels of the pyramid."""
    return filled(np.where(known, plane, 0.0), known.astype(float))


def filled(colour, weight):
    """A level with everything that its weights lack taken from the next coarser one."""
    height, width = colour.shape
    if height == width == 1:
        return colour.copy()
    coarse = np.zeros((math.ceil(height / 2), math.ceil(width / 2)))
    sums = np.zeros_like(coarse)
    for y in range(height):
        for x in range(width):
            coarse[y // 2, x // 2] += weight[y, x] * colour[y, x]
            sums[y // 2, x // 2] += weight[y, x]
    for place in np.ndindex(coarse.shape):
        coarse[place] = coarse[place] / sums[place] if sums[place] > 0 else 0.0
    below = filled(coarse, np.minimum(sums, 1))
    out = colour.copy()
    for y in range(height):
        for x in range(width):
            out[y, x] = weight[y, x] * colour[y, x] + (1 - weight[y, x]) * read_at(below, y, x)
    return out


def read_at(plane, y, x):
    """Bilinear value of a coarse plane at the centre of a pixel of the finer one; beyond the border its edge."""
    total = 0.0
    for row, down in around(y, plane.shape[0]):
        for column, across in around(x, plane.shape[1]):
            total += down * across * plane[row, column]
    return total


def around(place, side):
    source = max((place + 0.5) / 2 - 0.5, 0.0)
    first = int(source)
    return [(first, 1 - (source - first)), (min(first + 1, side - 1), source - first)]


def bytes_of(image):
    """The 8-bit values `(C, H, W)` of an image in [0, 1]."""
    return [[[min(max(round(float(v) * 255), 0), 255) for v in row] for row in plane] for plane in image]


def webp(image):
    pixels = np.array(bytes_of(image), dtype=np.uint8).transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(np.repeat(pixels, 3, 2) if pixels.shape[2] == 1 else pixels).save(
        file, "webp", lossless=True, quality=100
    )
    return len(file.getvalue())


def entropy(image):
    """Ideal bytes of the residuals of the median edge detector, one value at a time."""
    values = bytes_of(image)
    height, width = len(values[0]), len(values[0][0])
    if len(values) == 3:
        green = values[1]
        values = [
            [[values[c][y][x] - (green[y][x] if c != 1 else 0) for x in range(width)] for y in range(height)]
            for c in range(3)
        ]
    counts, size = {}, 0
    for plane in values:
        for y in range(height):
            for x in range(width):
                a = plane[y][x - 1] if x else 0
                b = plane[y - 1][x] if y else 0
                c = plane[y - 1][x - 1] if x and y else 0
                guess = min(a, b) if c >= max(a, b) else max(a, b) if c <= min(a, b) else a + b - c
                residual = (plane[y][x] - guess) % 256
                counts[residual] = counts.get(residual, 0) + 1
                size += 1
    return sum(-n * math.log2(n / size) for n in counts.values()) / 8


def points(information, whole, response, last):
    """The points of a curve, in order of x; the first of `information` and `response` are the blurred image's."""
    found, best = [(0.0, 0.0)], 0.0
    for size, value in zip(information[1:], response[1:], strict=True):
        best = max(best, min(max((value - response[0]) / (last - response[0]), 0.0), 1.0))
        found.append((min(max((size - information[0]) / (whole - information[0]), 0.0), 1.0), best))
    return sorted([*found, (1.0, 1.0)], key=lambda point: point[0])


def area(curve):
    return sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in itertools.pairwise(curve))


def height_at(curve, x):
    """The curve at x; where it jumps, its upper end."""
    for (x0, y0), (x1, y1) in reversed(list(itertools.pairwise(curve))):
        if x0 <= x <= x1 and x1 > x0:
            return y0 + (x - x0) / (x1 - x0) * (y1 - y0)
    raise AssertionError(f"{x} is not in [0, 1]")
