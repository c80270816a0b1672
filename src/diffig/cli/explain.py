"""diffig-explain: explain one image with one method.

diffig-explain image=12
diffig-explain image=cat.jpg classifier=torchvision classifier.name=resnet18 classifier.checkpoint=resnet18.pt
"""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from diffig.cli.launch import run
from diffig.config import CONF_DIR


@hydra.main(version_base="1.3", config_path=CONF_DIR, config_name="explain")
def main(cfg: DictConfig) -> None:
    """Explain `cfg.image` and leave picture, attribution and summary in the output folder."""

    def task(cfg: DictConfig) -> None:
        from diffig.evaluation.explain import explain  # seconds of imports, after --help and --cfg

        print(explain(cfg))

    run(task, cfg)


if __name__ == "__main__":
    main()
