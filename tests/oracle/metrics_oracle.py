"""The metrics a second time: float64 loops over one image, one ratio and one pixel at a time, in plain numpy."""

from __future__ import annotations

import math

import numpy as np

RATIOS = tuple(k / 10 for k in range(1, 10))


def softmax(logits):
    powers = [math.exp(value - max(logits)) for value in logits]
    return [power / sum(powers) for power in powers]


def gaussian_blur(image, size=11, sigma=5.0):
    """The full two-dimensional kernel, one weight at a time; borders reflected without repeating the edge."""
    height, width = image.shape[1:]
    size = min(size, 2 * min(height, width) - 1)
    half = size // 2
    padded = np.pad(image, ((0, 0), (half, half), (half, half)), mode="reflect")
    weights = [math.exp(-((k - half) ** 2) / (2 * sigma**2)) for k in range(size)]
    out = np.zeros_like(image)
    for i in range(size):
        for j in range(size):
            out += weights[i] * weights[j] * padded[:, i : i + height, j : j + width]
    return out / sum(weights) ** 2


def diffid(
    classify,
    image,
    attribution,
    target,
    unit="element",
    readout="hard",
    signed=False,
    fill="kept_mean",
    mean=None,
    std=None,
    normalised=False,
    rank_blur=0.0,
    ratios=RATIOS,
):
    """DiffID of one image whose ranks have no ties; `classify` maps an image to a list of logits."""
    channels, height, width = image.shape
    if unit == "element":
        cells = [[(c, y, x)] for c in range(channels) for y in range(height) for x in range(width)]
    else:
        cells = [[(c, y, x) for c in range(channels)] for y in range(height) for x in range(width)]
    worth = [sum(attribution[e] if signed else abs(attribution[e]) for e in cell) for cell in cells]
    if rank_blur:
        sigma = rank_blur * min(height, width)
        planes = np.array(worth).reshape(-1, height, width)
        worth = gaussian_blur(planes, 2 * math.ceil(3 * sigma) + 1, sigma).flatten().tolist()
    ranking = sorted(range(len(cells)), key=lambda cell: -worth[cell])
    clean = softmax(classify(image))[target]
    blurred = gaussian_blur(image) if fill == "blur" else None

    def response(removed):
        gone = {element for cell in removed for element in cells[cell]}
        kept = [e for cell in cells for e in cell if e not in gone]
        if normalised:
            grey = sum((image[e] - mean[e[0]]) / std[e[0]] for e in kept) / len(kept)
        else:
            grey = sum(image[e] for e in kept) / len(kept)
        masked = image.copy()
        for element in gone:
            c = element[0]
            if fill == "kept_mean":
                masked[element] = grey * std[c] + mean[c] if normalised else grey
            else:
                masked[element] = {
                    "black": 0.0,
                    "mean": mean[c] if mean is not None else None,
                    "blur": blurred[element] if blurred is not None else None,
                }[fill]
        logits = classify(masked)
        if readout == "hard":
            return float(max(range(len(logits)), key=lambda k: logits[k]) == target)
        probability = softmax(logits)[target]
        return probability if readout == "soft_diff" else min(max(probability / (clean + 1e-8), 0.0), 1.0)

    differences = []
    for ratio in ratios:
        k = int(ratio * len(cells))
        differences.append(response(ranking[len(cells) - k :]) - response(ranking[:k]))
    return sum(differences) / len(differences)


def rise(classify, image, attribution, target, colour, n_steps=28, reduce="abs_sum"):
    """Insertion area and deletion area of one image whose ranks have no ties."""
    channels, height, width = image.shape
    pixels = [(y, x) for y in range(height) for x in range(width)]

    def worth(y, x):
        column = [float(attribution[c, y, x]) for c in range(channels)]
        return {
            "abs_sum": abs(sum(column)),
            "signed": sum(column),
            "sum_abs": sum(map(abs, column)),
            "max_abs": max(map(abs, column)),
        }[reduce]

    ranking = sorted(pixels, key=lambda pixel: -worth(*pixel))
    blurred = gaussian_blur(image)
    insertion, deletion = [], []
    for step in range(n_steps + 1):
        chosen = ranking[: step * len(pixels) // n_steps]
        shown, hidden = blurred.copy(), image.copy()
        for y, x in chosen:
            for c in range(channels):
                shown[c, y, x], hidden[c, y, x] = image[c, y, x], colour[c]
        insertion.append(softmax(classify(shown))[target])
        deletion.append(softmax(classify(hidden))[target])
    # the authors' formula: (sum - first / 2 - last / 2) / (n - 1) for n points
    return tuple((sum(curve) - curve[0] / 2 - curve[-1] / 2) / n_steps for curve in (insertion, deletion))


def entropy(mass):
    total = sum(mass)
    if total == 0:
        return math.log(len(mass))
    return -sum(value / total * math.log(value / total) for value in mass if value > 0)


def gini(mass):
    """Half the mean absolute difference of all pairs over the mean."""
    total, size = sum(mass), len(mass)
    if total == 0:
        return 0.0
    return sum(abs(a - b) for a in mass for b in mass) / (2 * size * total)


def tie_keys(start, length):
    """The upper half of splitmix64, in Python's own integers."""
    keys = []
    for position in range(length):
        z = (start + position * 0x9E3779B97F4A7C15) % 2**64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        keys.append(z >> 32)
    return keys
