"""diffig-train: train the path model or a classifier.

diffig-train module=path_diffusion trainer.max_steps=600
diffig-train module=classifier dataset=digits
"""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from diffig.cli.help import answers
from diffig.cli.interrupt import interruptible
from diffig.cli.launch import run
from diffig.cli.sweeps import reports_sweeps
from diffig.config import CONF_DIR


@reports_sweeps
@interruptible
@answers
@hydra.main(version_base="1.3", config_path=CONF_DIR, config_name="train")
def main(cfg: DictConfig) -> float | None:
    """Train what `cfg.module` describes; return the validation loss for a sweeper to minimise."""

    def task(cfg: DictConfig) -> float | None:
        from diffig.training.run import train  # seconds of imports, after --help and --cfg have had their chance

        loss = train(cfg)
        print(f"checkpoints and weights: {cfg.dirs.output}")
        return loss

    loss: float | None = run(task, cfg)
    return loss


if __name__ == "__main__":
    main()
