"""Means and paired differences of `credited.sh`.

    python experiments/latent_main/credited.py outputs/latent_credited/small experiments/latent_main/results/small

leaves `credited.csv` (each setting's mean of each column and its cost) and `credited_pairs.csv` (differences paired
over images, with 95 % bootstrap intervals).
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from diffig.evaluation.rows import read_table
from diffig.evaluation.statistics import bootstrap_interval

COLUMNS = {
    "diffid": "DiffID",
    "diffid_pixel": "per pixel",
    "diffid_pixel_rank_blur": "rank blur",
    "diffid_blur": "blur-fill",
    "insertion_minus_deletion": "RISE",
    "mas": "MAS",
    "road_gap": "ROAD",
}
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


def main(folder: Path, results: Path) -> None:
    """Write both tables."""
    found, costs = {}, {}
    for file in sorted(folder.glob("*/*/rows.parquet")):
        rows = read_table(file)
        name = f"{file.parts[-3]} N={int(rows['n_paths'].iloc[0])}"
        table = rows.pivot_table(index="image_index", columns="metric", values="value")[list(COLUMNS)]
        found[name] = table.rename(columns=COLUMNS)
        costs[name] = rows.groupby("image_index")[["backward_images", "forward_images"]].first().mean()
    if all(table["per pixel"].equals(table["DiffID"]) for table in found.values()):
        found = {name: table.drop(columns="per pixel") for name, table in found.items()}  # one channel
    found = {name: table.assign(mean=table.mean(axis=1)) for name, table in found.items()}
    means = pd.DataFrame({name: table.mean() for name, table in found.items()}).T.join(pd.DataFrame(costs).T)
    means.insert(0, "images", [len(table) for table in found.values()])
    results.mkdir(parents=True, exist_ok=True)
    means.round(4).sort_values("mean", ascending=False).to_csv(results / "credited.csv")
    lines = {}
    for one, other in PAIRS:
        if one in found and other in found:
            difference = found[one] - found[other]
            spans = {column: bootstrap_interval(difference[column]) for column in difference}
            lines[f"{one} minus {other}"] = {
                column: f"{difference[column].mean():+.3f} [{low:+.3f}, {high:+.3f}]"
                for column, (low, high) in spans.items()
            }
    pd.DataFrame(lines).T.to_csv(results / "credited_pairs.csv")
    print(means.round(3).sort_values("mean", ascending=False).to_string())
    print(pd.DataFrame(lines).T[["DiffID", "RISE", "mean"]].to_string())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
