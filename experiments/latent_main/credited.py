"""Means and paired differences of `credited.sh`, read as the benchmark's are.

    PYTHONPATH=experiments/benchmark python experiments/latent_main/credited.py FOLDER RESULTS

leaves `credited.csv` (each setting's mean of each column and its cost) and `credited_pairs.csv` (differences paired
over images, with 95 % bootstrap intervals) in RESULTS.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from table import COLUMNS, lead, read, told

LATENT = ("latent", "scheduled")
PAIRS = [
    *((f"{path}_{kind} N={n}", f"{path} N={n}") for path in LATENT for kind in ("guided", "centred") for n in (1, 10)),
    *((f"{path}{kind} N=10", f"{path}{kind} N=1") for path in LATENT for kind in ("", "_guided", "_centred")),
    *((f"scheduled{kind} N={n}", f"latent{kind} N={n}") for kind in ("", "_guided", "_centred") for n in (1, 10)),
    *((f"{path} N=1", other) for path in (*LATENT, "latent_guided") for other in ("ig N=1", "gig N=1", "spi N=1")),
    *((f"{path} N=10", "spi N=10") for path in (*LATENT, "latent_guided", "scheduled_guided")),
    *((f"scheduled{kind} N={n}", "coarse_to_fine N=1") for kind in ("", "_guided") for n in (1, 10)),
    *((f"scheduled{kind} N=10", "field N=1") for kind in ("", "_guided", "_centred")),
]


def setting(part: str, rows: pd.DataFrame) -> str:
    """Return the name of what a folder of the sweep ran, and its number of candidates."""
    return f"{part} N={int(rows['n_paths'].iloc[0])}"


def main(folder: Path, results: Path) -> None:
    """Write both tables."""
    table, costs = read(folder, COLUMNS, setting)
    means = table.assign(mean=table.mean(axis=1)).groupby(level=0).mean().join(costs)
    means.insert(0, "images", table.groupby(level=0).size())
    means = means.round(4).sort_values("mean", ascending=False)
    there = [(one, other) for one, other in PAIRS if {one, other} <= set(means.index)]
    leads = {f"{one} minus {other}": lead(table, other, one) for one, other in there}
    pairs = pd.DataFrame({name: {column: told(one) for column, one in found.items()} for name, found in leads.items()})
    results.mkdir(parents=True, exist_ok=True)
    means.rename_axis(None).to_csv(results / "credited.csv")
    pairs.T.to_csv(results / "credited_pairs.csv")
    print(means.to_string())
    print(pairs.T[["DiffID", "RISE", "mean"]].to_string())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
