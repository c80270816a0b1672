"""What a run is called on a dashboard, so that a sweep of hundreds can be read, and which run it is after a restart."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from diffig.config import build, typed_words

if TYPE_CHECKING:
    from omegaconf import DictConfig

TOLD = ("method", "module", "dataset", "classifier", "baseline", "protocol")  # the groups whose options are tags
# Words of the command line that say where and how fast a run ran, and not what it was.
SILENT = (
    *("hydra", "dirs.", "trainer", "logger", "compute", "batch_size", "dataset.num_workers"),
    *("pictures", "thumbnails", "search_metric"),
)


def build_logger(cfg: DictConfig, job: str, known: dict[str, Any] | None = None) -> Any:
    """Return the logger of the config, False where there is none.

    What `logger.name`, `.group`, `.tags` and `.id` leave null is filled in, see `identity`.

    Args:
        cfg: of the program.
        job: `evaluate`, `train` or `report`.
        known: what the caller knows better than `identity`.
    """
    if not cfg.logger:
        return False
    if not cfg.logger._target_.endswith("WandbLogger"):
        return build(cfg.logger)
    told = {**identity(cfg, job), **(known or {})}
    missing = {key: value for key, value in told.items() if cfg.logger.get(key) is None}
    # In two steps: `config` is also the name of an argument of Hydra's own.
    return build(cfg.logger, _partial_=True)(**missing)


def identity(cfg: DictConfig, job: str) -> dict[str, Any]:
    """Return name, group, tags, job type, id and configuration of a run.

    The id follows from the folder, so that a run that is killed and started again is one run. Without a network each
    start has an id of its own, because what is synchronised last would erase what came before; the group holds them
    together. A W&B agent has chosen the id already.
    """
    output = Path(cfg.dirs.output)
    # A report may lie in the folder of the run that it is about.
    place = f"{output.resolve()}{' report' if job == 'report' else ''}"
    base = hashlib.sha256(place.encode()).hexdigest()[:8]
    offline = cfg.logger.get("offline") or os.environ.get("WANDB_MODE") in ("offline", "dryrun")
    starts = len(list((output / "wandb").glob("offline-run-*"))) if offline else 0
    tags = [job, *dict.fromkeys(choices().get(group, "") for group in TOLD)]
    return {
        "name": run_name(),
        "group": sweep_id() or (base if offline else None),
        "tags": [tag for tag in tags if tag],
        "job_type": job,
        "id": None if "WANDB_SWEEP_ID" in os.environ else f"{base}-{starts}" if starts else base,
        "config": OmegaConf.to_container(cfg, resolve=True),
    }


def run_name() -> str | None:
    """Return the method (or module) and what tells this job from the others of its sweep, None outside Hydra."""
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return None
    chosen = choices()
    what = chosen.get("method") or chosen.get("module") or ""
    shared = _shared_words()
    words = [word.lstrip("+~") for word in typed_words() if word not in shared]
    told = [word for word in words if not word.startswith((*SILENT, "method=", "module="))]
    short = [
        word if len(told) < 2 else word.split("=")[0].rsplit(".", 1)[-1] + "=" + word.partition("=")[2] for word in told
    ]
    return " ".join([what, *short])[:120]


def sweep_id() -> str:
    """Return the name of the sweep that this job belongs to: its folder's, or a W&B agent's; empty for a single run."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    agent = os.environ.get("WANDB_SWEEP_ID", "")
    if agent or not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return agent
    return Path(HydraConfig.get().sweep.dir).resolve().name


def choices() -> dict[str, str]:
    """Return the chosen option of each group, nothing outside Hydra."""
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return {}
    return {str(group): str(option) for group, option in HydraConfig.get().runtime.choices.items() if option}


def _shared_words() -> set[str]:
    """Words that every job of the sweep has: Hydra keeps what was typed."""
    from hydra.core.hydra_config import HydraConfig

    typed = Path(HydraConfig.get().sweep.dir) / "multirun.yaml"
    if not sweep_id() or not typed.is_file():
        return set()
    found: Any = OmegaConf.to_container(OmegaConf.load(typed), resolve=False)
    return set(found["hydra"]["overrides"]["task"])
