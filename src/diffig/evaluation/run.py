"""The evaluation from config to files: select, explain, measure, write."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf
from torch.utils.data import Subset

from diffig.config import build
from diffig.evaluation.duplicate_run import announce, find_duplicate, in_sweep, marked, reuse_rows
from diffig.evaluation.explainer import Explainer
from diffig.evaluation.fingerprint import fingerprint
from diffig.evaluation.finishing import finish
from diffig.evaluation.given import read_given
from diffig.evaluation.metric_info import write_metric_info
from diffig.evaluation.preparation import assemble, judge_with, make_ready, method_of
from diffig.evaluation.rows import RowStore, read_table
from diffig.evaluation.run_columns import run_columns
from diffig.evaluation.selection import select
from diffig.evaluation.thumbnails import ThumbnailStore
from diffig.evaluation.writer import RowWriter
from diffig.io import write_json, write_text
from diffig.tracking.environment import environment
from diffig.tracking.identity import build_logger
from diffig.tracking.progress import in_terminal, progress
from diffig.tracking.termination import Termination

if TYPE_CHECKING:
    import pandas as pd

    from diffig.metrics import MetricSuite

log = logging.getLogger(__name__)


def evaluate(cfg: DictConfig) -> pd.DataFrame:
    """Return the rows of one evaluation and leave them, a summary and pictures in `dirs.output`.

    A run that was killed goes on where it stopped when the same command writes to the same folder; a job of a sweep
    that is done is left as it is, and one that asks for what another has done takes over its rows.
    """
    output = Path(cfg.dirs.output)
    output.mkdir(parents=True, exist_ok=True)
    mark, thumbnails = fingerprint(cfg), ThumbnailStore(output, cfg.thumbnails)
    if in_sweep() and not cfg.logger and marked(output, mark) and (output / "rows.parquet").is_file():
        log.info("done before; a sweep that is started again does what is missing")
        return read_table(output / "rows.parquet")
    write_text(output / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    write_json(output / "environment.json", environment())
    duplicate = find_duplicate(output, mark) if in_sweep() else None
    if duplicate is not None:
        log.info("same evaluation as %s: its rows are taken over", duplicate)
        return reuse_rows(duplicate, output)
    given = read_given(cfg.attributions) if cfg.attributions else None
    metrics = build(cfg.metrics) if given is None else _of_maps_alone(build(cfg.metrics), given.name)
    datamodule, classifier = assemble(cfg)
    attributor = method_of(cfg, classifier) if given is None else None
    make_ready(cfg, datamodule, classifier, [] if attributor is None else [attributor])
    positions = select(datamodule, classifier, cfg.limit, cfg.only_correct, cfg.image_seed, cfg.batch_size, cfg.skip)
    indices = [int(datamodule.test_set[position][2]) for position in positions]
    if cfg.limit is not None and len(positions) < cfg.limit:
        log.warning("only %d of the %d images wanted are there", len(positions), cfg.limit)
    if given is not None:
        attributor = judge_with(cfg, datamodule, classifier, given, indices)
    assert attributor is not None
    store = RowStore(output, mark)
    columns = run_columns(cfg, attributor, datamodule.name)
    logger = build_logger(cfg, "evaluate")
    shown = set(indices[: cfg.pictures])
    watchers = [RowWriter(store, shown, thumbnails), Termination(), *progress()]
    trainer = build(cfg.trainer, logger=logger, callbacks=watchers, enable_progress_bar=in_terminal())
    if trainer.is_global_zero:
        store.prepare()
        write_metric_info(output, metrics.describe())
    trainer.strategy.barrier()
    done = store.done()
    if done:
        log.info("%d of %d images have their rows already", len(done & set(indices)), len(indices))
    left = [position for position, index in zip(positions, indices, strict=True) if index not in done]
    if 0 < len(left) < trainer.world_size:
        raise ValueError(
            f"{len(left)} images for {trainer.world_size} processes; each needs at least one: set trainer.devices=1"
        )
    start = time.perf_counter()
    if left:
        datamodule.batch_size = cfg.batch_size
        loader = datamodule.dataloader(Subset(datamodule.test_set, left))
        module = Explainer(attributor, metrics, columns, cfg.target, datamodule.test_set.masks)
        trainer.predict(module, loader, return_predictions=False)
    trainer.strategy.barrier()
    if trainer.is_global_zero and not marked(output, mark):  # killed between the two, the rows would have a false mark
        (output / "fingerprint").unlink(missing_ok=True)
    rows = store.merge(set(indices))
    if trainer.is_global_zero:
        seconds = time.perf_counter() - start
        thumbnails.merge(set(indices))
        log.info("%s, protocol %s: %d images in %.1f s", columns["method"], cfg.protocol, len(left), seconds)
        finish(cfg, rows, store, datamodule, dict(zip(indices, positions, strict=True)), logger)
        write_text(output / "fingerprint", mark)
        if in_sweep():
            announce(output, mark)
    trainer.strategy.barrier()  # a launcher may end the other processes as soon as one has ended
    return rows


def _of_maps_alone(suite: MetricSuite, name: str) -> MetricSuite:
    kept, left_out = suite.of_maps_alone()
    if not kept.metrics:
        raise ValueError(
            f"{', '.join(left_out)} explain images again, and attributions={name!r} are only maps; choose other "
            "metrics=..."
        )
    if left_out:
        log.warning("%s explain images again and are left out: %r are only maps", ", ".join(left_out), name)
    return kept


def mean_of(rows: pd.DataFrame, metric: str) -> float | None:
    """Return the mean of a metric over images, None where the rows have no such metric or no finite value."""
    found = float(rows.loc[rows["metric"] == metric, "value"].mean())
    return None if math.isnan(found) else found
