"""diffig-explain: explain an image, or a folder of images, with one or more methods.

diffig-explain image=12
diffig-explain image=12 method=diffig_field,ig,gig
diffig-explain image=cat.jpg classifier=torchvision classifier.name=resnet18 classifier.checkpoint=resnet18.pt
"""

from __future__ import annotations

import sys

import hydra
from omegaconf import DictConfig

from diffig.arguments import check_arguments
from diffig.cli.help import answers
from diffig.cli.interrupt import interruptible
from diffig.cli.launch import run
from diffig.cli.sweeps import reports_sweeps
from diffig.cli.values import check_values
from diffig.config import CONF_DIR, typed_words, with_current_keys


@reports_sweeps
@interruptible
@answers
@hydra.main(version_base="1.3", config_path=CONF_DIR, config_name="explain")
def main(cfg: DictConfig) -> None:
    """Explain `cfg.image` and leave pictures, attributions and a summary in the output folder."""

    def task(cfg: DictConfig) -> None:
        from diffig.explain.run import explain  # seconds of imports, after --help and --cfg

        print(explain(cfg, [with_method(name) for name in cfg.methods or []]))

    run(task, cfg, needs="image", goes_on=False)


def with_method(name: str) -> DictConfig:
    """Return the config of this command with another method."""
    from hydra import compose

    kept = [given for given in typed_words() if not given.startswith(("method=", "methods="))]
    cfg = with_current_keys(compose("explain", [*kept, f"method={name}"]), kept)
    check_values(cfg)
    check_arguments(cfg)
    return cfg


def program() -> None:
    """Run `main`; `method=a,b` means several methods, for hydra would take it for a sweep."""
    if not {"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(sys.argv):
        sys.argv[1:] = [
            f"methods=[{given.removeprefix('method=')}]" if given.startswith("method=") and "," in given else given
            for given in sys.argv[1:]
        ]
    main()


if __name__ == "__main__":
    program()
