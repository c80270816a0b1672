"""What an ensemble of pictures tells of a classifier's gradient without a derivative (Kim et al., CVPR 2025, FreeMCG).

Notation: particles `x_k`, `k = 1 ... K`, their logits `f_k`, means `m` and `n`. To second order in the particles'
spread `C_xf = 1/K sum_k (x_k - m) (f_k - n)^T` is `C_xx J^T` with `J` the Jacobian, so that for a residual
`r = e_c - p` (one-hot target minus softmax) `C_xf r` is the gradient of `log p_c` multiplied by the particles'
covariance: directions in which the particles do not vary are gone.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import one_hot


def residual(logits: Tensor, targets: Tensor) -> Tensor:
    """Return `e_c - p` `(B, ..., n)` of logits shaped alike and targets `(B,)`."""
    wanted = one_hot(targets, logits.shape[-1]).to(logits)
    return wanted.view(len(logits), *[1] * (logits.ndim - 2), -1) - logits.softmax(-1)


def covariance_gradient(particles: Tensor, logits: Tensor, residuals: Tensor) -> Tensor:
    """Return `C_xf r` for each residual, `(B, J, D)`.

    Args:
        particles: `(B, K, D)`.
        logits: `(B, K, n)` of the particles.
        residuals: `(B, J, n)`.
    """
    weights = residuals @ (logits - logits.mean(1, keepdim=True)).transpose(1, 2)
    return weights @ (particles - particles.mean(1, keepdim=True)) / particles.shape[1]


def own_terms(particles: Tensor, logits: Tensor, residuals: Tensor) -> Tensor:
    """Return `(x_k - m) (f_k - n)^T r_k` `(B, K, D)`: of each particle's sum its own term alone, as released.

    Args:
        particles, logits, residuals: `(B, K, D)`, `(B, K, n)` and `(B, K, n)`.
    """
    weights = ((logits - logits.mean(1, keepdim=True)) * residuals).sum(2, keepdim=True)
    return weights * (particles - particles.mean(1, keepdim=True))
