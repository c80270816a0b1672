"""Guidance of a sampled path: energies with a strength each, and proposals of which the best are kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from diffig.checks import check_at_least, check_choice
from diffig.integration.soft_insertion_deletion import Fill, Unit
from diffig.method.guidance.energies import ENERGIES, NEEDS_GRADIENTS, PathView, direction
from diffig.renamed import old_arguments, old_attribute
from diffig.scores import ScoreFunction

Kept = Literal["mean", "consensus", "best_mixture"]


@old_arguments(waste="absolute_mass", nodes="gradients")
class Guidance:
    """How sampled paths are bent towards what the user wants.

    Two means, both at inference time. *Energies* shift the predicted clean field at each denoising step; a strength is
    the root mean square shift in standard deviations of the stick-breaking distribution, 0 turns an energy off, a
    negative one asks for the opposite. *Proposals* are samples of one path, of which is kept what they agree on, their
    mean, or the mixture of the best soft insertion minus deletion: DiffIG's faithfulness as a criterion instead of a
    trained network, for forward passes only.

    Args:
        faithfulness: mean score along the path.
        absolute_mass: less attribution mass on the way, of either sign.
        complexity: less entropy of |A|.
        smoothness: less total variation of the field.
        region: the user's mask moves first (negative: last).
        gradients: classifier gradients for each path and denoising step; `absolute_mass` and `complexity` need 2.
        start, stop: the share of the denoising steps during which energies act.
        proposals: samples for each path; 1 takes the first as it is.
        keep: what is kept of them: their `mean`, their `consensus` (see `aggregate`), or the
            `best_mixture`, which is judged. Of several, each image gets the one that is judged best, with the width
            over which it is shared.
        units: features removed when attributions are judged, `element` and/or `pixel`.
        fill: what stands for them, `kept_mean`, `baseline` or `blur`, see `soft_insertion_deletion`.
    """

    def __init__(
        self,
        faithfulness: float = 0.0,
        absolute_mass: float = 0.0,
        complexity: float = 0.0,
        smoothness: float = 0.0,
        region: float = 0.0,
        gradients: int = 2,
        start: float = 0.0,
        stop: float = 0.5,
        proposals: int = 1,
        keep: Kept | Sequence[Kept] = "mean",
        units: Sequence[Unit] = ("element", "pixel"),
        fill: Fill = "kept_mean",
    ) -> None:
        strengths = {
            "faithfulness": faithfulness,
            "absolute_mass": absolute_mass,
            "complexity": complexity,
            "smoothness": smoothness,
            "region": region,
        }
        for name, strength in strengths.items():
            if not math.isfinite(strength):
                raise ValueError(f"guidance.{name}={strength} must be a finite number; 0 turns it off")
        if not 0 <= start < stop <= 1:
            raise ValueError(f"guidance.start={start} and guidance.stop={stop} must satisfy 0 <= start < stop <= 1")
        if gradients < 2 and (absolute_mass or complexity):
            raise ValueError(
                f"guidance.gradients={gradients} sees one piece, whose mass is fixed; absolute_mass and complexity "
                "need 2"
            )
        if not units or any(unit not in get_args(Unit) for unit in units):
            raise ValueError(f"guidance.units={list(units)} must name some of {list(get_args(Unit))}")
        self.strengths = {name: float(strength) for name, strength in strengths.items()}
        self.gradients = check_at_least(
            gradients, 1, "guidance.gradients", "classifier gradients for each denoising step"
        )
        self.proposals = check_at_least(proposals, 1, "guidance.proposals", "samples for each path; 1 judges nothing")
        check_choice(fill, Fill, "guidance.fill")
        self.keep: tuple[Kept, ...] = tuple(keep) if isinstance(keep, list | tuple) else (keep,)  # type: ignore[assignment]
        for way in self.keep:
            check_choice(way, Kept, "guidance.keep")
        if not self.keep or len(set(self.keep)) < len(self.keep):
            raise ValueError(
                f"guidance.keep={list(self.keep)} must name one or more of {list(get_args(Kept))}, once each"
            )
        self.start, self.stop, self.units, self.fill = start, stop, tuple(units), fill

    nodes = old_attribute("nodes", "gradients")

    @property
    def active(self) -> dict[str, float]:
        """The energies with a strength other than 0."""
        return {name: strength for name, strength in self.strengths.items() if strength != 0}

    @property
    def needs_gradients(self) -> bool:
        """Whether any active energy asks the classifier."""
        return any(name in NEEDS_GRADIENTS for name in self.active)

    def acts(self, step: int, n_steps: int) -> bool:
        """Return whether energies act at denoising step `step` of `n_steps`."""
        return bool(self.active) and self.start <= step / n_steps < self.stop

    def backward_images(self, n_steps: int) -> int:
        """Return the backward images that `n_steps` denoising steps cost for each sample."""
        acting = sum(self.acts(step, n_steps) for step in range(n_steps))
        return acting * self.gradients if self.needs_gradients else 0

    def view(
        self,
        at: Callable[[Tensor], Tensor],
        length: float,
        progress: Tensor,
        step: int,
        score: ScoreFunction,
        targets: Tensor,
        region: Tensor | None = None,
    ) -> PathView:
        """Return `N` paths as energies see them, with a classifier gradient in each piece where one is needed.

        Args:
            at: positions `(N, K)` in [0, `length`] to points `(N, K, C, H, W)` of the paths, with graph.
            length: of the positions.
            progress: `(N, bands, T + 1, h, w)`, with graph.
            step: denoising step; nodes lie elsewhere in each piece at each step (golden ratio), so that together the
                steps see the whole path.
            score, targets: what is explained.
            region: `(N, 1, H, W)` mask in [0, 1].
        """
        where = (0.5 + step * 0.6180339887) % 1
        pieces = torch.arange(self.gradients + 1, device=progress.device, dtype=progress.dtype)
        places = torch.cat([pieces, pieces[:-1] + where]) * (length / self.gradients)
        points, nodes = at(places.expand(len(progress), -1)).split([self.gradients + 1, self.gradients], 1)
        if self.needs_gradients:
            asked = nodes.detach().flatten(0, 1)
            values, gradients = score.value_and_grad(asked, targets.repeat_interleave(self.gradients))
            values, gradients = values.view(-1, self.gradients), gradients.view_as(nodes)
        else:
            values, gradients = nodes.new_zeros(nodes.shape[:2]), torch.zeros_like(nodes)
        mask = (
            None
            if region is None
            else adaptive_avg_pool2d(region.to(progress), (progress.shape[-2], progress.shape[-1]))
        )
        return PathView(progress, points, nodes, values, gradients, mask)

    def shift(self, view: PathView, field: Tensor) -> Tensor:
        """Return what to add to `field` `(N, ...)`.

        Args:
            view: the path that `field` stands for, with its graph.
            field: the predicted clean field, a leaf of that graph.
        """
        total = torch.zeros_like(field)
        for name, strength in self.active.items():
            total += strength * direction(ENERGIES[name](view), field)
        return total
