"""diffig-evaluate: explain a dataset with one method and measure the explanations.

diffig-evaluate method=ig
diffig-evaluate -m method=ig,spi,gig,diffig_field baseline=black,blur
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
@hydra.main(version_base="1.3", config_path=CONF_DIR, config_name="evaluate")
def main(cfg: DictConfig) -> float | None:
    """Evaluate what `cfg` describes and leave rows, summary and pictures in its output folder.

    Returns:
        The mean of `cfg.search_metric` over images, for a sweeper to search by; None where no metric has that name.
    """

    def task(cfg: DictConfig) -> float | None:
        from diffig.evaluation.run import evaluate, mean_of  # seconds of imports, after --help and --cfg

        rows = evaluate(cfg)
        print(f"rows and pictures: {cfg.dirs.output}")
        return mean_of(rows, cfg.search_metric)

    found: float | None = run(task, cfg, needs="dataset.path")
    return found


if __name__ == "__main__":
    main()
