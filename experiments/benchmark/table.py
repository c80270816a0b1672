"""The benchmark's tables and picture, from the rows of every pair that was run.

    python experiments/benchmark/table.py [outputs/benchmark] [experiments/benchmark/results]

For each pair of images and classifier (`coco`: of localisation; `further_<pair>`: what `further.sh` has measured):
`means.csv` (each setting's mean of each column, its mean rank and cost) and `leads.csv` (`diffig_field` minus each
other setting, paired over images, with 95 % bootstrap intervals). For all: `standing.csv` (where `diffig_field` stands
in each column), `leads.png`, and where `SEEDS` were run `seeds.csv` (the mean of the columns for each seed, and the
lead of the mean over seeds). A pair that has no rows here keeps what its `leads.csv` says.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
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
    "diffid_pixel_soft_diff_blur": "SRG",
}
PAIRS = {
    "cifar10_resnet20": "CIFAR-10, ResNet-20",
    "cifar10_resnet56": "CIFAR-10, ResNet-56",
    "photos_mobilenet": "photographs, MobileNetV2",
    "photos_squeezenet": "photographs, SqueezeNet",
    "mnist_vit": "MNIST, ViT",
    "digits_cnn": "digits, CNN",
}
OURS = "diffig_field"
LOCALISATION = {
    "relevance_mass": "relevance mass",
    "relevance_rank": "relevance rank",
    "energy_pointing": "energy pointing",
    "pointing": "pointing game",
}
FURTHER = {  # behind the pair's name, `further_cifar10_resnet20`
    "diffid_pixel_signed": "signed",
    "diffid_pixel_signed_rank_blur": "signed, rank blur",
    "infidelity_r2": "infidelity R2",
    "sensitivity_max": "sensitivity",
    "sensitivity_floor": "of other seeds",
    "emprt": "eMPRT",
    "gap_rel": "gap / change",
    "gini_pixel": "Gini",
}
CREDITED, WIDTHS = " + credit", " + widths"
SEEDS = "seeds"
RIVALS = ("lrp", "lrp + widths", "coarse_to_fine + credit")


Lead = tuple[float, float, float]  # a difference and its interval


def setting(part: str, rows: pd.DataFrame) -> str:
    """Return the name of what a folder of the sweep ran: the method, and what it was given."""
    method = str(rows["method"].iloc[0])
    if part == "fast":
        return f"{method} fast"
    return method + (CREDITED if part.startswith("credited") else WIDTHS if part.endswith("widths") else "")


def read(
    folder: Path, columns: dict[str, str], named: Callable[[str, pd.DataFrame], str] = setting
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return values `(setting, image) x column`, of the columns that all have, and what an image cost each setting."""
    values, costs = [], {}
    for file in sorted(folder.glob("*/*/rows.parquet")):
        if file.parts[-3] == SEEDS:
            continue
        rows = read_table(file)
        name = named(file.parts[-3], rows)
        table = rows.pivot_table(index="image_index", columns="metric", values="value")
        values.append(table.reindex(columns=list(columns)).assign(setting=name))
        costs[name] = rows.groupby("image_index")[["backward_images", "forward_images"]].first().mean()
    table = pd.concat(values).set_index("setting", append=True).swaplevel().rename(columns=columns).sort_index()
    if "per pixel" in table and table["per pixel"].equals(table["DiffID"]):
        table = table.drop(columns="per pixel")  # one channel: an element is a pixel, and would count twice
    in_all = table.groupby(level=0).mean().notna().all()
    return table.loc[:, in_all], pd.DataFrame(costs).T.round(1)


def lead(table: pd.DataFrame, other: str, ours: str = OURS) -> dict[str, Lead]:
    """Return ours minus the other with its interval, for each column and their mean."""
    difference = table.loc[ours] - table.loc[other]
    difference = difference.assign(mean=difference.mean(axis=1))
    return {c: (float(difference[c].mean()), *bootstrap_interval(difference[c])) for c in difference}


def told(found: Lead) -> str:
    """Return a lead as text."""
    value, low, high = found
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def kept_leads(file: Path) -> dict[str, dict[str, Lead]]:
    """Return what `leave` has written of a pair."""
    table = pd.read_csv(file, index_col=0)
    return {
        str(name): {str(column): read_lead(text) for column, text in line.items()} for name, line in table.iterrows()
    }


def read_lead(text: str) -> Lead:
    """Return what `told` has written as numbers."""
    value, low, high = (float(part.strip("[],")) for part in text.split())
    return value, low, high


def over_seeds(folder: Path, table: pd.DataFrame) -> dict[str, object]:
    """Return the mean of the columns for each seed of ours, and what the mean of all seeds leads by."""
    runs = {0: table.loc[OURS]}
    for file in sorted(folder.glob(f"{SEEDS}/*/rows.parquet")):
        rows = read_table(file)
        found = rows.pivot_table(index="image_index", columns="metric", values="value").rename(columns=COLUMNS)
        runs[int(rows["seed"].iloc[0])] = found[list(table)]
    means = {seed: found.mean(axis=1) for seed, found in runs.items()}
    line: dict[str, object] = {f"seed {seed}": round(float(mean.mean()), 4) for seed, mean in sorted(means.items())}
    for name in RIVALS:
        if name in table.index:
            ahead = sum(means.values()) / len(means) - table.loc[name].mean(axis=1)
            line[f"minus {name}"] = told((float(ahead.mean()), *bootstrap_interval(ahead)))
    return line


def standing(leads: dict[str, dict[str, Lead]], column: str) -> dict[str, object]:
    """Return who is ahead of ours in a column, and whose lead has an interval without 0."""
    ahead = {name: found[column] for name, found in leads.items() if math.copysign(1, found[column][0]) < 0}
    surely = [name for name, (_, _, high) in ahead.items() if high < 0]
    paths = [name for name in surely if not name.startswith(("lrp", "grad_cam", "fullgrad", "guided_backprop"))]
    behind = "lrp" in leads and leads["lrp"][column][1] > 0
    return {
        "rank": 1 + len(ahead),
        "above it": ", ".join(surely),
        "path methods above it": ", ".join(paths),
        "above lrp": behind if "lrp" in leads else None,
    }


def picture(leads: dict[str, dict[str, dict[str, Lead]]], file: Path) -> None:
    """Draw ours minus each rival: a colour for the difference, a dot where its interval holds no 0."""
    lines = math.ceil(len(leads) / 2)
    figure, panels = plt.subplots(lines, 2, figsize=(12, 1 + 5 * lines), layout="constrained", squeeze=False)
    for axes in panels.flat[len(leads) :]:
        axes.set_axis_off()
    for axes, (pair, found) in zip(panels.flat, leads.items(), strict=False):
        axes.set_title(PAIRS[pair])
        order = sorted(found.keys() - {"random"}, key=lambda name: found[name]["mean"][0])
        columns = list(found[order[0]])
        values = np.array([[found[name][column][0] for column in columns] for name in order])
        drawn = axes.imshow(values, cmap="PuOr", vmin=-0.4, vmax=0.4, aspect="auto")
        for y, name in enumerate(order):
            for x, column in enumerate(columns):
                value, low, high = found[name][column]
                weight = "bold" if low > 0 or high < 0 else "normal"
                shade = "white" if abs(value) > 0.27 else "black"
                text = f"{value:+.2f}".replace("0.", ".")
                axes.text(x, y, text, ha="center", va="center", fontsize=7, fontweight=weight, color=shade)
        axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right", fontsize=8)
        axes.set_yticks(range(len(order)), order, fontsize=8)
    label = f"{OURS} minus the method named at the left; bold: the 95 % interval holds no 0"
    figure.colorbar(drawn, ax=panels, location="bottom", shrink=0.5, aspect=40, label=label)
    figure.savefig(file, dpi=110, bbox_inches="tight")


def leave(table: pd.DataFrame, shown: pd.DataFrame, kept: Path) -> dict[str, dict[str, Lead]]:
    """Write `means.csv` and `leads.csv` of one pair and return the leads."""
    kept.mkdir(parents=True, exist_ok=True)
    shown = shown.round(4)
    shown.insert(0, "images", table.groupby(level=0).size())
    shown.to_csv(kept / "means.csv")
    leads = {name: lead(table, name) for name in sorted(shown.index) if name != OURS}
    text = {name: {column: told(one) for column, one in found.items()} for name, found in leads.items()}
    pd.DataFrame(text).T.rename_axis("diffig_field minus").to_csv(kept / "leads.csv")
    return leads


def main(folder: Path, results: Path) -> None:
    """Write tables and picture of every pair that has rows."""
    everything, lines, seeds = {}, [], []
    for pair in PAIRS:
        if any((folder / pair).glob("default/*/rows.parquet")):
            table, costs = read(folder / pair, COLUMNS)
            if (folder / pair / SEEDS).is_dir():
                seeds.append({"pair": pair, **over_seeds(folder / pair, table)})
            means = table.groupby(level=0).mean()
            ranks = means.rank(ascending=False).mean(axis=1).rename("mean rank")
            shown = means.assign(mean=means.mean(axis=1)).join(ranks).join(costs)
            leads = leave(table, shown.sort_values("mean", ascending=False), results / pair)
        elif (results / pair / "leads.csv").is_file():
            leads = kept_leads(results / pair / "leads.csv")
        else:
            continue
        everything[pair] = leads
        rivals = {name: found for name, found in leads.items() if not name.startswith(OURS)}
        lines.extend(
            {"pair": pair, "column": column, **standing(rivals, column)} for column in next(iter(rivals.values()))
        )
    for name, columns in {"coco": LOCALISATION, **{f"further_{pair}": FURTHER for pair in PAIRS}}.items():
        if any((folder / name).glob("default/*/rows.parquet")):
            table, costs = read(folder / name, columns)
            shown = table.groupby(level=0).mean().join(costs).sort_values(table.columns[0], ascending=False)
            leave(table, shown, results / name)
    pd.DataFrame(lines).to_csv(results / "standing.csv", index=False)
    if seeds:
        pd.DataFrame(seeds).to_csv(results / "seeds.csv", index=False)
        print(pd.DataFrame(seeds).to_string(index=False))
    picture(everything, results / "leads.png")
    print(pd.DataFrame(lines).to_string(index=False))


if __name__ == "__main__":
    given = [Path(word) for word in sys.argv[1:]]
    main(*given, *[Path("outputs/benchmark"), Path("experiments/benchmark/results")][len(given) :])
