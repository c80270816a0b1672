"""Images from config to files: one, or a folder of them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from diffig.attribution.regional import RegionalAttributor
from diffig.checks import check_at_least
from diffig.explain.inputs import check_file, folder_names, sources_of
from diffig.explain.page import write_list
from diffig.explain.session import open_session
from diffig.explain.single_image import explain_one
from diffig.io import DiskFull, write_text

log = logging.getLogger("diffig")


def explain(cfg: DictConfig, methods: list[DictConfig] | None = None) -> str:
    """Return a few lines that say what was explained; leave pictures, films, attributions, a summary and a page.

    Args:
        cfg: of `diffig-explain`; `cfg.image` is a file, a folder of files, or a position in the dataset's test set.
        methods: configs that differ from `cfg` in the method, for several; `cfg` alone otherwise.

    Raises:
        FileNotFoundError, ValueError: an image or mask cannot be read, or the target is unknown. In a folder a file
            that cannot be read is left out and named, as long as there is another.
    """
    output = Path(cfg.dirs.output)
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    if cfg.task not in ("attribution", "counterfactual"):
        raise ValueError(f"task={cfg.task} is unknown; choose attribution or counterfactual")
    if cfg.films:
        check_at_least(cfg.frames, 2, "frames", "pictures of a film, of its first and its last place at least")
    if cfg.task == "counterfactual":
        from diffig.explain.counterfactual import find_counterfactual

        return find_counterfactual(cfg)
    sources = sources_of(cfg.image)
    if cfg.region is not None:
        check_file(cfg.region)
    session = open_session(cfg, methods or [cfg])
    if cfg.region is not None and not any(isinstance(method, RegionalAttributor) for method in session.methods):
        raise ValueError(
            f"region={cfg.region} is for diffig_field and diffig_latent, and method={session.methods[0].name} takes "
            "none; choose one of them, or region=null"
        )
    if len(sources) == 1:
        return explain_one(cfg, session, sources[0], output)
    if cfg.region is not None:
        raise ValueError(
            f"region={cfg.region} is a mask of one image and image={cfg.image} holds {len(sources)}; give one"
        )
    from rich.progress import track

    found, failures = [], []
    for source, name in track(list(zip(sources, folder_names(sources, cfg.image), strict=True)), "images"):
        try:
            explain_one(cfg, session, source, output / name)
        except DiskFull:  # the next image would find no room either
            raise
        except (ValueError, OSError) as error:
            log.error("%s is left out: %s", source, error)
            failures.append((str(source), str(error)))
        else:
            found.append((name, _read_summary(output / name)))
    if not found:
        raise ValueError(f"none of the {len(failures)} images of {cfg.image} could be explained: {failures[0][1]}")
    page = write_list(output, found, failures)
    return f"{len(found)} images explained, {len(failures)} left out\npage: {page}"


def _read_summary(folder: Path) -> dict[str, Any]:
    import json

    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found
