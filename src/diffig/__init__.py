"""Diffusion Integrated Gradients: generated integration paths, their peers, and a fair benchmark of all.

Everything a notebook needs is one name away and imported on first use, so that `import diffig` stays quick.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "ScoreFunction": "diffig.scores",
    "Cost": "diffig.scores",
    "Classifier": "diffig.classifiers",
    "IntegratedGradients": "diffig.attribution",
    "StickBreakingIntegration": "diffig.attribution",
    "GuidedIntegratedGradients": "diffig.attribution",
    "CoarseToFine": "diffig.attribution",
    "FieldDiffIG": "diffig.attribution",
    "GradientXInput": "diffig.attribution",
    "RandomAttribution": "diffig.attribution",
    "integrate": "diffig.attribution",
    "from_config": "diffig.config",
    "DiffIG": "diffig.notebook.explainer",
    "explainer": "diffig.notebook.explainer",
    "plot": "diffig.notebook.plots",
    "compare": "diffig.notebook.plots",
    "evaluate": "diffig.notebook.measure",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'diffig' has no attribute {name!r}; it offers {sorted(_HOMES)}")
    return getattr(importlib.import_module(_HOMES[name]), name)
