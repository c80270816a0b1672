"""The lead of one setting over others, in pairs: from the values of each image that `control.py` has kept.

    python experiments/credit/compare.py table.csv NAME=values.npy[,more.npy...] NAME=... ...

A setting is a name and its files, several where its images were judged in several runs; the first is compared with the
rest. All must have the same images in the same order.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from search import COLUMNS

from diffig.evaluation.statistics import bootstrap_interval


def compared(found: dict[str, NDArray[np.float64]]) -> pd.DataFrame:
    """Return a line for each setting's values `(images, columns)`: its means, and the first one's lead over it.

    A lead is followed by its 95 % bootstrap interval over images.

    Raises:
        ValueError: a setting has another number of images than the first.
    """
    (first, ahead), lines = next(iter(found.items())), []
    for name, values in found.items():
        if len(values) != len(ahead):
            raise ValueError(f"{name} has {len(values)} images and {first} has {len(ahead)}; compare on the same ones")
        line: dict[str, str | float] = {"candidates": name, "images": len(values)}
        leads, means = ahead - values, (*values.mean(0), values.mean())
        for column, lead, mean in zip((*COLUMNS.values(), "mean"), (*leads.T, leads.mean(1)), means, strict=True):
            low, high = bootstrap_interval(lead)
            line[column] = round(float(mean), 4)
            line[f"{first} minus this, {column}"] = f"{lead.mean():+.3f} [{low:.3f}, {high:.3f}]"
        lines.append(line)
    return pd.DataFrame(lines)


if __name__ == "__main__":
    table, *settings = sys.argv[1:]
    named = dict(setting.rsplit("=", 1) for setting in settings)
    found = {name: np.concatenate([np.load(file) for file in files.split(",")]) for name, files in named.items()}
    lines = compared(found)
    lines.to_csv(Path(table), index=False)
    print(lines.loc[:, ["candidates", "images", *(column for column in lines if column.endswith("mean"))]].to_string())
