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

from oracle.models import SoftplusNet  # noqa: E402

torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data and weights; the test skips where there is none."""
    folder = Path(os.environ.get("DIFFIG_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "README.md").is_file():
        pytest.skip(f"no real data at {folder}; set DIFFIG_SHARED_DATA")
    return folder


@pytest.fixture
def smooth_net() -> SoftplusNet:
    """A smooth random classifier of 3-channel images with 5 classes, float32."""
    return SoftplusNet()
