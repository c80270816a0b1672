"""LPI, local path integration (Yang, Akhtar, Wen and Mian 2023): Expected Gradients with references near the image.

Notation: bank of `N` images in `K` clusters (k-means). An image's references come from the `n_nearest` clusters whose
centres lie nearest to it, each cluster as often as it is large, hence every member alike: the bank's own density there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffig.attribution.expected_gradients import ExpectedGradients
from diffig.baselines import Baseline, Dataset
from diffig.checks import check_at_least
from diffig.randomness import stream
from diffig.scores import ScoreFunction


class LocalPathIntegration(ExpectedGradients):
    """Expected Gradients whose references share the image's neighbourhood; one cluster makes them the same.

    The authors cluster the classifier's representations and weigh 20 fixed references by the size of their own small
    clusters; here pixels are clustered, which needs no layer to be named, and members are drawn.

    Args:
        score, baseline, seed, references, steps, stratified: as in `ExpectedGradients`.
        n_clusters: `K`, at most the size of the bank; clusters are found anew with each seed.
        n_nearest: clusters that an image draws from.
    """

    name = "lpi"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        references: Dataset | None = None,
        steps: int = 128,
        stratified: bool = False,
        n_clusters: int = 10,
        n_nearest: int = 1,
    ) -> None:
        super().__init__(score, baseline, seed, references=references, steps=steps, stratified=stratified)
        self.n_clusters = check_at_least(n_clusters, 1, "n_clusters", "clusters of the bank")
        self.n_nearest = check_at_least(n_nearest, 1, "n_nearest", "clusters that an image draws from")
        self._found: tuple[Tensor, Tensor, Tensor] | None = None

    def _weights(self, images: Tensor, bank: Tensor) -> Tensor:
        if self._found is None or self._found[0] is not bank:
            self._found = bank, *k_means(bank.flatten(1), min(self.n_clusters, len(bank)), self.seed)
        _, centres, member = self._found
        distance = torch.cdist(images.flatten(1).double().cpu(), centres, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distance.argsort(dim=1, stable=True)[:, : self.n_nearest]
        chosen = (member == nearest[..., None]).any(1).double()
        return chosen / chosen.sum(1, keepdim=True)


def k_means(points: Tensor, n_clusters: int, seed: int, rounds: int = 50) -> tuple[Tensor, Tensor]:
    """Return the centres `(K, D)` of clusters that all have members, and the cluster `(N,)` of each point.

    Lloyd's rounds in float64 on the CPU, begun at random points that lie far apart (k-means++; Arthur and
    Vassilvitskii 2007).

    Args:
        points: `(N, D)`.
        n_clusters: `K` at most; equal points may leave fewer.
        seed: of the start.
        rounds: at most.
    """
    points = points.detach().double().cpu()
    rng = stream(seed, "k-means", 0)
    centres = points[rng.integers(len(points))][None]
    while len(centres) < n_clusters:
        square = torch.cdist(points, centres).amin(1).square()
        if not square.sum() > 0:
            break
        centres = torch.cat([centres, points[rng.choice(len(points), p=(square / square.sum()).numpy())][None]])
    member = torch.cdist(points, centres).argmin(1)
    for _ in range(rounds):
        kept, member = member.unique(return_inverse=True)
        centres = torch.stack([points[member == cluster].mean(0) for cluster in range(len(kept))])
        moved = torch.cdist(points, centres).argmin(1)
        if torch.equal(moved, member):
            break
        member = moved
    kept, member = member.unique(return_inverse=True)
    return centres[kept], member
