"""Which process is which: ranks are known before Lightning is imported, and combinations that hang are refused.

Three ways give ranks: submitit (`hydra/launcher=local` and `=slurm`), srun or torchrun, and Lightning itself, which
starts further processes by command line. The last is for single runs only.
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

from diffig.cluster import under_submitit
from diffig.config import typed_words

if TYPE_CHECKING:
    from omegaconf import DictConfig


def prepare_ranks(cfg: DictConfig) -> None:
    """Give this process its rank in the environment, where a launcher has one for it.

    Raises:
        ValueError: the launcher has started another number of processes than the trainer will wait for.
        SystemExit: a sweep would start processes that start the sweep again, or every process of a run would write to a
            folder of its own.
    """
    if under_submitit():
        _take_ranks_of_submitit(cfg)
        return
    refuse_spawning_sweeps(cfg)
    refuse_scattered_output()


def is_first_rank() -> bool:
    """Whether this process speaks for all of its run: its first rank, or its only process."""
    # All of them: what Lightning starts inside a SLURM job has that job's SLURM_PROCID, 0, and a LOCAL_RANK of its own.
    names = ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK")
    return all(os.environ.get(name) in (None, "", "0") for name in names)


def _take_ranks_of_submitit(cfg: DictConfig) -> None:
    from submitit import JobEnvironment
    from submitit.helpers import TorchDistributedEnvironment

    tasks = JobEnvironment().num_tasks // JobEnvironment().num_nodes
    devices = device_count(cfg)
    if devices != tasks:
        raise ValueError(
            f"trainer.devices={devices}, and the launcher has started {tasks} processes on each node; set "
            f"compute.devices={devices}, from which both take their number, and leave trainer.devices alone"
        )
    if JobEnvironment().num_tasks > 1:
        # Every rank sees all devices of its node: Lightning chooses by local rank.
        TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)


def device_count(cfg: DictConfig) -> int:
    """Return how many processes the trainer wants on a node; 1 where that is left to the machine (`auto`)."""
    devices = cfg.get("trainer", {}).get("devices", 1)
    if devices is None or isinstance(devices, float):
        value = "null" if devices is None else devices
        raise ValueError(f"trainer.devices={value} must be how many devices, a list of them, or auto (compute.devices)")
    return devices if isinstance(devices, int) else 1 if isinstance(devices, str) else len(devices)


def refuse_spawning_sweeps(cfg: DictConfig) -> None:
    """Raise where a sweep would start processes that start the sweep again (Lightning's subprocess launcher)."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    strategy, count = str(cfg.get("trainer", {}).get("strategy", "auto")), device_count(cfg)
    # Lightning takes ddp where several devices are asked for and no strategy is named.
    launcher = strategy.startswith("ddp") and not strategy.startswith(("ddp_spawn", "ddp_fork", "ddp_notebook"))
    spawns = launcher or (strategy == "auto" and count != 1)
    if HydraConfig.get().mode != RunMode.MULTIRUN or not spawns or "LOCAL_RANK" in os.environ:
        return
    told = (
        "trainer.strategy=",
        "trainer.devices=",
        "compute.devices=",
        "trainer=",
        "hydra/launcher=",
        "hydra.launcher.",
    )
    words = [word for word in sys.argv[1:] if not word.startswith(told) and word not in ("-m", "--multirun")]
    program = os.path.basename(sys.argv[0])
    command = f"{shlex.join([program, '-m', *words])} hydra/launcher=local compute.devices={count}"
    raise SystemExit(
        f"trainer.strategy={strategy} on {count} devices cannot run inside a sweep (-m): every rank would start "
        f"the sweep again. Let a launcher start the ranks:\n    {command}\n(hydra/launcher=slurm on a cluster), or use "
        "trainer.strategy=ddp_spawn, or run single jobs without -m"
    )


def refuse_scattered_output() -> None:
    """Raise where several processes of srun or torchrun would each make up an output folder from the time of day."""
    world = int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or 1)
    ranked = "LOCAL_RANK" in os.environ or "SLURM_PROCID" in os.environ
    interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    words = [*typed_words(), *typed_words("hydra")]
    given = any(word.startswith(("hydra.run.dir=", "dirs.output=")) for word in words)
    if world > 1 and ranked and not interactive and not given:
        raise SystemExit(
            f"{world} processes would write to {world} folders; name one for all of them: hydra.run.dir=outputs/my_run"
        )
