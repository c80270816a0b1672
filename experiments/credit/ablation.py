"""The crossing of path, credit, objective and width as one heat map and one table.

    python experiments/credit/ablation.py <folder of the sweep> <folder of the results>

The heat map shows the mean of five columns of faithfulness over images. The table holds what exchanging one part costs
where all others are DiffIG's, with the 95 % bootstrap interval over images of the paired difference.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

COLUMNS = {
    "diffid": "DiffID",
    "diffid_pixel": "per pixel",
    "diffid_blur": "blur-fill",
    "insertion_minus_deletion": "RISE",
    "mas": "MAS",
}
PATHS = ["straight", "stick_breaking", "guided", "schedule", "sampled_field"]
CREDITS = {"riemann": "Riemann", "idgi": "IDGI", "proportional": "proportional", "agreeing": "agreeing"}
OURS = ("sampled_field", "agreeing", "logit", "own")


def read(folder: Path) -> pd.DataFrame:
    """Return values by image, one column for each metric, indexed by path, credit, objective, width and image."""
    found = []
    for rows in sorted(folder.glob("*/*/*/rows.parquet")):
        frame = pd.read_parquet(rows)
        frame = frame[frame["metric"].isin(COLUMNS)]
        path, credit = rows.parts[-4], rows.parts[-3].split("_")[1]
        width = "own" if "," in str(frame["variant"].iloc[0]).split("footprint=")[1] else "one"
        table = frame.pivot_table(index="image_index", columns="metric", values="value")
        keys = {"path": path, "credit": credit, "objective": frame["objective"].iloc[0], "width": width}
        found.append(table.assign(**keys).set_index(list(keys), append=True))
    table = pd.concat(found).reorder_levels(["path", "credit", "objective", "width", "image_index"])
    return table[list(COLUMNS)].sort_index()


def interval(difference: np.ndarray) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the mean over images."""
    draws = np.random.default_rng(0).integers(0, len(difference), (4000, len(difference)))
    low, high = np.percentile(difference[draws].mean(1), [2.5, 97.5])
    return float(low), float(high)


def parts(table: pd.DataFrame) -> pd.DataFrame:
    """Return what exchanging one part of DiffIG costs, others kept, in each column and in their mean."""
    ours, found = table.loc[OURS], []
    whole = ours.assign(mean=ours.mean(axis=1))
    for place, level in enumerate(("path", "credit", "objective", "width")):
        for value in table.index.unique(level):
            if value == OURS[place]:
                continue
            other = table.loc[tuple(value if k == place else OURS[k] for k in range(4))]
            difference = whole - other.assign(mean=other.mean(axis=1))
            row: dict[str, object] = {"part": level, "DiffIG's": OURS[place], "instead": value}
            for metric in difference:
                low, high = interval(difference[metric].to_numpy())
                row[COLUMNS.get(metric, metric)] = f"{difference[metric].mean():+.3f} [{low:+.3f}, {high:+.3f}]"
            found.append(row)
    return pd.DataFrame(found)


def heat_map(table: pd.DataFrame, file: Path) -> None:
    """Draw the mean of the columns of every setting: paths and objectives down, credits and widths across."""
    means = table.mean(axis=1).groupby(level=[0, 1, 2, 3]).mean()
    rows = [(path, objective) for path in PATHS for objective in ("probability", "logit")]
    columns = [(credit, width) for width in ("one", "own") for credit in CREDITS]
    values = np.array(
        [[means.get((path, credit, aim, width), np.nan) for credit, width in columns] for path, aim in rows]
    )
    figure, axes = plt.subplots(figsize=(8.6, 5.2), layout="constrained")
    picture = axes.imshow(values, cmap="viridis", aspect="auto")
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    for y, x in np.ndindex(*values.shape):
        colour = "white" if values[y, x] < middle else "black"
        axes.text(x, y, f"{values[y, x]:.3f}".lstrip("0"), ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(columns)), [CREDITS[credit] for credit, _ in columns], rotation=30, ha="right")
    axes.set_yticks(range(len(rows)), [f"{path.replace('_', ' ')}, {aim}" for path, aim in rows])
    axes.axvline(len(CREDITS) - 0.5, color="white", lw=2)
    for place, words in ((0.25, "one width for all, .02"), (0.75, "each image's own width")):
        axes.text(place, 1.02, words, transform=axes.transAxes, ha="center")
    figure.colorbar(picture, label=f"mean of {', '.join(COLUMNS.values())}")
    figure.savefig(file, dpi=150)


def main(folder: Path, results: Path) -> None:
    """Write the heat map, the means of every setting and what each part brings."""
    table = read(folder)
    results.mkdir(parents=True, exist_ok=True)
    means = table.groupby(level=[0, 1, 2, 3]).mean().rename(columns=COLUMNS)
    means.assign(mean=means.mean(axis=1)).round(4).to_csv(results / "ablation.csv")
    shown = parts(table)
    shown.to_csv(results / "ablation_parts.csv", index=False)
    heat_map(table, results / "ablation.png")
    print(shown.to_string(index=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
