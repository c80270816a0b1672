"""diffig-evaluate: explain a dataset with one method and measure the explanations.

diffig-evaluate method=ig
diffig-evaluate -m method=ig,spi,gig,diffig_field baseline=black,blur
"""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from diffig.cli.launch import run
from diffig.config import CONF_DIR


@hydra.main(version_base="1.3", config_path=CONF_DIR, config_name="evaluate")
def main(cfg: DictConfig) -> None:
    """Evaluate what `cfg` describes and leave rows, summary and pictures in its output folder."""

    def task(cfg: DictConfig) -> None:
        from diffig.evaluation.run import evaluate  # seconds of imports, after --help and --cfg have had their chance

        evaluate(cfg)
        print(f"rows and pictures: {cfg.dirs.output}")

    run(task, cfg)


if __name__ == "__main__":
    main()
