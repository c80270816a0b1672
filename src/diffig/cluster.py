"""Who starts the processes of a training on a cluster, and who starts it again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch.plugins.environments import SLURMEnvironment


def slurm_environment() -> SLURMEnvironment | None:
    """Return the ranks that srun has given out, None outside of a SLURM job.

    Lightning does not requeue: submitit, or `sbatch --requeue`, submits the same command again, and with the same
    output folder `resume` goes on from `last.ckpt`. Two owners of one signal would leave none that saves.
    """
    from lightning.pytorch.plugins.environments import SLURMEnvironment

    return SLURMEnvironment(auto_requeue=False) if SLURMEnvironment.detect() else None


def under_submitit() -> bool:
    """Return whether submitit has started this process."""
    return "SUBMITIT_EXECUTOR" in os.environ
