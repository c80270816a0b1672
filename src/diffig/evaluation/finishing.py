"""What a run leaves when all its rows are there: summary, pictures, and a line on the dashboard."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig

from diffig.evaluation.gallery import save_gallery
from diffig.evaluation.media import Shown, send
from diffig.evaluation.rows import RowStore
from diffig.io import write_json, write_text

if TYPE_CHECKING:
    import pandas as pd

    from diffig.data.module import ImageDataModule

log = logging.getLogger(__name__)


def finish(
    cfg: DictConfig,
    rows: pd.DataFrame,
    store: RowStore,
    datamodule: ImageDataModule,
    positions: dict[int, int],
    logger: Any,
) -> None:
    """Write summary, names of the classes and picture, and send them to the dashboard where there is one."""
    from diffig.evaluation.summary import printed, summarise

    output = Path(cfg.dirs.output)
    summary = summarise(rows)
    write_text(output / "summary.csv", summary.to_csv(index=False))
    write_json(output / "classes.json", [str(name) for name in datamodule.class_names])
    log.info("summary: %s", printed(summary))
    picture = output / "attributions.png"
    attributions = store.attributions()
    shown: dict[int, Shown] = {}
    if attributions:
        images = torch.stack([datamodule.test_set[positions[index]][0] for index in attributions])
        names = [datamodule.class_names[datamodule.test_set[positions[index]][1]] for index in attributions]
        maps = torch.stack(list(attributions.values()))
        method = str(rows["method"].iloc[0])
        save_gallery(picture, images, {method: maps}, names)
        _save_randomised(output / "randomization.png", method, images, maps, store, names)
        shown = {key: Shown(*one) for key, *one in zip(attributions, images, maps, names, strict=True)}
    if logger:
        send(logger, output, summary, rows, shown)


def _save_randomised(
    path: Path, method: str, images: torch.Tensor, maps: torch.Tensor, store: RowStore, names: list[str]
) -> None:
    """The attributions of ever more randomised classifiers beside the true one's, where a metric has made them."""
    each = list(store.maps().values())
    titles = list(each[0])
    if titles:
        columns = {title: torch.stack([shown[title] for shown in each])[:, None] for title in titles}
        save_gallery(path, images, {method: maps, **columns}, names)
