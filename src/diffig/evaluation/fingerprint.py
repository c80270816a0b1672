"""What the rows of a run depend on, as a mark that tells two runs apart or the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from diffig.method.field.prior import SHIPPED

# Counted where something uses them: datasets, methods and baselines are taken with their interpolations resolved.
INGREDIENTS = (
    *("preprocess", "image_size"),
    *("steps", "credit", "rule", "nodes", "n_paths", "aggregation"),
    *("guidance", "prior", "latent", "learned"),
    "attributions",  # by its content and its name, wherever it lies
)
# Where and how fast a run goes, and what it leaves beside its rows. Whatever is in neither list counts, so that a key
# which somebody adds makes another run of it rather than lend it the rows of one without.
BESIDE_ROWS = (
    *("compute", "trainer", "logger", "dirs", "batch_size"),
    *("pictures", "thumbnails", "search_metric"),
)


def fingerprint(cfg: DictConfig) -> str:
    """Return 16 hexadecimal digits of everything that the rows depend on, and of nothing else.

    The method is taken resolved, so guidance counts only for methods that use it; the batch size does not count, the
    precision does; weights count by what is in their files, so that a model trained anew is another model.
    """
    whole: Any = OmegaConf.to_container(cfg, resolve=True)
    parts: dict[str, Any] = {key: value for key, value in whole.items() if key not in INGREDIENTS + BESIDE_ROWS}
    parts["precision"] = (whole.get("trainer") or {}).get("precision")
    for group, ignored in (("dataset", ("batch_size", "num_workers")), ("objective", ("chunk_size",))):
        parts[group] = {key: value for key, value in parts[group].items() if key not in ignored}
    OmegaConf.select(cfg, "method.prior", throw_on_missing=True)  # method.prior=???
    prior = parts["method"].get("prior") or {}
    files = [parts["classifier"].get("checkpoint"), prior.get("path") or (SHIPPED if prior else None)]
    if whole.get("attributions"):
        parts["method"], parts["given"] = None, Path(whole["attributions"]).stem
        files.append(whole["attributions"])
    files += sorted(_paths([parts["method"], parts["metrics"]]))
    parts["files"] = [content_of(file) if file else file for file in files]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _paths(node: Any) -> set[str]:
    """Every text in a config that names a file or folder."""
    if isinstance(node, dict | list):
        return set().union(*(_paths(value) for value in (node.values() if isinstance(node, dict) else node)))
    return {node} if isinstance(node, str) and Path(node).exists() else set()


def content_of(place: str) -> str:
    """Return the digest of a file, or of the weights in a folder; the place itself where there is nothing."""
    files = [Path(place)] if Path(place).is_file() else sorted(Path(place).rglob("*.safetensors"))
    return "".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in files) or place
