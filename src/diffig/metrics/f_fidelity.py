"""F-Fidelity: few pixels are removed, and a classifier fine-tuned on such images scores them, so none is unusual.

Notation: `P` pixels, a size `s` of them; `S` the `s` pixels that rank highest, or lowest; `alpha` the share of `S` that
goes, `beta` the share of the image that may go at all; `y` the explained class, `g` the judge.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from diffig.checks import check_at_least, check_choice
from diffig.classifiers.checkpoint import load_weights
from diffig.metrics.base import Measured, Metric
from diffig.metrics.explained import Explained, check_classes
from diffig.metrics.masking import Reduce, order_of, pixel_map, ranks_of, read
from diffig.metrics.replacement import dataset_mean
from diffig.randomness import Streams
from diffig.scores import ScoreFunction

SIZES = (0.05, 0.1, 0.2, 0.3, 0.5)


class FFidelity(Metric):
    """Fine-tuned fidelity, FFid+, FFid- and their difference (Zheng, Shirani, Chen, Lin, Cheng, Guo, Luo, ICLR 2025).

    For each size `s`, `min(alpha s, beta P)` random pixels of the `s` highest are set to the judge's mean colour;
    `f_fidelity_plus` is how much `g` loses by it, the mean over sizes and samples, and higher is better.
    `f_fidelity_minus` is the same of the `s` lowest, and lower is better; `f_fidelity` is plus minus minus, higher is
    better, 0 for a random or constant map. In [-1, 1]. `g` is read as the authors do, is `y` the prediction, and by its
    probability (`_probability`) from the same forwards; the curves show each size.

    **The judge** is a classifier of the same architecture that was fine-tuned on images with random pixels missing, up
    to the share `beta`, so that nothing here is outside what it has seen, and that never saw an attribution:

        diffig-train module=classifier module.drop=0.1 classifier.checkpoint=<the explained classifier's weights>

    leaves it as `classifier.safetensors`. **Without it** (`checkpoint=null`) the explained classifier judges itself:
    the un-repaired form, the authors' robust fidelity (R-Fid), whose names say so, `r_fidelity_plus` and the like.

    Names carry the variant: `_signed` and the like for another reduction. Pixels go in a fixed number where the authors
    drop each with that probability, so that `beta` is never passed. The draws of an image are the same for every map,
    size and side.

    Args:
        checkpoint: the judge's weights, or None.
        sizes: shares of the pixels, strictly between 0 and 1; the authors go from .05 to 1 in steps of .05.
        alpha: share of a set that goes.
        beta: the largest share of the image that goes; the `module.drop` that the judge was fine-tuned with.
        n_samples: random choices for each size and side.
        reduce: how channels make a pixel's rank; the authors rank by the sum, `signed`.
        seed: of choices and ties.
    """

    family = "faithfulness by removal"
    value_range = (-1.0, 1.0)
    sensitive_to = ("checkpoint", "sizes", "alpha", "beta", "n_samples", "reduce", "seed")

    def __init__(
        self,
        checkpoint: str | Path | None = None,
        sizes: Sequence[float] = SIZES,
        alpha: float = 0.5,
        beta: float = 0.1,
        n_samples: int = 50,
        reduce: Reduce = "abs_sum",
        seed: int = 0,
    ) -> None:
        if not sizes or not all(0 < size < 1 for size in sizes):
            raise ValueError(f"sizes={list(sizes)} must lie strictly between 0 and 1; see SIZES")
        if not 0 < alpha <= 1 or not 0 < beta <= 1:
            raise ValueError(f"alpha={alpha} and beta={beta} must lie in (0, 1]; the authors' are .5 and .1")
        check_choice(reduce, Reduce, "reduce")
        self.checkpoint = None if checkpoint is None else Path(checkpoint).expanduser()
        if self.checkpoint is not None and not self.checkpoint.is_file():
            raise FileNotFoundError(
                f"checkpoint {self.checkpoint} of F-Fidelity's judge does not exist; make one with diffig-train "
                "module=classifier module.drop=0.1, or set checkpoint=null to let the classifier judge itself"
            )
        self.axis = tuple(float(size) for size in sizes)
        self.alpha, self.beta, self.reduce, self.seed = float(alpha), float(beta), reduce, seed
        self.n_samples = check_at_least(n_samples, 1, "n_samples", "random choices for each size and side")
        self.forwards = 2 * len(self.axis) * self.n_samples + 1
        kind = ("r" if checkpoint is None else "f") + "_fidelity"
        suffix = "" if reduce == "abs_sum" else f"_{reduce}"
        ends = (suffix, f"{suffix}_probability")
        self.names = tuple(f"{kind}{side}{end}" for end in ends for side in ("_plus", "_minus", ""))
        self.curve_names = tuple(name for place, name in enumerate(self.names) if place % 3 < 2)
        self.direction = {name: "lower" if place % 3 == 1 else "higher" for place, name in enumerate(self.names)}
        self._judge: tuple[nn.Module, nn.Module] | None = None

    def _measure(self, explained: Explained) -> Measured:
        judge = self._judge_of(explained)
        own = judge is explained.score
        clean = explained.clean_logits if own else judge.logits(explained.images)
        check_classes(explained.targets, clean.shape[1])
        before = responses(clean, explained.targets)
        groups = [self._left(explained, rows, judge) for rows in explained.groups()]
        if not own:
            explained.score.charge(judge.cost.forward_images)
        values: dict[str, Tensor] = {}
        curves: dict[str, Tensor] = {}
        for place, (whole, after) in enumerate(zip(before, zip(*groups, strict=True), strict=True)):
            plus, minus = (whole[:, None] - torch.cat(after)).split(len(self.axis), dim=1)
            names = self.names[3 * place : 3 * place + 3]
            values |= dict(zip(names, (plus.mean(1), minus.mean(1), (plus - minus).mean(1)), strict=True))
            curves |= dict(zip(names[:2], (plus, minus), strict=True))
        return Measured(values, curves)

    def _judge_of(self, explained: Explained) -> ScoreFunction:
        """What judges: the score itself, or a copy of its classifier with the judge's weights, made once."""
        if self.checkpoint is None:
            return explained.score
        classifier, device = explained.score.classifier, explained.images.device
        if self._judge is None or self._judge[0] is not classifier:
            spare = copy.deepcopy(classifier)
            try:
                load_weights(spare, self.checkpoint)
            except ValueError as error:
                raise ValueError(
                    f"F-Fidelity's judge must have the explained classifier's architecture: {error}"
                ) from error
            self._judge = classifier, spare.requires_grad_(False).eval()
        return ScoreFunction(self._judge[1].to(device), chunk_size=explained.score.chunk_size)

    def _left(self, explained: Explained, rows: slice, judge: ScoreFunction) -> tuple[Tensor, Tensor]:
        """What the judge says without the chosen pixels, `(B, 2 n)`: the mean over samples, highest ones first."""
        images, targets, indices = explained.images[rows], explained.targets[rows], explained.indices[rows]
        ranks = ranks_of(order_of(pixel_map(explained.maps[rows], self.reduce).flatten(1), self.seed, indices)).long()
        streams, colour, pixels = Streams(self.seed, indices), dataset_mean(images, judge)[0], ranks.shape[1]
        sizes = [max(1, int(size * pixels)) for size in self.axis]
        counts = [max(1, int(min(self.alpha * size, self.beta * pixels))) for size in sizes]
        sides = 2 * len(sizes)
        found: tuple[list[Tensor], list[Tensor]] = ([], [])
        pairs = torch.arange(len(images) * self.n_samples, device=images.device)
        for some in pairs.split(max(1, judge.chunk_size // sides)):
            image, sample = some // self.n_samples, some % self.n_samples
            drawn = [
                torch.from_numpy(streams.numpy(row, path, "f_fidelity").permutation(pixels))
                for row, path in zip(image.tolist(), sample.tolist(), strict=True)
            ]
            highest = chosen(torch.stack(drawn).to(images.device), sizes, counts)
            by_rank = torch.cat([highest, highest.flip(2)], 1)
            gone = by_rank.gather(2, ranks[image][:, None].expand_as(by_rank)).reshape(-1, 1, *images.shape[2:])
            logits = judge.logits(torch.where(gone, colour, images[image].repeat_interleave(sides, 0)))
            for column, part in zip(found, responses(logits, targets[image].repeat_interleave(sides)), strict=True):
                column.append(part)
        hit, probability = (torch.cat(column).reshape(len(images), self.n_samples, sides).mean(1) for column in found)
        return hit, probability


def chosen(draws: Tensor, sizes: Sequence[int], counts: Sequence[int]) -> Tensor:
    """Return which of P places go, `(N, n, P)` bool: of the first `sizes[k]` those with the `counts[k]` least draws.

    Args:
        draws: `(N, P)`, no number twice in a row.
        sizes: n of them, each at most P.
        counts: how many go, at least one and at most the size.
    """
    places = torch.arange(draws.shape[1], device=draws.device)
    limits = [
        draws[:, :size].kthvalue(count, dim=1, keepdim=True).values for size, count in zip(sizes, counts, strict=True)
    ]
    return torch.stack([(places < size) & (draws <= limit) for size, limit in zip(sizes, limits, strict=True)], 1)


def responses(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return whether logits `(N, K)` predict the targets `(N,)`, 0 or 1, and the probability of these, both `(N,)`."""
    said = read(logits, targets)
    return said.hit.to(said.probability), said.probability
