"""Diffusion Integrated Gradients: generated integration paths, their peers, and a fair benchmark of all.

Everything a notebook needs is one name away and imported on first use, so that `import diffig` stays quick: methods and
what they are built from by their own names, rooms such as `diffig.metrics` and `diffig.baselines` as attributes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from diffig.version import __version__

if TYPE_CHECKING:
    from diffig import (
        attribution,
        baselines,
        classifiers,
        config,
        credit,
        data,
        diffusion,
        evaluation,
        generative,
        guidance,
        metrics,
        paths,
        randomness,
        scores,
    )
    from diffig.attribution import (
        IDGI,
        IG2,
        LRP,
        SAMP,
        AdversarialGradientIntegration,
        Attributor,
        BlurIG,
        CentreGaussian,
        CoarseToFine,
        ConstantAttribution,
        DDPath,
        DeepTaylor,
        EnhancedIntegratedGradients,
        ExpectedGradients,
        FieldDiffIG,
        FreeMCG,
        FRInGe,
        FullGrad,
        GeodesicIG,
        GradCAM,
        Gradient,
        GradientXInput,
        GuidedBackprop,
        GuidedGradCAM,
        GuidedIntegratedGradients,
        InputMagnitude,
        Integral,
        IntegratedDecisionGradients,
        IntegratedGradients,
        LatentDiffIG,
        LocalPathIntegration,
        ManifoldGuidedIG,
        ManifoldIntegratedGradients,
        PathAttributor,
        PathWeightedIG,
        RandomAttribution,
        RectGrad,
        RevealIG,
        SAMPPlusPlus,
        SmoothGrad,
        Sobel,
        SpectralIG,
        SplitIG,
        StickBreakingIntegration,
        aggregate,
        integrate,
    )
    from diffig.baselines import (
        Baseline,
    )
    from diffig.classifiers import (
        Classifier,
        load_weights,
    )
    from diffig.config import (
        compose,
        from_config,
    )
    from diffig.credit import (
        Credit,
    )
    from diffig.diffusion.field_prior import (
        FieldPrior,
    )
    from diffig.diffusion.latent_prior import (
        LatentPrior,
    )
    from diffig.generative import (
        Autoencoder,
        Counterfactual,
        CounterfactualSearch,
        ImageDiffusion,
    )
    from diffig.guidance import (
        Guidance,
    )
    from diffig.metrics import (
        Explained,
        Metric,
        MetricSuite,
    )
    from diffig.notebook.explainer import (
        DiffIG,
        explainer,
    )
    from diffig.notebook.measure import (
        evaluate,
    )
    from diffig.notebook.plots import (
        compare,
        plot,
    )
    from diffig.randomness import (
        Streams,
    )
    from diffig.scores import (
        Cost,
        ScoreFunction,
    )


# Type checkers read this list and the imports above, Python the two tables below; a test holds them equal.
__all__ = [
    "IDGI",
    "IG2",
    "LRP",
    "SAMP",
    "AdversarialGradientIntegration",
    "Attributor",
    "Autoencoder",
    "Baseline",
    "BlurIG",
    "CentreGaussian",
    "Classifier",
    "CoarseToFine",
    "ConstantAttribution",
    "Cost",
    "Counterfactual",
    "CounterfactualSearch",
    "Credit",
    "DDPath",
    "DeepTaylor",
    "DiffIG",
    "EnhancedIntegratedGradients",
    "ExpectedGradients",
    "Explained",
    "FRInGe",
    "FieldDiffIG",
    "FieldPrior",
    "FreeMCG",
    "FullGrad",
    "GeodesicIG",
    "GradCAM",
    "Gradient",
    "GradientXInput",
    "Guidance",
    "GuidedBackprop",
    "GuidedGradCAM",
    "GuidedIntegratedGradients",
    "ImageDiffusion",
    "InputMagnitude",
    "Integral",
    "IntegratedDecisionGradients",
    "IntegratedGradients",
    "LatentDiffIG",
    "LatentPrior",
    "LocalPathIntegration",
    "ManifoldGuidedIG",
    "ManifoldIntegratedGradients",
    "Metric",
    "MetricSuite",
    "PathAttributor",
    "PathWeightedIG",
    "RandomAttribution",
    "RectGrad",
    "RevealIG",
    "SAMPPlusPlus",
    "ScoreFunction",
    "SmoothGrad",
    "Sobel",
    "SpectralIG",
    "SplitIG",
    "StickBreakingIntegration",
    "Streams",
    "__version__",
    "aggregate",
    "attribution",
    "baselines",
    "classifiers",
    "compare",
    "compose",
    "config",
    "credit",
    "data",
    "diffusion",
    "evaluate",
    "evaluation",
    "explainer",
    "from_config",
    "generative",
    "guidance",
    "integrate",
    "load_weights",
    "metrics",
    "paths",
    "plot",
    "randomness",
    "scores",
]

_ROOMS = frozenset(
    {
        "attribution",
        "baselines",
        "classifiers",
        "config",
        "credit",
        "data",
        "diffusion",
        "evaluation",
        "generative",
        "guidance",
        "metrics",
        "paths",
        "randomness",
        "scores",
    }
)
# Every other name is a method's, and lives in `diffig.attribution`.
_ELSEWHERE = {
    "Baseline": "diffig.baselines",
    "Classifier": "diffig.classifiers",
    "load_weights": "diffig.classifiers",
    "compose": "diffig.config",
    "from_config": "diffig.config",
    "Credit": "diffig.credit",
    "FieldPrior": "diffig.diffusion.field_prior",
    "LatentPrior": "diffig.diffusion.latent_prior",
    "Autoencoder": "diffig.generative",
    "Counterfactual": "diffig.generative",
    "CounterfactualSearch": "diffig.generative",
    "ImageDiffusion": "diffig.generative",
    "Guidance": "diffig.guidance",
    "Explained": "diffig.metrics",
    "Metric": "diffig.metrics",
    "MetricSuite": "diffig.metrics",
    "Streams": "diffig.randomness",
    "Cost": "diffig.scores",
    "ScoreFunction": "diffig.scores",
    "DiffIG": "diffig.notebook.explainer",
    "explainer": "diffig.notebook.explainer",
    "plot": "diffig.notebook.plots",
    "compare": "diffig.notebook.plots",
    "evaluate": "diffig.notebook.measure",
}


if not TYPE_CHECKING:  # or a type checker would take any name for an attribute

    def __getattr__(name: str) -> Any:
        if name in _ROOMS:
            return importlib.import_module(f"diffig.{name}")
        if name not in __all__:
            raise AttributeError(f"module 'diffig' has no attribute {name!r}; it offers {sorted(__all__)}")
        return getattr(importlib.import_module(_ELSEWHERE.get(name, "diffig.attribution")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
