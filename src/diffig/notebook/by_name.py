"""The three lines of a notebook: DiffIG, or any method by its name, for a model."""

from __future__ import annotations

from typing import Any

from torch import nn

from diffig.notebook.explainer import Explainer
from diffig.notebook.options import Preset


class DiffIG(Explainer):
    """Diffusion Integrated Gradients, training-free: a shipped prior of paths for every classifier.

    Args:
        model: as in `Explainer`.
        preset: `fast` (16 backward images), `default` (32) or `best` (128).
        preprocess: as in `Explainer`.
        options: as in `Explainer`, and those of `conf/method/diffig_field.yaml`.
    """

    def __init__(self, model: nn.Module, preset: Preset = "default", preprocess: Any = None, **options: Any) -> None:
        super().__init__("diffig_field", model, preprocess, preset=preset, **options)


def explainer(method: str, model: nn.Module, preprocess: Any = None, **options: Any) -> Explainer:
    """Return any method by its name with the conveniences of `DiffIG`; arguments as in `Explainer`."""
    return Explainer(method, model, preprocess, **options)
