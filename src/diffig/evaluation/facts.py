"""Columns that are the same in every row of a run: what was explained, how, and what told it from its siblings."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from diffig.attribution.base import Attributor
from diffig.evaluation.dashboard import sweep_id

# Words of the command line that belong to a method's variant; those of `COLUMNS` have columns of their own.
TELLING = (
    *(
        "method.",
        "baseline.",
        "guidance.nodes=",
        "guidance.start=",
        "guidance.stop=",
        "guidance.units=",
        "guidance.fill=",
        "gig.",
    ),
    *("learned=", "learned.form=", "latent.name=", "latent.sample"),
    *("preprocess=", "image_size=", "dataset.resize_mode=", "target="),
)
COLUMNS = ("method.rule=", "method.credit", "method.nodes=")


def facts_of(cfg: DictConfig, attributor: Attributor, dataset: str) -> dict[str, Any]:
    """Return the columns by name, the strengths of a guidance among them.

    Args:
        cfg: of the run.
        attributor: its method.
        dataset: what rows call the dataset.
    """
    return {
        "dataset": dataset,
        "classifier": attributor.score.classifier.name,
        "objective": attributor.score.objective,
        "baseline": attributor.baseline.name,
        "method": attributor.name,
        "n_paths": attributor.n_paths,
        "steps": cfg.steps,
        "seed": cfg.seed,
        "protocol": cfg.protocol,
        "aggregation": str(getattr(attributor, "aggregation", "mean")),
        "credit": str(getattr(attributor, "credit", "")),
        "rule": str(getattr(attributor, "rule", "")),
        "nodes": str(getattr(attributor, "nodes", "")),
        "variant": variant(),
        "sweep": sweep_id(),
        **{f"guidance.{name}": strength for name, strength in attributor.guidance_strengths.items()},
    }


def variant() -> str:
    """Return what the command line changed inside the method, so that two variants of one method are two settings.

    What the images and the explained class are belongs to it too.
    """
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return ""
    given = (override.lstrip("+~") for override in HydraConfig.get().overrides.task)
    chosen = (item for item in given if item.startswith(TELLING) and not item.startswith(COLUMNS))
    return " ".join(sorted(item.removeprefix("method.") for item in chosen))
