"""Draw what measure.py has found: picture.py FOLDER reads FOLDER/*/{tenths,parts}.csv and leaves FOLDER/saturation.png.

Above, the share of attribution mass and of the score's change in each tenth of the line; below, DiffID of the left and
the right part over the threshold, with that of the whole as a line. One column for each dataset and objective.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("Agg")
from matplotlib import pyplot as plt

COLOURS = {"mass_share": "tab:blue", "change_share": "tab:orange", "left": "tab:green", "right": "tab:red"}


def tenths(axis: plt.Axes, table: pd.DataFrame) -> None:
    """Draw both shares of each tenth as bars."""
    for shift, name in ((-0.2, "mass_share"), (0.2, "change_share")):
        label = {"mass_share": "attribution mass", "change_share": "score change"}[name]
        axis.bar(table["tenth"] / 10 - 0.05 + shift / 10, table[name], 0.04, color=COLOURS[name], label=label)
    axis.axhline(0, color="0.3", lw=0.6)
    axis.set_xlabel("place on the line", fontsize=8)


def parts(axis: plt.Axes, table: pd.DataFrame) -> None:
    """Draw DiffID of both parts; bars are intervals of the difference to the whole."""
    whole = table.loc[table["part"] == "full", "diffid"].item()
    axis.axhline(whole, color="0.3", lw=1, ls="--", label="whole")
    for shift, part in ((-0.004, "left"), (0.004, "right")):
        own = table[table["part"] == part]
        mean = own["diffid_minus_full"]
        axis.errorbar(
            own["phi"].astype(float) + shift,
            own["diffid"],
            yerr=[mean - own["diffid_low"], own["diffid_high"] - mean],
            marker="o",
            ms=3,
            lw=1,
            capsize=2,
            color=COLOURS[part],
            label=part,
        )
    axis.set_xlabel("threshold of the split", fontsize=8)


def main(folder: Path) -> None:
    """Draw `folder/saturation.png`."""
    found = [(pd.read_csv(path), pd.read_csv(path.with_name("parts.csv"))) for path in folder.glob("*/tenths.csv")]
    found.sort(key=lambda pair: pair[0]["dataset"][0], reverse=True)
    columns = [
        (f"{dataset}, {objective}", own[own["objective"] == objective], judged[judged["objective"] == objective])
        for own, judged in found
        for dataset, objective in own[["dataset", "objective"]].drop_duplicates().itertuples(index=False)
    ]
    figure, axes = plt.subplots(2, len(columns), figsize=(2.8 * len(columns), 4.8), squeeze=False)
    for column, (title, own, judged) in zip(axes.T, columns, strict=True):
        tenths(column[0], own)
        parts(column[1], judged)
        column[0].set_title(title, fontsize=9)
    axes[0, 0].set_ylabel("share", fontsize=8)
    axes[1, 0].set_ylabel("DiffID", fontsize=8)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=7)
    for axis in axes[:, 0]:
        axis.set_ylim(top=axis.get_ylim()[1] + 0.35 * (axis.get_ylim()[1] - axis.get_ylim()[0]))
        axis.legend(frameon=False, fontsize=7, loc="upper left")
    figure.tight_layout()
    figure.savefig(folder / "saturation.png", dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
