"""What is random about one training sample, and nothing else: number `n` is the same on whatever rank it falls.

Training takes sample number `n = 0, 1, 2, ...` in this order over all ranks. A run that is resumed at step `s` goes on
with number `s * (samples of one step)`; two processes with half the batch each see what one process sees.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from diffig.randomness import first_counter, stream, taken_in_turn

__all__ = ["first_counter", "noising", "stream", "taken_in_turn"]

GOLDEN = 0.6180339887498949


def noising(seed: int, split: str, counter: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return the noise of `shape` and the uniform time (a scalar in [0, 1)) of training sample `counter`.

    Consecutive times are spread evenly (multiples of the golden ratio, modulo 1), which leaves the mean of the loss
    alone and takes noise out of it.
    """
    noise = stream(seed, f"{split} noise", counter).standard_normal(shape, dtype=np.float32)
    return torch.from_numpy(noise), torch.tensor((_offset(seed, split) + counter * GOLDEN) % 1.0, dtype=torch.float32)


@cache
def _offset(seed: int, split: str) -> float:
    return float(stream(seed, f"{split} time", 0).random())
