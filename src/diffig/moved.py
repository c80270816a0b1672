"""Modules that have moved: their old names go on working for one minor version and say the new ones."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

UNTIL = "0.3"
# Old to new, without `diffig.`; what lies inside a package has moved with it.
MOVED = {
    "attribution.guided_ig": "attribution.gig",
    "attribution.integrated_gradients": "attribution.ig",
    "attribution.quadrature": "integration.quadrature",
    "checkpointing": "training.checkpoints",
    "diffusion.ema": "training.ema",
    "diffusion.field_data": "method.field.data",
    "diffusion.field_prior": "method.field.prior",
    "diffusion.field_sequence": "method.field.sequence",
    "diffusion.latent_data": "method.latent.data",
    "diffusion.latent_prior": "method.latent.prior",
    "diffusion.latent_space": "method.latent.space",
    "diffusion.law": "method.field.moments",
    "diffusion.spaces": "method.field.space",
    "evaluation.counterfactual": "explain.counterfactual",
    "evaluation.environment": "tracking.environment",
    "evaluation.explain": "explain.run",
    "evaluation.explanation": "explain",
    "evaluation.explanation.asked": "explain.session",
    "evaluation.explanation.one": "explain.single_image",
    "evaluation.facts": "evaluation.run_columns",
    "evaluation.metric_facts": "evaluation.metric_info",
    "evaluation.progress": "tracking.progress",
    "evaluation.report": "report",
    "evaluation.termination": "tracking.termination",
    "evaluation.twins": "evaluation.duplicate_run",
    "guidance.energies": "method.guidance.energies",
    "guidance.ensemble": "diffusion.ensemble",
    "guidance.field_path": "method.field.path",
    "guidance.guidance": "method.guidance.guidance",
    "guidance.label_manifest": "method.guidance.label_manifest",
    "guidance.label_settings": "method.guidance.label_settings",
    "guidance.label_store": "method.guidance.label_store",
    "guidance.latent_path": "method.latent.path",
    "guidance.learned": "method.guidance.learned",
    "guidance.learned_guidance": "method.guidance.learned_guidance",
    "guidance.learned_training": "method.guidance.learned_training",
    "guidance.path_labels": "method.guidance.path_labels",
    "guidance.retention": "integration.soft_insertion_deletion",
    "guidance.sampled_path": "method.sampled_path",
    "guidance.scored_data": "method.guidance.scored_data",
    "integration.retention": "integration.soft_insertion_deletion",
    "loss_curves": "training.loss_curves",
    "metrics.waste": "metrics.absolute_mass",
    "paths.adversarial": "paths.agi",
    "paths.counterfactual": "paths.ig2",
    "paths.denoising": "paths.ddpath",
    "paths.fisher_rao": "paths.fringe",
    "paths.geodesic": "paths.geodesic_ig",
    "paths.greedy_pixels": "paths.samp",
    "paths.guided": "paths.gig",
    "paths.latent_geodesic": "paths.mig",
    "paths.latent_greedy": "paths.ma_gig",
    "paths.latent_line": "paths.eig",
    "paths.scale_space": "paths.blur_ig",
    "paths.spectral": "paths.spectral_ig",
    "recipes": "training.recipes",
}


def place_of(name: str) -> str | None:
    """Return where a module `diffig.…` lies now, None where it has not moved."""
    parts = name.split(".")[1:]
    for length in range(len(parts), 0, -1):
        new = MOVED.get(".".join(parts[:length]))
        if new is not None:
            return ".".join(["diffig", new, *parts[length:]])
    return None


class _Finder(MetaPathFinder, Loader):
    """Answers an import of an old name with the module itself, so that its classes are one and the same."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("diffig.") or place_of(fullname) is None:
            return None
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = place_of(spec.name)
        assert new is not None
        try:
            module = import_module(new)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"No module named {spec.name!r}", name=spec.name) from error
        warnings.warn(
            f"{spec.name} is {new} now; the old name goes with diffig {UNTIL}", DeprecationWarning, stacklevel=2
        )
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state  # the import system has written the old name into it


def install() -> None:
    """Let old names be imported; asked before the folders, as a moved package has a folder of another content."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
