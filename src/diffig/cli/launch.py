"""What every program does around its task: quiet start, ranks, and errors that say one thing once."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffig.arguments import check_arguments
from diffig.cli.folders import FolderInUse, taken
from diffig.cli.interrupt import Interrupted, was_interrupted
from diffig.cli.ranks import is_first_rank, prepare_ranks
from diffig.cli.sweeps import mark, word
from diffig.cli.values import check_values
from diffig.config import typed_words, with_current_keys
from diffig.io import DiskFull, is_full, write_text

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger("diffig")
USER_ERRORS = (ValueError, TypeError, OSError, RuntimeError)


def run(task: Callable[[DictConfig], Any], cfg: DictConfig, needs: str | None = None, goes_on: bool = True) -> Any:
    """Return what `task(cfg)` returns.

    A mistake of the user ends a single run with one line; in a sweep it is logged, left as `error.txt` in the job's
    folder, and raised for Hydra, which goes on with the other jobs and reports the failure at the end.

    Args:
        task: imports what it works with, seconds of imports, when it is called.
        cfg: the config of the program.
        needs: a key that must be set where the config has it; asked for before the task is called.
        goes_on: whether the task takes up what an earlier start has left in the folder.

    Raises:
        Interrupted: the user has stopped it; one line says how it goes on.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    quiet()
    many = HydraConfig.get().mode == RunMode.MULTIRUN
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        cfg = with_current_keys(cfg, typed_words())
        prepare_ranks(cfg)
        if needs is not None:
            OmegaConf.select(cfg, needs, throw_on_missing=True)
        check_values(cfg)
        check_arguments(cfg)
        with taken(folder, Path(cfg.dirs.output)):
            mark(folder, "running")
            result = task(cfg)
            mark(folder, "done")
            return result
    except (KeyboardInterrupt, SystemExit) as stop:
        if not was_interrupted(stop):
            raise
        mark(folder, "interrupted")
        if is_first_rank() and not many:  # a sweep says it of all its jobs
            again = f" with {word('hydra.run.dir', folder)} goes on from here" if goes_on else " starts it again"
            print(f"interrupted; the same command{again}", file=sys.stderr)
        raise Interrupted from None
    except FolderInUse as error:  # whose status and error.txt are the other run's
        log.error("%s", error)
        if many:
            raise
        raise SystemExit(1) from None
    except (*USER_ERRORS, OmegaConfBaseException) as error:
        message = one_line(error, cfg)
        log.debug("trace", exc_info=True)
        with contextlib.suppress(OSError):  # of a disk that is full, the message is what the user needs
            mark(folder, "failed")
            write_text(folder / "error.txt", f"{message}\n\n{traceback.format_exc()}", durable=False)
        log.error("%s", message)
        if many or os.environ.get("HYDRA_FULL_ERROR"):
            raise
        if (folder / "error.txt").is_file():
            print(f"details: {folder / 'error.txt'}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        if "wandb" in sys.modules:  # the next job of a sweep must not write into this job's run
            sys.modules["wandb"].finish()


def one_line(error: BaseException, cfg: DictConfig) -> str:
    """Return the first line of an error, with the next step where OmegaConf does not say it."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if is_full(error) and not isinstance(error, DiskFull):
        error = DiskFull(getattr(error, "filename", None) or cfg.dirs.output)
    message = str(error).strip().split("\n")[0] or type(error).__name__
    if "Missing mandatory value" in message:
        key = message.split(":")[-1].strip()
        # A node that another takes up by interpolation is set where it stands: prior.path, not method.prior.path.
        with contextlib.suppress(OmegaConfBaseException):  # an interpolation that leads nowhere either
            key = min((known for known in OmegaConf.missing_keys(cfg) if key.endswith(known)), key=len, default=key)
        return f"{key} is not set; give it on the command line, {key}=..."
    place = getattr(error, "full_key", None)  # of an interpolation that leads nowhere
    return f"{place}: {message}" if place and place not in message else message


def quiet() -> None:
    """Silence advertisements and warnings that no user of diffig can act on."""
    os.environ.setdefault("WANDB_SILENT", "true")
    logging.raiseExceptions = False  # a log that finds no room would print a trace for every line
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    texts = (".*does not have many workers.*", ".*litlogger.*", ".*LeafSpec.*", ".*smaller than the logging.*")
    for text in (*texts, ".*`srun` command is available.*"):  # a cluster's head is a place to work on as well
        warnings.filterwarnings("ignore", message=text)
