"""Blur IG, Spectral IG and SAMP a second time: float64 numpy, one image and one step at a time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter

SCIPY_MODE = {"constant": "constant", "reflect": "mirror"}


def blur(image, sigma, padding, truncate=4.0):
    """SciPy's filter over height and width of `(C, H, W)`."""
    if sigma == 0:
        return image.copy()
    return gaussian_filter(image, (0, sigma, sigma), mode=SCIPY_MODE[padding], truncate=truncate)


def blur_ig_by_frames(image, model, sigmas, padding, truncate=4.0):
    """A left sum over blurred frames, the widest blur first: `sum_k grad F(P_k) (P_{k+1} - P_k)`."""
    frames = [blur(image, sigma, padding, truncate) for sigma in sigmas]
    total = np.zeros_like(image)
    for here, there in pairwise(frames):
        total += model.gradient(here) * (there - here)
    return total


def blur_ig_by_derivative(image, model, sigma_max, steps, padding, truncate, delta):
    """The authors' sum over widths from 0 up, with a numerical derivative by the width, and its sign turned."""
    total = np.zeros_like(image)
    for k in range(steps):
        sigma, wider = k * sigma_max / steps, (k + 1) * sigma_max / steps
        here = blur(image, sigma, padding, truncate)
        slope = (blur(image, sigma + delta, padding, truncate) - here) / delta
        total += (wider - sigma) * slope * model.gradient(here)
    return -total


def spectral_point(image, baseline, time, overlap, joint=False):
    """The point of a singular path with linear gates, one singular pair at a time."""
    difference = image - baseline
    matrices = [difference.reshape(-1, difference.shape[-1])] if joint else list(difference)
    parts = []
    for matrix in matrices:
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        moved = np.zeros_like(matrix)
        for j, value in enumerate(values):
            start = (1 - overlap) * (1 - value / values[0])
            gate = min(max((time - start) / overlap, 0.0), 1.0)
            moved += gate * value * np.outer(left[:, j], right[j])
        parts.append(moved)
    return baseline + np.stack(parts).reshape(difference.shape)


def samp(image, baseline, model, pixels, fragments, momentum=1.0, deletion=False):
    """Points and attribution of one greedy walk; the sign of deletion is turned."""
    start, end = (image, baseline) if deletion else (baseline, image)
    point, previous = start.copy(), None
    height, width = image.shape[1:]
    longest = np.abs(end - start).sum() / fragments
    left = [(y, x) for y in range(height) for x in range(width) if (end[:, y, x] != start[:, y, x]).any()]
    points, total = [point.copy()], np.zeros_like(image)
    while left:
        gradient = model.gradient(point)
        if previous is not None:
            gradient = momentum * gradient + (1 - momentum) * previous
        previous = gradient
        gains = {(y, x): float(gradient[:, y, x] @ (end - point)[:, y, x]) for y, x in left}
        ranked = sorted(left, key=lambda place: gains[place], reverse=not deletion)  # a stable sort
        chosen = ranked[:pixels]
        length = sum(np.abs(end - point)[:, y, x].sum() for y, x in chosen)
        share = 1.0 if length <= longest * (1 + 1e-9) else longest / length
        new = point.copy()
        for y, x in chosen:
            new[:, y, x] = end[:, y, x] if share == 1.0 else point[:, y, x] + share * (end - point)[:, y, x]
        total += gradient * (new - point)
        if share == 1.0:
            left = [place for place in left if place not in chosen]
        point = new
        points.append(point.copy())
    return points, -total if deletion else total
