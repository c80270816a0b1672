"""Deep Taylor decomposition (Montavon et al. 2017): `z_plus` in hidden layers and `box` in the first."""

from __future__ import annotations

from torch import Tensor, nn

from diffig.attribution.lrp import LRP, Composite
from diffig.baselines import Baseline
from diffig.scores import ScoreFunction


class DeepTaylor(LRP):
    """Relevance of at least 0 that starts at the positive part of the score; otherwise as `LRP`.

    Args:
        score, baseline, seed: as in `LRP`; objective `logit` (the paper's) or `probability`.
        ignore_bias: as in `LRP`. Positive biases absorb relevance otherwise; the paper wants none.

    Raises:
        ImportError: Zennit is not installed.
        ValueError: an objective that is a difference of classes.
    """

    name = "deep_taylor"

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        ignore_bias: bool = False,
    ) -> None:
        super().__init__(score, baseline, seed, ignore_bias=ignore_bias)
        if self.score.objective == "margin":
            raise ValueError("objective=margin has negative relevance to share; choose logit or probability")
        self.composite = Composite("z_plus", "z_plus", first="box")

    def start(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the positive part of the relevance of the logits `(B, K)`."""
        return super().start(logits, targets).relu()
