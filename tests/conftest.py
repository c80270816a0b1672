"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# One thread for each worker: small convolutions on many threads spend their time waiting for each other.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("WANDB_MODE", "offline")

import torch  # noqa: E402 (after the threads are set)

torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data and weights; the test skips where there is none."""
    folder = Path(os.environ.get("DIFFIG_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "README.md").is_file():
        pytest.skip(f"no real data at {folder}; set DIFFIG_SHARED_DATA")
    return folder


class SoftplusNet(torch.nn.Module):
    """A small smooth classifier with frozen random weights: images `(B, C, H, W)` to logits `(B, K)`."""

    def __init__(self, channels: int = 3, classes: int = 5, seed: int = 0) -> None:
        super().__init__()
        state = torch.random.get_rng_state()
        torch.manual_seed(seed)
        self.first = torch.nn.Conv2d(channels, 6, 3, padding=1)
        self.second = torch.nn.Conv2d(6, 8, 3, stride=2)
        self.head = torch.nn.Linear(8, classes)
        torch.random.set_rng_state(state)
        for parameter in self.parameters():
            parameter.requires_grad_(False).mul_(2.0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = torch.nn.functional.softplus(self.second(torch.nn.functional.softplus(self.first(images))))
        logits: torch.Tensor = self.head(features.mean((2, 3)))
        return logits


@pytest.fixture
def smooth_net() -> SoftplusNet:
    """A smooth random classifier of 3-channel images with 5 classes, float32."""
    return SoftplusNet()
