"""Metrics that change images a second time: float64 loops over one image, one pixel and one patch at a time."""

from __future__ import annotations

import numpy as np


def aligned(response, mass, rising):
    """Magnitude aligned scoring of one curve; `mass` is the share that is in the image at each point."""
    first, last = (response[0], response[-1]) if rising else (response[-1], response[0])
    points = len(response)
    diagonal = [k / (points - 1) for k in range(points)]
    if last <= first:
        return diagonal if rising else diagonal[::-1]
    steady, best = [], 0.0 if rising else 1.0
    for value in response:
        scaled = min(max((value - first) / (last - first), 0.0), 1.0)
        best = max(best, scaled) if rising else min(best, scaled)
        steady.append(best)
    corrected = [
        min(max(r - abs(m - r) if rising else r + abs(m - r), 0.0), 1.0) for r, m in zip(steady, mass, strict=True)
    ]
    low, high = min(corrected), max(corrected)
    if low == high:
        return diagonal if rising else diagonal[::-1]
    return [(value - low) / (high - low) for value in corrected]


def imputed(plane, missing):
    """One plane `(H, W)` with its missing pixels solved by a dense system, one equation for each."""
    height, width = plane.shape
    holes = [(y, x) for y in range(height) for x in range(width) if missing[y, x]]
    number = {place: k for k, place in enumerate(holes)}
    matrix, right = np.zeros((len(holes), len(holes))), np.zeros(len(holes))
    for k, (y, x) in enumerate(holes):
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                there = (y + dy, x + dx)
                if (dy, dx) == (0, 0) or not (0 <= there[0] < height and 0 <= there[1] < width):
                    continue
                weight = 1 / 12 if dy and dx else 1 / 6
                matrix[k, k] += weight
                if there in number:
                    matrix[k, number[there]] -= weight
                else:
                    right[k] += weight * plane[there]
    filled = plane.copy()
    for place, value in zip(holes, np.linalg.solve(matrix, right), strict=True):
        filled[place] = value
    return filled


def infidelity(logit, image, baseline, attribution, share, grid):
    """Scaled infidelity of one image and its R^2; `logit` maps an image to the target's logit."""
    channels, height, width = image.shape
    tall, wide = max(1, round(share * height)), max(1, round(share * width))
    expected, lost = [], []
    for i in range(grid):
        for j in range(grid):
            top, left = round(i * (height - tall) / (grid - 1)), round(j * (width - wide) / (grid - 1))
            changed, total = image.copy(), 0.0
            for c in range(channels):
                for y in range(top, top + tall):
                    for x in range(left, left + wide):
                        changed[c, y, x] = baseline[c, y, x]
                        total += attribution[c, y, x]
            expected.append(total)
            lost.append(logit(image) - logit(changed))
    count = len(lost)
    beta = sum(e * d for e, d in zip(expected, lost, strict=True)) / sum(e * e for e in expected)
    residual = sum((beta * e - d) ** 2 for e, d in zip(expected, lost, strict=True)) / count
    mean = sum(lost) / count
    return residual, 1 - residual / (sum((d - mean) ** 2 for d in lost) / count)


def localisation(values, mask, tolerance):
    """Pointing, energy pointing, mass and rank of one map `(H, W)` without ties; 1 object, 255 ignored."""
    height, width = values.shape
    counted = [(y, x) for y in range(height) for x in range(width) if mask[y, x] != 255]
    inside = [place for place in counted if mask[place] == 1]
    top, bottom = min(y for y, _ in inside), max(y for y, _ in inside)
    left, right = min(x for _, x in inside), max(x for _, x in inside)
    ranking = sorted(counted, key=lambda place: -values[place])
    best = ranking[0]
    near = min((best[0] - y) ** 2 + (best[1] - x) ** 2 for y, x in inside) <= tolerance**2
    positive = {place: max(values[place], 0.0) for place in counted}
    total = sum(positive.values())
    box = sum(value for (y, x), value in positive.items() if top <= y <= bottom and left <= x <= right)
    return {
        "pointing": float(near),
        "energy_pointing": box / total,
        "relevance_mass": sum(positive[place] for place in inside) / total,
        "relevance_rank": sum(place in inside for place in ranking[: len(inside)]) / len(inside),
        "mask_share": len(inside) / len(counted),
    }
