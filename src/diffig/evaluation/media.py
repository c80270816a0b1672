"""What a finished evaluation shows on a dashboard: means, all rows, pictures, and a table of single images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from diffig.evaluation.gallery import heat
from diffig.evaluation.removal_curves import draw_curves, removal_curves
from diffig.evaluation.rows import read_table

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor


class Shown(NamedTuple):
    """An image that is shown: `(C, H, W)` in [0, 1], its attribution of the same shape, and its class."""

    image: Tensor
    attribution: Tensor
    name: str


def send(logger: Any, output: Path, summary: pd.DataFrame, rows: pd.DataFrame, shown: dict[int, Shown]) -> None:
    """Send one evaluation to its W&B run.

    Means stand under the metrics' names, which is what a search by W&B reads; `rows` is the whole table, `images` the
    images that are shown, one line each; `attributions` and `curves` are pictures.

    Args:
        logger: Lightning's, of Weights & Biases.
        output: the run's folder, with its pictures and `curves.parquet`.
        summary: a line for each metric.
        rows: of the run.
        shown: by dataset index.
    """
    import pandas as pd
    import wandb

    run = logger.experiment
    means = {str(line.metric): line.mean for line in summary.itertuples()}
    costs = {name: float(summary[name].mean()) for name in ("forward_images", "backward_images", "seconds")}
    told: dict[str, Any] = {**means, **costs, "rows": wandb.Table(dataframe=rows)}
    file = output / "curves.parquet"
    points = removal_curves(read_table(file)) if file.is_file() else pd.DataFrame()
    for name in ("attributions", "randomization"):
        if (output / f"{name}.png").is_file():
            told[name] = wandb.Image(str(output / f"{name}.png"))
    if len(points):
        told["curves"] = wandb.Image(draw_curves(points, str(rows["method"].iloc[0])))
    if shown:
        told["images"] = _image_table(rows, points, shown)
    run.log(told)
    run.summary.update({**means, **costs, "failures": int((rows["status"] != "ok").sum())})


def _image_table(rows: pd.DataFrame, points: pd.DataFrame, shown: dict[int, Shown]) -> Any:
    """One line for each shown image: thumbnail, attribution, curves, and its value of each metric."""
    import wandb

    metrics = list(dict.fromkeys(rows["metric"]))
    values = rows.pivot_table(index="image_index", columns="metric", values="value", dropna=False)
    table = wandb.Table(columns=["image_index", "class", "image", "attribution", "curves", *metrics])
    for index, (image, attribution, name) in shown.items():
        own = points[points["image_index"] == index] if len(points) else points
        drawn = wandb.Image(draw_curves(own, f"image {index}: {name}")) if len(own) else None
        each = [float(values.loc[index, metric]) if metric in values else None for metric in metrics]
        table.add_data(index, name, wandb.Image(_pixels(image)), wandb.Image(_coloured(attribution)), drawn, *each)
    return table


def _pixels(image: Tensor, side: int = 96) -> Any:
    """`(h, w)` or `(h, w, 3)` bytes, enlarged in whole steps to about `side` pixels so that digits can be seen."""
    scale = max(1, side // max(image.shape[1:]))
    array = (image.float().clamp(0, 1).cpu() * 255).round().byte().permute(1, 2, 0).squeeze(-1).numpy()
    return array.repeat(scale, 0).repeat(scale, 1)


def _coloured(attribution: Tensor) -> Any:
    """Red for, blue against, as in the gallery."""
    import torch
    from matplotlib import colormaps

    colours = colormaps["RdBu_r"]((heat(attribution[None])[0].cpu().numpy() + 1) / 2)[..., :3]
    return _pixels(torch.from_numpy(colours).permute(2, 0, 1))
