"""Fisher's metric on images, pulled back from the classifier's predictions, with a prior that makes it regular.

Notation: logits `z(x)` with Jacobian `J`, probabilities `p`, `S = diag(p) - p p^T`; metric `A = J^T S J + R`, prior
precision `R = a I + c L^2` with `L` the Laplacian of each channel, reflected at the borders. Cosines are the
eigenvectors of `L`, so that `R` is a product of numbers there and `inv(R)` preconditions: of `K` classes only `K - 1`
directions are then left to find.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from diffig.paths.conjugate_gradients import conjugate_gradients
from diffig.paths.spectra import cosines
from diffig.scores import ScoreFunction


class Prior:
    """The prior precision `R = a I + c L^2` of images of one size.

    Args:
        images: `(B, C, H, W)` of that size, of the same type and device.
        damping: `a`, positive.
        smoothing: `c`, not negative; makes rough directions dear.
    """

    def __init__(self, images: Tensor, damping: float, smoothing: float) -> None:
        self.rows, self.columns = (cosines(size).to(images) for size in images.shape[-2:])
        laplacian = _frequencies(images, -2)[:, None] + _frequencies(images, -1)
        self.precision = damping + smoothing * laplacian.square()

    def times(self, vectors: Tensor) -> Tensor:
        """Return `R v` of `(n, C, H, W)`."""
        return self._scaled(vectors, self.precision)

    def solve(self, vectors: Tensor) -> Tensor:
        """Return `inv(R) v` of `(n, C, H, W)`."""
        return self._scaled(vectors, 1 / self.precision)

    def _scaled(self, vectors: Tensor, scale: Tensor) -> Tensor:
        return self.rows.mT @ (scale * (self.rows @ vectors @ self.columns.mT)) @ self.columns


def _frequencies(images: Tensor, axis: int) -> Tensor:
    """Eigenvalues of minus the second difference of `n` numbers with reflected ends, `2 - 2 cos(pi k / n)`."""
    size = images.shape[axis]
    numbers = torch.arange(size, device=images.device, dtype=images.dtype)
    return 2 - 2 * torch.cos(torch.pi * numbers / size)


def fisher_product(score: ScoreFunction, points: Tensor, vectors: Tensor) -> Tensor:
    """Return `J^T S J v` at `points` for `vectors`, all `(n, C, H, W)`.

    One pass for each: derivatives along `v` come with the logits, and the same pass is then gone through backwards.
    It is charged as one forward and one backward image, though its forward half carries twice the numbers.
    """
    products = []
    with (
        score.borrowed(),
        torch.inference_mode(False),
        torch.enable_grad(),
        sdpa_kernel(SDPBackend.MATH),  # the only attention that has derivatives along a direction
    ):
        for chunk, along in zip(points.split(score.chunk_size), vectors.split(score.chunk_size), strict=True):
            leaf = chunk.detach().clone().requires_grad_()
            with forward_ad.dual_level():
                dual = forward_ad.make_dual(leaf, along.detach().clone())
                logits, change = forward_ad.unpack_dual(score.ask(dual))
                change = torch.zeros_like(logits) if change is None else change.detach()
            likely = logits.detach().softmax(1)
            weighted = likely * (change - (likely * change).sum(1, keepdim=True))
            products.append(torch.autograd.grad(logits, leaf, weighted)[0])
    score.charge(len(points), len(points))
    return torch.cat(products)


def natural_direction(
    score: ScoreFunction, points: Tensor, gradients: Tensor, prior: Prior, iterations: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Return `v = inv(A) g` and `v^T J^T S J v` `(n,)`, twice the divergence that a step of `v` costs.

    Args:
        score: its classifier is asked.
        points, gradients: `(n, C, H, W)`, where, and `g`.
        prior: `R`.
        iterations, tolerance: of the conjugate gradients; an iteration costs one forward and one backward image.
    """

    def product(rows: Tensor, vectors: Tensor) -> Tensor:
        return fisher_product(score, points[rows], vectors) + prior.times(vectors)

    solution, residual = conjugate_gradients(product, prior.solve, gradients, iterations, tolerance)
    curvature = (solution * (gradients - residual - prior.times(solution))).flatten(1).sum(1)
    return solution, curvature.clamp_min(0)
