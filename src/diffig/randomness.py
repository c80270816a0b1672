"""Random streams keyed by (seed, image index, path index), so that results know neither batch size nor device."""

from __future__ import annotations

import zlib
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler


class Streams:
    """Independent random streams, one for each image of a batch and each candidate path.

    Args:
        seed: the run's seed.
        indices: `(B,)` the images' positions in their dataset; the key of their randomness.
    """

    def __init__(self, seed: int, indices: Tensor) -> None:
        if indices.ndim != 1 or indices.is_floating_point():
            raise ValueError(f"indices has shape {tuple(indices.shape)}; it must hold one whole number for each image")
        self.seed = int(seed)
        self.indices = [int(index) for index in indices]

    @classmethod
    def default(cls, batch: int, seed: int = 0) -> Streams:
        """Return streams for images that have no dataset index: their position in the batch stands for it."""
        return cls(seed, torch.arange(batch))

    def __len__(self) -> int:
        return len(self.indices)

    def of(self, rows: Tensor) -> Streams:
        """Return the streams of some images of the batch, `rows` `(n,)`."""
        return Streams(self.seed, torch.tensor([self.indices[row] for row in rows.tolist()], dtype=torch.int64))

    def numpy(self, position: int, path: int = 0, purpose: str = "") -> np.random.Generator:
        """Return the stream of image number `position` of the batch, for one path and one purpose."""
        key = [self.seed & 0xFFFFFFFF, self.indices[position], path, zlib.crc32(purpose.encode())]
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))

    def normal(self, shape: tuple[int, ...], n_paths: int = 1, purpose: str = "") -> Tensor:
        """Return standard normal numbers `(B * n_paths, *shape)`, float32 on the CPU, image-major."""
        draws = [
            self.numpy(image, path, purpose).standard_normal(shape, dtype=np.float32)
            for image in range(len(self))
            for path in range(n_paths)
        ]
        return torch.from_numpy(np.stack(draws))

    def uniform(self, shape: tuple[int, ...], n_paths: int = 1, purpose: str = "") -> Tensor:
        """Return uniform numbers in [0, 1) of shape `(B * n_paths, *shape)`, float32 on the CPU, image-major."""
        draws = [
            self.numpy(image, path, purpose).random(shape, dtype=np.float32)
            for image in range(len(self))
            for path in range(n_paths)
        ]
        return torch.from_numpy(np.stack(draws))


def stream(seed: int, purpose: str, number: int) -> np.random.Generator:
    """Return the random stream of one numbered thing."""
    key = [seed & 0xFFFFFFFF, zlib.crc32(purpose.encode()), number]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def _from_bytes(device: str, state: bytes) -> torch.Generator:
    return torch.Generator(device).set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _as_bytes(generator: torch.Generator) -> tuple[Any, tuple[str, bytes]]:
    return _from_bytes, (str(generator.device), generator.get_state().numpy().tobytes())


# Torch hands the state to a new process in shared memory, which is freed before that process has begun to read.
ForkingPickler.register(torch.Generator, _as_bytes)


def first_counter(trainer: Any, batch_size: int) -> int:
    """Return the number of the next training sample: what all ranks have taken by the trainer's current step."""
    if trainer is None:
        return 0
    return int(trainer.global_step * trainer.accumulate_grad_batches * trainer.world_size * batch_size)


def taken_in_turn(samples: Dataset[Any], trainer: Any) -> DistributedSampler[Any] | None:
    """Return which numbered samples this rank takes, rank `r` of `W` the numbers `r, r + W, ...`; None for all of them.

    Without it Lightning shuffles the numbers among several ranks, and a resumed run would take some twice.
    """
    if trainer is None or trainer.world_size == 1:
        return None
    return DistributedSampler(samples, trainer.world_size, trainer.global_rank, shuffle=False, drop_last=True)
