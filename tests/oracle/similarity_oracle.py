"""Similarities of two maps `(H, W)` a second time, one window, pair and pixel at a time."""

from __future__ import annotations

import math

import numpy as np


def ranks(values):
    """Mean ranks, by counting what is below and what is equal."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]


def correlation(one, other):
    mean_1, mean_2 = sum(one) / len(one), sum(other) / len(other)
    top = sum((a - mean_1) * (b - mean_2) for a, b in zip(one, other, strict=True))
    square_1, square_2 = sum((a - mean_1) ** 2 for a in one), sum((b - mean_2) ** 2 for b in other)
    return top / math.sqrt(square_1 * square_2)


def spearman(one, other):
    return correlation(ranks(one.ravel().tolist()), ranks(other.ravel().tolist()))


def ssim(one, other, window=11, sigma=1.5):
    one, other = one / one.max(), other / other.max()
    side = min(window, *one.shape)
    side -= 1 - side % 2
    half = side // 2
    weights = [
        [math.exp(-((i - half) ** 2 + (j - half) ** 2) / (2 * sigma**2)) for j in range(side)] for i in range(side)
    ]
    weights = np.array(weights) / np.sum(weights)
    found = []
    for y in range(one.shape[0] - side + 1):
        for x in range(one.shape[1] - side + 1):
            a, b = one[y : y + side, x : x + side], other[y : y + side, x : x + side]
            mean_1, mean_2 = (weights * a).sum(), (weights * b).sum()
            variance_1 = (weights * (a - mean_1) ** 2).sum()
            variance_2 = (weights * (b - mean_2) ** 2).sum()
            both = (weights * (a - mean_1) * (b - mean_2)).sum()
            found.append(
                (2 * mean_1 * mean_2 + 1e-4)
                * (2 * both + 9e-4)
                / ((mean_1**2 + mean_2**2 + 1e-4) * (variance_1 + variance_2 + 9e-4))
            )
    return sum(found) / len(found)


def histograms(values, side, bins=9):
    values = values / values.max()
    height, width = values.shape
    found = []
    for row in range(height // side):
        for column in range(width // side):
            cell = [0.0] * bins
            for y in range(row * side, row * side + side):
                for x in range(column * side, column * side + side):
                    down = values[y + 1, x] - values[y - 1, x] if 0 < y < height - 1 else 0.0
                    across = values[y, x + 1] - values[y, x - 1] if 0 < x < width - 1 else 0.0
                    degrees = math.degrees(math.atan2(down, across)) % 180
                    cell[min(int(degrees / (180 / bins)), bins - 1)] += math.hypot(down, across)
            norm = math.sqrt(sum(value**2 for value in cell) + 1e-10)
            found += [value / norm for value in cell]
    return found


def hog(one, other, side):
    return correlation(histograms(one, side), histograms(other, side))


def histogram_entropy(values, bins):
    counts, _ = np.histogram(values, bins=bins, range=(values.min(), values.max()))
    return -sum(count / values.size * math.log(count / values.size) for count in counts if count)
