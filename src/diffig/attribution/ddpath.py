"""Integration along denoising diffusion paths, DDPath (Lei et al., NeurIPS 2024): a reconstruction.

The authors released no code, and the mean and variance of their steps are not fully written down. What is known is
kept: a path from Gaussian noise, moved by the reverse chain of a pretrained diffusion model under classifier guidance,
rescaled so that it is centred on the explained image and its noise shrinks to 0, with an exponent of the scaling.
`diffig.paths.ddpath` says how this is done here. One thing differs on purpose: the paper guides by a classifier
trained on noisy images; here the explained classifier guides, at the denoised image.
"""

from __future__ import annotations

from torch import Tensor, nn

from diffig.attribution.path_attributor import PathAttributor
from diffig.baselines import Baseline
from diffig.checks import check_at_least
from diffig.credit import Credit, Rule
from diffig.diffusion.levels import ImageDenoiser
from diffig.integration.aggregate import Aggregation
from diffig.integration.integrate import Integral
from diffig.integration.quadrature import Nodes
from diffig.paths.ddpath import DenoisingPath
from diffig.randomness import Streams
from diffig.scores import ScoreFunction


class DDPath(PathAttributor):
    """Integrates from a noise image, which it draws itself, to the image; the gap is that of its own ends.

    Args:
        score, baseline, seed: as in `Attributor`; the baseline is not used.
        diffusion: an image diffusion model, see `diffig.generative.ImageDiffusion`.
        sample_steps, exponent, omega, eta: of the path, see `DenoisingPath`.
        steps: backward images for each path, guidance included.
        n_paths, aggregation: random paths for each image and how they are joined.
        rule, credit, nodes: of the integral, see `PathAttributor`.

    Raises:
        ValueError: `steps` do not pay for the guidance.
    """

    name = "ddpath"
    asks_baseline = False

    def __init__(
        self,
        score: ScoreFunction | nn.Module,
        baseline: Baseline | None = None,
        seed: int = 0,
        *,
        diffusion: ImageDenoiser,
        sample_steps: int = 16,
        exponent: float = 1.0,
        omega: float = 0.3,
        eta: float = 0.0,
        steps: int = 128,
        n_paths: int = 1,
        aggregation: Aggregation = "mean",
        rule: Rule = "midpoint",
        credit: Credit | str | None = None,
        nodes: Nodes = "uniform",
    ) -> None:
        path = DenoisingPath(diffusion, sample_steps, exponent, omega, eta)
        spent = path.backward_images
        if check_at_least(steps, 1, "steps", "backward images for each path") <= spent:
            raise ValueError(
                f"steps={steps} backward images do not pay for the {spent} gradients of the guidance; raise steps, "
                "lower method.sample_steps, or set method.omega=0"
            )
        options = {"rule": rule, "credit": credit, "nodes": nodes, "n_paths": n_paths, "aggregation": aggregation}
        super().__init__(score, path, baseline, seed, steps=steps - spent, **options)  # type: ignore[arg-type]
        self.diffusion, self.omega = diffusion, path.omega

    @property
    def guidance_strengths(self) -> dict[str, float]:
        """Strength of the classifier guidance."""
        return {"omega": self.omega}

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        if isinstance(self.diffusion, nn.Module):
            self.diffusion.to(images.device)
        return super()._explain(images, baselines, targets, streams)
