"""Picture of learned guidance: predicted against true labels of held-out paths, at several noise times."""

from __future__ import annotations

import json
from pathlib import Path

from diffig.io import write_figure


def draw_correlation(folder: Path, picture: Path | None = None) -> Path | None:
    """Return the picture drawn from a training's `predictions.safetensors`, None where there are none.

    Args:
        folder: of the training, with `predictions.safetensors` and `correlation.json`.
        picture: where to write; `correlation.png` in `folder` where none is given.
    """
    arrays, text = folder / "predictions.safetensors", folder / "correlation.json"
    if not (arrays.is_file() and text.is_file()):
        return None
    import matplotlib
    from safetensors.torch import load_file

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    columns, about = load_file(arrays), json.loads(text.read_text())
    true = about["mean"] + about["std"] * columns["true"]
    predicted = about["mean"] + about["std"] * columns["predicted"]
    panels = len(about["times"])
    low, high = (float(true.min()), float(true.max()))
    figure, axes = plt.subplots(1, panels, figsize=(2.3 * panels, 2.6), sharex=True, sharey=True, squeeze=False)
    for axis, column, time, r in zip(axes[0], predicted.T, about["times"], about["pearson"], strict=True):
        axis.plot([low, high], [low, high], color="0.7", lw=0.8, zorder=0)
        axis.scatter(true.numpy(), column.numpy(), s=5, alpha=0.5, lw=0, color="#0072b2")
        axis.set_title(f"noise time {time:g}: r = {r:.2f}", fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    axes[0, 0].set_ylabel(f"predicted {about['quantity']}", fontsize=9)
    figure.supxlabel(f"true {about['quantity']} of {about['paths']} held-out paths", fontsize=9)
    figure.tight_layout()
    picture = folder / "correlation.png" if picture is None else picture
    write_figure(picture, figure)
    plt.close(figure)
    return picture
