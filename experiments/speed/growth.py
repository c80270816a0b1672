"""Peak memory of every method that needs no files, against steps and batch: which of them grow.

    MALLOC_MMAP_THRESHOLD_=65536 python experiments/speed/growth.py [--size 128] [--output outputs/speed/growth.csv]

Linux only: the high-water mark of the process is set back before each run. The classifier needs next to nothing, so
what is read is the method's own, in MB above what the process held before; chunks of 8 images. Blocks of 64 kB and more
go back to the system when they are freed, as the environment variable asks, or the marks would hide each other.
"""

from __future__ import annotations

import argparse
import gc
from pathlib import Path

import pandas as pd
import torch

import diffig

METHODS = [
    "ig",
    "idg",
    "idgi",
    "left_ig",
    "split_ig",
    "path_weighted_ig",
    "spi",
    "gig",
    "geodesic_ig",
    "coarse_to_fine",
    "blur_ig",
    "spectral_ig",
    "samp",
    "samp_pp",
    "reveal_ig",
    "agi",
    "fringe",
    "smoothgrad",
    "gradient",
    "diffig_field",
]
FEW, MANY = 32, 256


def megabytes(kind: str) -> float:
    """`VmRSS`, what the process holds, or `VmHWM`, the most it has held since the mark was set back."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1024


def peak(name: str, score: diffig.ScoreFunction, steps: int, batch: int, size: int) -> float:
    """Megabytes that a method held at most above what was there before."""
    images = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
    options = [] if name in ("agi", "fringe", "gradient") else [f"steps={steps}"]
    method = diffig.from_config(name, score, options)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = megabytes("VmRSS")
    method.attribute(images, target=torch.zeros(batch, dtype=torch.long))
    return megabytes("VmHWM") - before


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--output", type=Path, default=Path("outputs/speed/growth.csv"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    layers = torch.nn.AdaptiveAvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(192, 10), torch.nn.Tanh()
    classifier = diffig.Classifier(torch.nn.Sequential(*layers), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)).eval()
    score = diffig.ScoreFunction(classifier, chunk_size=8)
    rows = []
    for name in METHODS:
        peak(name, score, 8, 1, asked.size)  # libraries load
        found = [peak(name, score, steps, batch, asked.size) for steps, batch in ((FEW, 1), (MANY, 1), (FEW, 16))]
        rows.append((name, *found))
        print(f"{name:18}" + "".join(f"{value:8.1f}" for value in found), flush=True)
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    columns = ["method", f"{FEW} steps", f"{MANY} steps", f"{FEW} steps, 16 images"]
    pd.DataFrame(rows, columns=columns).round(1).to_csv(asked.output, index=False)
