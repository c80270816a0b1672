"""Tables and picture of what measure.py has found: table.py SCALE FOLDER reads FOLDER/hits.csv and removed.npz.

It leaves FOLDER/accuracy.csv, areas.csv (ranked, with paired differences to ig), agreement.csv (Kendall's tau with
experiments/methods) and roar.png.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from scipy import stats

from diffig.evaluation.statistics import paired_difference
from diffig.metrics.roar import accuracy_area

matplotlib.use("Agg")
from matplotlib import pyplot as plt

CONTROLS = ("random", "centre_gaussian", "sobel", "input_magnitude")
FORMS = {"removed": "pixels removed from test images too", "clean": "clean test images", "mask": "masks alone"}
JUDGES = ("diffid", "diffid_blur", "insertion_minus_deletion", "mas")
JUDGED = Path(__file__).resolve().parents[1] / "methods" / "results"


def accuracies(hits: pd.DataFrame) -> pd.DataFrame:
    """Return mean accuracy and its standard deviation over seeds, for each method, form and share."""
    hits = hits.assign(accuracy=[line.count("1") / len(line) for line in hits["hits"]])
    grouped = hits.groupby(["method", "form", "share"], sort=False)["accuracy"]
    return grouped.agg(mean="mean", sd="std", seeds="count").reset_index()


def areas(hits: pd.DataFrame) -> pd.DataFrame:
    """Return the area under accuracy of each method in each form, best first, and its paired difference to ig.

    `low` and `high` bound the difference by a bootstrap over test images (seeds averaged), `seeds_low` and `seeds_high`
    by a t interval over seeds (images averaged); `seeds_below` is the share of seeds in which the area is below ig's.
    """
    found: dict[tuple[str, str], np.ndarray] = {}  # (images, seeds)
    chosen = (hits["method"] != "none") & (hits["form"] != "mask")
    for (form, method), own in hits[chosen].groupby(["form", "method"], sort=False):
        lines = [[list(line) for line in seed.sort_values("share")["hits"]] for _, seed in own.groupby("seed")]
        shares = sorted(own["share"].unique())
        found[form, method] = accuracy_area(np.array(lines, dtype=float).transpose(2, 0, 1), shares)
    rows = []
    for (form, method), area in found.items():
        own, seeds = area.mean(0), area.shape[1]
        sd = own.std(ddof=1) if seeds > 1 else np.nan
        row = {"form": form, "method": method, "area": own.mean(), "sd": sd, "seeds": seeds}
        if (form, "ig") in found and method != "ig":
            paired = paired_difference(area, found[form, "ig"], lower_is_better=True)
            gaps = own - found[form, "ig"].mean(0)
            half = stats.sem(gaps) * stats.t.ppf(0.975, seeds - 1) if seeds > 1 else np.nan
            row |= {"minus_ig": paired.mean, "low": paired.low, "high": paired.high}
            row |= {"seeds_low": gaps.mean() - half, "seeds_high": gaps.mean() + half, "seeds_below": (gaps < 0).mean()}
        rows.append(row)
    order = pd.DataFrame(rows).assign(place=[list(FORMS).index(row["form"]) for row in rows])
    return order.sort_values(["place", "area"]).drop(columns="place")


def agreement(ranked: pd.DataFrame, scale: str) -> pd.DataFrame:
    """Return Kendall's tau between the forms and with metrics of experiments/methods; 1 is the same ranking."""
    quality = {f"roar_{form}": -own.set_index("method")["area"] for form, own in ranked.groupby("form", sort=False)}
    judged = JUDGED / scale / "ranked.csv"
    if judged.is_file():
        means = pd.read_csv(judged).pivot_table(index="method", columns="metric", values="mean")
        quality |= {name: means[name] for name in JUDGES if name in means}
    rows = []
    for one, other in itertools.combinations(quality, 2):
        for chosen, left_out in (("all", ()), ("without controls", CONTROLS)):
            both = pd.concat([quality[one], quality[other]], axis=1, join="inner").drop(
                index=list(left_out), errors="ignore"
            )
            both = both.loc[both.index.isin(ranked["method"])].dropna()
            if len(both) > 1:
                tau = stats.kendalltau(both.iloc[:, 0], both.iloc[:, 1])
                rows.append([one, other, chosen, len(both), tau.statistic, tau.pvalue])
    return pd.DataFrame(rows, columns=["one", "other", "methods", "count", "tau", "p"])


def draw(table: pd.DataFrame, examples: dict[str, np.ndarray], path: Path) -> None:
    """Draw a test image without half of its pixels, by method, and accuracy over shares in each form."""
    figure = plt.figure(figsize=(13, 6.2), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 3.2))
    for axis, (name, image) in zip(np.atleast_1d(above.subplots(1, len(examples))), examples.items(), strict=True):
        axis.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=1)
        axis.set_title({"none": "image"}.get(name, name).replace("_", "\n"), fontsize=7)
        axis.axis("off")
    colours = dict(zip(examples, plt.get_cmap("tab20")(np.arange(len(examples)) % 20), strict=True))
    for axis, (form, title) in zip(below.subplots(1, len(FORMS), sharey=True), FORMS.items(), strict=True):
        for method, own in table[table["form"] == form].groupby("method", sort=False):
            if method == "none":
                axis.axhline(own["mean"].item(), color="0.6", lw=0.8, ls=":", label="nothing removed")
                continue
            style = {"ls": "--" if method in CONTROLS else "-", "color": colours[method], "marker": "o", "ms": 3}
            axis.errorbar(own["share"], own["mean"], yerr=own["sd"].fillna(0), lw=1.2, capsize=2, label=method, **style)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("share of pixels removed", fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=7)
    below.axes[0].set_ylabel("test accuracy (lower is better)", fontsize=8)
    below.axes[0].legend(frameon=False, fontsize=7, ncols=2, loc="lower left")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(scale: str, folder: Path) -> None:
    """Write tables and picture."""
    hits = pd.read_csv(folder / "hits.csv", dtype={"hits": str})
    table, ranked = accuracies(hits), areas(hits)
    table.to_csv(folder / "accuracy.csv", index=False, float_format="%.4f")
    ranked.to_csv(folder / "areas.csv", index=False, float_format="%.4f")
    agreement(ranked, scale).to_csv(folder / "agreement.csv", index=False, float_format="%.3f")
    with np.load(folder / "removed.npz") as examples:
        draw(table, dict(examples), folder / "roar.png")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
