"""The evaluation from config to files: select, explain, measure, write."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch.utils.data import Subset

from diffig.attribution.base import Attributor
from diffig.baselines import Average, Dataset
from diffig.classifiers.training import fit_or_load
from diffig.config import build
from diffig.diffusion.field_prior import SHIPPED
from diffig.evaluation.dashboard import Shown, build_logger, send, sweep_id
from diffig.evaluation.environment import environment
from diffig.evaluation.explainer import Explainer
from diffig.evaluation.gallery import save_gallery
from diffig.evaluation.rows import RowStore, write_json, write_text
from diffig.evaluation.selection import select
from diffig.evaluation.writer import RowWriter

if TYPE_CHECKING:
    import pandas as pd

    from diffig.classifiers.base import Classifier
    from diffig.data.module import ImageDataModule

log = logging.getLogger(__name__)
DEPENDS = (
    "dataset",
    "classifier",
    "objective",
    "baseline",
    "method",
    "metrics",
    "seed",
    "limit",
    "only_correct",
    "draw",
    "target",
    "protocol",
)


def fingerprint(cfg: DictConfig) -> str:
    """Return 16 hexadecimal digits of everything that the rows depend on, and of nothing else.

    The method is taken resolved, so guidance counts only for methods that use it; the batch size does not count;
    weights count by what is in their files, so that a model trained anew is another model.
    """
    whole: Any = OmegaConf.to_container(cfg, resolve=True)
    parts = {key: whole[key] for key in DEPENDS}
    for group, ignored in (("dataset", ("batch_size", "num_workers")), ("objective", ("chunk_size",))):
        parts[group] = {key: value for key, value in parts[group].items() if key not in ignored}
    prior = parts["method"].get("prior") or {}
    files = [parts["classifier"].get("checkpoint"), prior.get("path") or (SHIPPED if prior else None)]
    files += sorted(_paths(parts["method"]))
    parts["files"] = [_content(file) if file else file for file in files]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _paths(node: Any) -> set[str]:
    """Every text in a config that names a file or folder."""
    if isinstance(node, dict | list):
        return set().union(*(_paths(value) for value in (node.values() if isinstance(node, dict) else node)))
    return {node} if isinstance(node, str) and Path(node).exists() else set()


def _content(place: str) -> str:
    """The digest of a file, or of the weights in a folder; the place itself where there is nothing."""
    files = [Path(place)] if Path(place).is_file() else sorted(Path(place).rglob("*.safetensors"))
    return "".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in files) or place


def prepare(cfg: DictConfig) -> tuple[ImageDataModule, Classifier]:
    """Return the dataset and a classifier that is ready for it: loaded, or trained in seconds and cached."""
    datamodule = build(cfg.dataset)
    datamodule.setup()
    classifier = build(cfg.classifier, datamodule=datamodule)
    fit_or_load(classifier, datamodule, Path(cfg.dirs.cache) / "classifiers", seed=0)
    return datamodule, classifier


def explain_with(cfg: DictConfig, datamodule: ImageDataModule, classifier: Classifier) -> Attributor:
    """Return the attributor of the config, with its score and baseline."""
    score = build(cfg.objective)(classifier)
    attributor: Attributor = build(cfg.method)(score, baseline=build(cfg.baseline), seed=cfg.seed)
    _fill_banks(attributor, datamodule, cfg.seed)
    return attributor


def _fill_banks(attributor: Attributor, datamodule: ImageDataModule, seed: int, size: int = 256) -> None:
    """Give `Dataset` baselines, and methods with `references` of their own, their training images."""
    baseline = attributor.baseline
    parts = baseline.baselines if isinstance(baseline, Average) else [baseline]
    for part in [*parts, getattr(attributor, "references", None)]:
        if isinstance(part, Dataset) and part.bank is None:
            images = datamodule.train_set
            order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:size].tolist()
            part.bank = torch.stack([images[position][0] for position in order])


def evaluate(cfg: DictConfig) -> pd.DataFrame:
    """Return the rows of one evaluation and leave them, a summary and pictures in `dirs.output`.

    A run that was killed goes on where it stopped when the same command writes to the same folder; a job of a sweep
    that asks for what another job of the sweep has done takes over its rows.
    """
    output = Path(cfg.dirs.output)
    output.mkdir(parents=True, exist_ok=True)
    mark = fingerprint(cfg)
    write_text(output / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    write_json(output / "environment.json", environment())
    twin = _twin(output, mark) if _in_sweep() else None
    if twin is not None:
        log.info("same evaluation as %s: its rows are taken over", twin)
        return _take_over(twin, output)
    datamodule, classifier = prepare(cfg)
    attributor = explain_with(cfg, datamodule, classifier)
    positions = select(datamodule, classifier, cfg.limit, cfg.only_correct, cfg.draw, cfg.batch_size)
    indices = [int(datamodule.test_set[position][2]) for position in positions]
    if cfg.limit is not None and len(positions) < cfg.limit:
        log.warning("only %d of the %d images wanted are there", len(positions), cfg.limit)
    store = RowStore(output, mark)
    facts = {
        "dataset": datamodule.name,
        "classifier": classifier.name,
        "objective": attributor.score.objective,
        "baseline": attributor.baseline.name,
        "method": attributor.name,
        "n_paths": attributor.n_paths,
        "steps": cfg.steps,
        "seed": cfg.seed,
        "protocol": cfg.protocol,
        "aggregation": str(getattr(attributor, "aggregation", "mean")),
        "rule": str(getattr(attributor, "rule", "")),
        "nodes": str(getattr(attributor, "nodes", "")),
        "variant": variant(),
        "sweep": sweep_id(),
        **{f"guidance.{name}": strength for name, strength in attributor.guidance_strengths.items()},
    }
    logger = build_logger(cfg, "evaluate")
    shown = set(indices[: cfg.pictures])
    bars = progress_bars()
    watchers = [RowWriter(store, shown), *bars]
    trainer = build(cfg.trainer, logger=logger, callbacks=watchers, enable_progress_bar=bool(bars))
    if trainer.is_global_zero:
        store.prepare()
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
        module = Explainer(attributor, build(cfg.metrics), facts, cfg.target, datamodule.test_set.masks)
        trainer.predict(module, loader, return_predictions=False)
    trainer.strategy.barrier()
    rows = store.merge(set(indices))
    if trainer.is_global_zero:
        seconds = time.perf_counter() - start
        log.info("%s, protocol %s: %d images in %.1f s", facts["method"], cfg.protocol, len(left), seconds)
        finish(cfg, rows, store, datamodule, dict(zip(indices, positions, strict=True)), logger)
        write_text(output / "fingerprint", mark)
    trainer.strategy.barrier()  # a launcher may end the other processes as soon as one has ended
    return rows


def mean_of(rows: pd.DataFrame, metric: str) -> float | None:
    """Return the mean of a metric over images, None where the rows have no such metric or no finite value."""
    found = float(rows.loc[rows["metric"] == metric, "value"].mean())
    return None if math.isnan(found) else found


def variant() -> str:
    """Return what the command line changed inside the method, so that two variants of one method are two settings.

    What the images and the explained class are belongs to it too; rule and nodes have columns of their own.
    """
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return ""
    telling = (
        *("method.", "baseline.", "guidance.nodes=", "guidance.start=", "guidance.stop=", "guidance.units="),
        *(
            "learned=",
            "learned.form=",
            "latent.name=",
            "latent.sample",
            "preprocess=",
            "image_size=",
            "dataset.resize_mode=",
            "target=",
            "gig.",
        ),
    )
    own = ("method.rule=", "method.nodes=")
    given = (override.lstrip("+~") for override in HydraConfig.get().overrides.task)
    chosen = (item for item in given if item.startswith(telling) and not item.startswith(own))
    return " ".join(sorted(item.removeprefix("method.") for item in chosen))


def progress_bars() -> list[Any]:
    """Return a progress bar for a terminal, none for a log file."""
    import sys

    from lightning.pytorch.callbacks import RichProgressBar

    return [RichProgressBar()] if sys.stderr.isatty() else []


def finish(
    cfg: DictConfig,
    rows: pd.DataFrame,
    store: RowStore,
    datamodule: ImageDataModule,
    positions: dict[int, int],
    logger: Any,
) -> None:
    """Write summary and picture, and send them to the dashboard where there is one."""
    from diffig.evaluation.summary import summarise

    output = Path(cfg.dirs.output)
    summary = summarise(rows)
    summary.to_csv(output / "summary.csv", index=False)
    log.info("summary\n%s", summary.to_string(index=False))
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


def _in_sweep() -> bool:
    """Whether this is a job of a sweep; a single run is asked for its own sake and measures anew."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def _twin(output: Path, mark: str) -> Path | None:
    """A finished sibling folder with the same fingerprint."""
    for file in sorted(output.parent.glob("*/fingerprint")):
        if file.parent != output and file.read_text() == mark and (file.parent / "rows.parquet").is_file():
            return file.parent
    return None


def _take_over(twin: Path, output: Path) -> pd.DataFrame:
    import pandas as pd

    for name in ("rows.parquet", "curves.parquet", "summary.csv", "attributions.png", "randomization.png"):
        if (twin / name).is_file():
            shutil.copy2(twin / name, output / name)
    write_json(output / "taken_over.json", {"from": twin.name})
    return pd.read_parquet(output / "rows.parquet")
