"""Performance information curves: what a classifier makes of an image while its pixels come back out of a blur.

Notation: `z_0` the blurred image, `z_k` the same with the share `q_k` that ranks highest put back, `z` the image; `I`
the information of an image, `p` the target's probability. Points of a curve are `x_k = (I(z_k) - I(z_0)) / (I(z) -
I(z_0))` and the same of the response, both clipped to [0, 1], the response made monotone in k; they begin at (0, 0) and
end at (1, 1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diffig.checks import check_at_least, check_choice
from diffig.metrics.base import Measured, Metric
from diffig.metrics.explained import Explained
from diffig.metrics.image_information import MEASURES, Information
from diffig.metrics.masking import Reduce, order_of, pixel_map, ranks_of, read
from diffig.metrics.pull_push import pull_push
from diffig.randomness import Streams

FRACTIONS = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.10, 0.13, 0.21, 0.34, 0.5, 0.75)


class InformationCurves(Metric):
    """Accuracy and softmax information curves, `aic` and `sic` (Kapishnikov, Bolukbasi, Viegas and Terry, ICCV 2019).

    **The least reliable scores here, and therefore in no other set of metrics**: from image to image their rankings of
    methods agree less than those of any score they were tested with (inter-rater reliability .185 for AIC and .323 for
    SIC, where insertion minus deletion has .657 and MAS .715; Walker, Simon, Chen and Ewetz, IJCAI 2024).

    A few random pixels and the corners are known, the rest is interpolated; then the pixels that rank highest become
    known. The x-axis is the image's information, the y-axis the target's probability (`sic`) or whether the target is
    the prediction (`aic`), both from 0 for the blurred image to 1 for the clean one. The value is the area below the
    curve, in [0, 1], higher is better.

    NaN where the authors drop an image; its row stays. Both: the blurred image holds as much information as the clean
    one. `sic`: the clean probability is below `least_probability`, or not above that of the blurred image. `aic`: the
    clean image is misclassified, or the blurred one is not. Compare methods on the same images.

    A variant of the published code: pixels in between come from `pull_push` instead of a triangulation; exactly `q H W`
    pixels are put back, ties at random; a response that costs no information counts from x = 0 on; the area is exact
    instead of read off 1,001 points; the network sees the interpolated image, its information is measured at 8 bits.

    Names carry the variant: `_signed` and the like for another reduction, `_entropy` for the other information.

    Args:
        information: `webp`, the size of a lossless WebP file, the authors', one image at a time on the CPU, about .08 s
            each at 224 x 224; or `entropy`, that of prediction residuals, on the device, a tenth of the time. On
            photographs both order the points of a curve alike; of images with few grey levels entropy says little.
        fractions: shares of the pixels put back, ascending; the authors' own 13.
        known: share of the pixels that are known from the beginning, drawn for each image.
        least_probability: see above; the authors' is .8, 0 keeps all images.
        reduce: how channels make a pixel's rank; the authors leave it to the caller, `|sum_c a|` is usual.
        n_points: of the curves, evenly spaced; the area does not depend on it.
        seed: of known pixels and ties.
    """

    direction = "higher"
    value_range = (0.0, 1.0)
    family = "faithfulness by removal"
    sensitive_to = ("information", "fractions", "known", "least_probability", "reduce", "seed")

    def __init__(
        self,
        information: Information = "webp",
        fractions: Sequence[float] = FRACTIONS,
        known: float = 0.01,
        least_probability: float = 0.8,
        reduce: Reduce = "abs_sum",
        n_points: int = 101,
        seed: int = 0,
    ) -> None:
        check_choice(information, Information, "information")
        check_choice(reduce, Reduce, "reduce")
        if not fractions or not all(0 < one < 1 for one in fractions) or sorted(fractions) != list(fractions):
            raise ValueError(f"fractions={list(fractions)} must ascend strictly between 0 and 1; see FRACTIONS")
        if not 0 <= known < 1 or not 0 <= least_probability < 1:
            raise ValueError(
                f"known={known} and least_probability={least_probability} must lie in [0, 1); .01 and .8 are usual"
            )
        self.information, self.reduce, self.seed = information, reduce, seed
        self.fractions, self.known = tuple(float(one) for one in fractions), float(known)
        self.least_probability = float(least_probability)
        points = check_at_least(n_points, 2, "n_points", "points of the curves")
        self.axis = tuple(place / (points - 1) for place in range(points))
        suffix = ("" if reduce == "abs_sum" else f"_{reduce}") + ("" if information == "webp" else f"_{information}")
        self.names = self.curve_names = (f"aic{suffix}", f"sic{suffix}")
        self.forwards = len(self.fractions) + 2

    def _measure(self, explained: Explained) -> Measured:
        parts = [self._read(explained, rows) for rows in explained.groups()]
        information, probability, hit = (torch.cat(part) for part in zip(*parts, strict=True))
        clean = explained.clean_probability
        whole = torch.cat([MEASURES[self.information](explained.images[rows]) for rows in explained.groups()])
        right = explained.clean_logits.argmax(1) == explained.targets
        grows = whole > information[:, 0]
        sound = {
            "aic": right & ~hit[:, 0].bool(),
            "sic": (clean > probability[:, 0]) & (clean >= self.least_probability),
        }
        axis = torch.tensor(self.axis, dtype=clean.dtype, device=clean.device)
        values, curves = [], []
        for kind, response, last in (("aic", hit, right.to(hit)), ("sic", probability, clean)):
            x, y = polyline(information, whole, response, last)
            kept = grows & sound[kind]
            values.append(torch.where(kept, torch.trapezoid(y, x, dim=1), torch.nan))
            curves.append(torch.where(kept[:, None], interpolated(x, y, axis), torch.nan))
        return Measured(dict(zip(self.names, values, strict=True)), dict(zip(self.curve_names, curves, strict=True)))

    def _read(self, explained: Explained, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Information, target's probability and whether it is the prediction, `(B, 1 + n)`, of one group's `z_k`."""
        images, targets, indices = explained.images[rows], explained.targets[rows], explained.indices[rows]
        order = order_of(pixel_map(explained.maps[rows], self.reduce).flatten(1), self.seed, indices)
        ranks = ranks_of(order).reshape(len(images), 1, *images.shape[2:])
        first = first_known(images, self.known, Streams(self.seed, indices))
        pixels = order.shape[1]
        shown = torch.tensor([0, *(int(one * pixels) for one in self.fractions)], device=images.device)
        found: list[list[Tensor]] = [[], [], []]
        for copies in torch.arange(len(images) * len(shown), device=images.device).split(explained.score.chunk_size):
            image, number = copies // len(shown), copies % len(shown)
            given = first[image] | (ranks[image] < shown[number][:, None, None, None])
            blurred = pull_push(images[image], given)
            logits = explained.score.logits(blurred)
            found[0].append(MEASURES[self.information](blurred))
            said = read(logits, targets[image])
            found[1].append(said.probability)
            found[2].append(said.hit.to(images))
        information, probability, hit = (torch.cat(column).reshape(len(images), -1) for column in found)
        return information, probability, hit


def first_known(images: Tensor, share: float, streams: Streams) -> Tensor:
    """Return which pixels `(B, 1, H, W)` of the images `(B, C, H, W)` are known: a random share, and the corners."""
    height, width = images.shape[2:]
    known = torch.zeros(len(images), height * width, dtype=torch.bool)
    for row in range(len(images)):
        chosen = streams.numpy(row, purpose="known pixels").permutation(height * width)[: int(share * height * width)]
        known[row, chosen] = True
    known = known.reshape(-1, 1, height, width)
    known[..., [0, 0, -1, -1], [0, -1, 0, -1]] = True
    return known.to(images.device)


def polyline(information: Tensor, whole: Tensor, response: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Return the points `x, y`, both `(B, n + 2)`, of curves from (0, 0) to (1, 1), with x ascending.

    Args:
        information: `(B, 1 + n)` of the blurred image, then of those in between.
        whole: `(B,)` information of the clean image.
        response: `(B, 1 + n)` the same of the classifier's response.
        last: `(B,)` response to the clean image.
    """

    def scaled(values: Tensor, end: Tensor) -> Tensor:
        span = (end - values[:, 0])[:, None]
        inner = (values[:, 1:] - values[:, :1]) / torch.where(span > 0, span, 1)
        return torch.nn.functional.pad(inner.clamp(0, 1), (1, 0))

    x, y = scaled(information, whole).to(response), scaled(response, last).cummax(1).values
    x, y = (torch.nn.functional.pad(side, (0, 1), value=1.0) for side in (x, y))
    x, place = x.sort(dim=1, stable=True)  # a codec may find an image with more pixels a little smaller
    return x, y.gather(1, place)


def interpolated(x: Tensor, y: Tensor, axis: Tensor) -> Tensor:
    """Return `(B, m)`, the polylines through `x` (ascending from 0 to 1) and `y`, `(B, n)`, read at `axis` `(m,)`."""
    end = torch.searchsorted(x, axis.expand(len(x), -1).contiguous(), right=True).clamp(max=x.shape[1] - 1)
    (left, right), (low, high) = ((side.gather(1, end - 1), side.gather(1, end)) for side in (x, y))
    span = right - left
    share = torch.where(span > 0, (axis - left) / torch.where(span > 0, span, 1), 1)
    return low + share * (high - low)
