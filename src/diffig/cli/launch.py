"""What every program does around its task: quiet start, ranks, and errors that say one thing once."""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger("diffig")
USER_ERRORS = (ValueError, TypeError, OSError, RuntimeError)


def run(task: Callable[[DictConfig], Any], cfg: DictConfig) -> Any:
    """Return what `task(cfg)` returns.

    A mistake of the user ends a single run with one line; in a sweep it is logged, left as `error.txt` in the job's
    folder, and raised for Hydra, which goes on with the other jobs and reports the failure at the end.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf.errors import OmegaConfBaseException

    quiet()
    refuse_spawning_sweeps(cfg)
    many = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        return task(cfg)
    except (*USER_ERRORS, OmegaConfBaseException) as error:
        message = one_line(error, cfg)
        log.debug("trace", exc_info=True)
        folder = Path(HydraConfig.get().runtime.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "error.txt").write_text(f"{message}\n\n{traceback.format_exc()}")
        log.error("%s", message)
        if many or os.environ.get("HYDRA_FULL_ERROR"):
            raise
        print(f"details: {folder / 'error.txt'}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        if "wandb" in sys.modules:  # the next job of a sweep must not write into this job's run
            sys.modules["wandb"].finish()


def one_line(error: BaseException, cfg: DictConfig) -> str:
    """Return the first line of an error, with the next step where OmegaConf does not say it."""
    from omegaconf import OmegaConf

    message = str(error).strip().split("\n")[0] or type(error).__name__
    if "Missing mandatory value" in message:
        key = message.split(":")[-1].strip()
        # A node that another takes up by interpolation is set where it stands: prior.path, not method.prior.path.
        key = min((known for known in OmegaConf.missing_keys(cfg) if key.endswith(known)), key=len, default=key)
        return f"{key} is not set; give it on the command line, {key}=..."
    return message


def quiet() -> None:
    """Silence advertisements and warnings that no user of diffig can act on."""
    os.environ.setdefault("WANDB_SILENT", "true")
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (".*does not have many workers.*", ".*litlogger.*", ".*LeafSpec.*", ".*smaller than the logging.*"):
        warnings.filterwarnings("ignore", message=text)


def refuse_spawning_sweeps(cfg: DictConfig) -> None:
    """Raise where a sweep would start processes that start the sweep again (Lightning's subprocess launcher)."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    trainer = cfg.get("trainer", {})
    strategy, devices = str(trainer.get("strategy", "auto")), trainer.get("devices", 1)
    count = devices if isinstance(devices, int) else 1 if isinstance(devices, str) else len(devices)
    # Lightning takes ddp where several devices are asked for and no strategy is named.
    launcher = strategy.startswith("ddp") and not strategy.startswith(("ddp_spawn", "ddp_fork", "ddp_notebook"))
    spawns = launcher or (strategy == "auto" and count != 1)
    if HydraConfig.get().mode == RunMode.MULTIRUN and spawns and "LOCAL_RANK" not in os.environ:
        raise SystemExit(
            f"trainer.strategy={strategy} cannot run inside a sweep (-m): every rank would start the sweep again. "
            "Run single jobs without -m, or use trainer.strategy=ddp_spawn, or one device for each job"
        )
