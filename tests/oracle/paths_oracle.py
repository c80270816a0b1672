"""Paths, integrals and distributions a second time: float64 numpy, one image, one point and one feature at a time."""

from __future__ import annotations

import itertools
import math

import numpy as np


class TanhOracle:
    """Value and gradient of `TanhNet` by the chain rule, written out."""

    def __init__(self, net, target, objective="probability"):
        self.first, self.shift, self.second = (tensor.double().numpy() for tensor in (net.first, net.shift, net.second))
        self.target, self.objective = int(target), objective

    def _forward(self, image):
        flat = image.reshape(-1)
        hidden = np.array([math.tanh(row @ flat + shift) for row, shift in zip(self.first, self.shift, strict=True)])
        return hidden, [float(row @ hidden) for row in self.second]

    def value(self, image):
        logits = self._forward(image)[1]
        if self.objective == "logit":
            return logits[self.target]
        if self.objective == "margin":
            return logits[self.target] - max(logit for k, logit in enumerate(logits) if k != self.target)
        top = max(logits)
        powers = [math.exp(logit - top) for logit in logits]
        share = powers[self.target] / sum(powers)
        return share if self.objective == "probability" else math.log(share)

    def gradient(self, image):
        hidden, logits = self._forward(image)
        top = max(logits)
        shares = [math.exp(logit - top) for logit in logits]
        shares = [share / sum(shares) for share in shares]
        weights = [0.0] * len(logits)  # derivative of the objective in each logit
        for k in range(len(logits)):
            own = 1.0 if k == self.target else 0.0
            if self.objective == "logit":
                weights[k] = own
            elif self.objective == "log_probability":
                weights[k] = own - shares[k]
            elif self.objective == "probability":
                weights[k] = shares[self.target] * (own - shares[k])
        if self.objective == "margin":
            rival = max((k for k in range(len(logits)) if k != self.target), key=lambda k: logits[k])
            weights[self.target], weights[rival] = 1.0, -1.0
        gradient = np.zeros(self.first.shape[1])
        for unit, row in enumerate(self.first):
            inner = sum(weights[k] * self.second[k, unit] for k in range(len(logits)))
            gradient += inner * (1 - hidden[unit] ** 2) * row
        return gradient.reshape(image.shape)


def enlarge(grid, height, width):
    """Bilinear enlargement of `(h, w)`: pixel centres are kept in place, the border is continued."""
    rows, columns = grid.shape
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            down = min(max((y + 0.5) * rows / height - 0.5, 0), rows - 1)
            right = min(max((x + 0.5) * columns / width - 0.5, 0), columns - 1)
            top, left = int(down), int(right)
            bottom, beside = min(top + 1, rows - 1), min(left + 1, columns - 1)
            v, u = down - top, right - left
            above = (1 - u) * grid[top, left] + u * grid[top, beside]
            below = (1 - u) * grid[bottom, left] + u * grid[bottom, beside]
            out[y, x] = (1 - v) * above + v * below
    return out


def alpha_point(image, baseline, alpha, position, components=None):
    """The point of an `AlphaPath` at a position in [0, T]; `alpha` is `(T + 1, K, h, w)`."""
    channels, height, width = image.shape
    lower = min(int(position), len(alpha) - 2)
    fraction = position - lower
    bands = [
        enlarge((1 - fraction) * alpha[lower, k] + fraction * alpha[lower + 1, k], height, width)
        for k in range(alpha.shape[1])
    ]
    point = baseline.copy()
    if components is not None:
        for band, part in zip(bands, components, strict=True):
            point += band * part
        return point
    for channel in range(channels):
        point[channel] += bands[channel if len(bands) > 1 else 0] * (image[channel] - baseline[channel])
    return point


def polyline_point(points, position):
    """The point of a `PointPath` at a position in [0, T]; `points` is `(T + 1, C, H, W)`."""
    lower = min(int(position), len(points) - 2)
    fraction = position - lower
    return (1 - fraction) * points[lower] + fraction * points[lower + 1]


def integrate(point, model, cuts, rule):
    """Attribution, gap and absolute mass of one path; `point` maps a position to an image."""
    start, end = point(cuts[0]), point(cuts[-1])
    attribution, mass = np.zeros_like(start), 0.0
    for low, high in itertools.pairwise(cuts):
        before, after = point(low), point(high)
        step = after - before
        if rule == "left":
            product = model.gradient(before) * step
        elif rule == "right":
            product = model.gradient(after) * step
        elif rule == "midpoint":
            product = model.gradient((before + after) / 2) * step
        elif rule == "trapezoid":
            product = (model.gradient(before) + model.gradient(after)) / 2 * step
        else:
            gradient = model.gradient(before)
            product = gradient**2 / (gradient**2).sum() * (model.value(after) - model.value(before))
        attribution += product
        mass += np.abs(product).sum()
    return attribution, attribution.sum() - (model.value(end) - model.value(start)), mass


def guided_ig(image, baseline, model, steps, fraction, max_distance):
    """Guided IG of one image: the list of points and the attribution."""
    last, first = image.reshape(-1), baseline.reshape(-1)
    point, attribution, points = first.copy(), np.zeros_like(first), [baseline]
    total = np.abs(last - first).sum()
    for step in range(1, steps + 1):
        old = point.copy()
        gradient = model.gradient(old.reshape(image.shape)).reshape(-1)
        time = step / steps
        low, high = max(time - max_distance, 0.0), min(time + max_distance, 1.0)
        ceiling = [last[i] if high == 1 else first[i] + high * (last[i] - first[i]) for i in range(len(last))]
        for i in range(len(last)):
            whole = last[i] - first[i]
            if whole != 0 and (point[i] - first[i]) / whole < low:
                point[i] = first[i] + low * whole
        wanted = total * (1 - time)
        size = np.abs(gradient)
        while True:
            excess = np.abs(point - last).sum() - wanted
            if excess <= 1e-12:
                break
            for i in range(len(last)):
                if point[i] == ceiling[i]:
                    size[i] = np.inf
            threshold = sorted(size)[math.floor(fraction * (len(size) - 1))]
            chosen = [i for i in range(len(size)) if size[i] <= threshold and size[i] < np.inf]
            room = sum(abs(ceiling[i] - point[i]) for i in chosen)
            if not room:
                break
            ratio = excess / room
            for i in chosen:
                point[i] = ceiling[i] if ratio > 1 else point[i] + ratio * (ceiling[i] - point[i])
            if ratio <= 1:
                break
        attribution += gradient * (point - old)
        points.append(point.reshape(image.shape).copy())
    return points, attribution.reshape(image.shape)


def break_sticks(rng, concentration, masses, features, n_breaks):
    """Increments `(T, features)` by breaking sticks one after another, each piece dropped on one interval."""
    fractions = rng.beta(1.0, concentration, (n_breaks, features))
    throws = rng.random((n_breaks + 1, features))
    increments = np.zeros((len(masses), features))
    for feature in range(features):
        remaining = 1.0
        for k in range(n_breaks + 1):
            piece = remaining if k == n_breaks else fractions[k, feature] * remaining
            remaining -= piece
            place, reached = 0, masses[0]
            while throws[k, feature] >= reached and place < len(masses) - 1:
                place += 1
                reached += masses[place]
            increments[place, feature] += piece
    return increments


def shapley(value, players):
    """Exact Shapley values of `value(set of players)`: the mean over all orders of arrival."""
    worth = [0.0] * players
    orders = list(itertools.permutations(range(players)))
    for order in orders:
        present: set[int] = set()
        for player in order:
            before = value(present)
            present = present | {player}
            worth[player] += (value(present) - before) / len(orders)
    return worth
