"""Columns with one value for a whole run: dataset, classifier, method, and how its setting differs from the defaults.

A result is named by its resolved configuration, never by the words that led to it: the same setting has the same name
whether it was typed, swept, or written in a file of `conf/experiment`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from diffig.attribution.base import Attributor
from diffig.config import CONF_DIR, compose
from diffig.evaluation.fingerprint import content_of
from diffig.tracking.identity import choices, sweep_id

# Arguments of methods with a column each; `variant` leaves them out, as it does guidance strengths.
COLUMNS = ("steps", "n_paths", "aggregation", "credit", "rule", "nodes")
# What belongs to a setting outside its method and its baseline, with the default.
BESIDE = {"target": "label", "footprint": None, "image_size": None, "dataset.resize_mode": "crop", "attributions": None}
ABSENT = "absent"


def run_columns(cfg: DictConfig, attributor: Attributor, dataset: str) -> dict[str, Any]:
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
        "steps": cfg.method.get("steps", cfg.steps),
        "seed": cfg.seed,
        "protocol": cfg.protocol,
        "aggregation": str(getattr(attributor, "aggregation", "mean")),
        "credit": str(getattr(attributor, "credit", "")),
        "rule": str(getattr(attributor, "rule", "")),
        "nodes": str(getattr(attributor, "nodes", "")),
        "variant": variant(cfg, attributor),
        "sweep": sweep_id(),
        **{f"guidance.{name}": strength for name, strength in attributor.guidance_strengths.items()},
    }


def variant(cfg: DictConfig, attributor: Attributor) -> str:
    """Return how a setting differs from the defaults of its method, `key=value` words in order of their keys.

    Compared are the resolved options of method and baseline with those of `conf/method/<name>.yaml` and
    `conf/baseline/<name>.yaml`, and what the images and the explained class are; what has a column of its own is left
    out. A file or folder goes by its name and a digest of what is in it, so that its place does not matter.
    """
    chosen, strengths = choices(), attributor.guidance_strengths
    method = _option("method", attributor.name, chosen.get("method"))
    baseline = _option("baseline", attributor.baseline.name, chosen.get("baseline"))
    asked = [f"{group}={option}" for group, option in (("method", method), ("baseline", baseline)) if option]
    usual = compose("evaluate", asked)
    found = {} if cfg.get("attributions") else _differences(cfg.method, usual.method if method else None)
    found |= {f"baseline.{key}": value for key, value in _differences(cfg.baseline, usual.baseline).items()}
    given = {key: OmegaConf.select(cfg, key, default=default) for key, default in BESIDE.items()}
    given = {key: OmegaConf.to_object(value) if OmegaConf.is_config(value) else value for key, value in given.items()}
    found |= {key: value for key, value in given.items() if value != BESIDE[key]}
    words = {
        key: _text(value)
        for key, value in found.items()
        if key.split(".")[0] not in COLUMNS and key.rsplit(".", 1)[-1] not in strengths
    }
    name = OmegaConf.select(cfg, "latent.name")
    if name and _latent(cfg):  # the study has named its trained parts; their places say nothing more
        words = {key: text for key, text in words.items() if found[key] not in _latent(cfg)} | {"latent.name": name}
    return " ".join(f"{key}={words[key]}" for key in sorted(words))


def _option(group: str, name: str, chosen: str | None) -> str | None:
    """The file of a group whose defaults count: the one called like the object, else the one that was chosen."""
    for option in (name, chosen):
        if option and (Path(CONF_DIR) / group / f"{option}.yaml").is_file():
            return option
    return None


def _differences(given: Any, usual: Any) -> dict[str, Any]:
    """The leaves of a resolved config that another does not have; what only the other has is absent."""
    own, other = _leaves(given), _leaves(usual)
    gone = {key: ABSENT for key in other if key not in own}
    return gone | {key: value for key, value in own.items() if key not in other or other[key] != value}


def _leaves(node: Any, place: str = "") -> dict[str, Any]:
    """Values by dotted key; a `_target_` inside goes by the key of its node, lists are leaves."""
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=True)
    if not isinstance(node, dict):
        return {place: node} if place else {}
    leaves: dict[str, Any] = {}
    for key, value in node.items():
        if key == "_target_":
            leaves |= {place: str(value).rsplit(".", 1)[-1]} if place else {"_target_": value}
        elif key != "_partial_":
            leaves |= _leaves(value, f"{place}.{key}" if place else str(key))
    return leaves


def _latent(cfg: DictConfig) -> set[str]:
    """Where the trained generative parts lie that `latent.name` stands for, as far as the method uses them."""
    parts = OmegaConf.to_container(cfg.latent, resolve=True) if cfg.get("latent") else {}
    assert isinstance(parts, dict)
    places = {value for key, value in parts.items() if key != "name" and isinstance(value, str)}
    return places & {value for value in _leaves(cfg.method).values() if isinstance(value, str)}


def _text(value: Any) -> str:
    """A value without blanks, the same for 2 and 2.0; of a file its name and what is in it."""
    if isinstance(value, str):
        if Path(value).parent.name + Path(value).suffix and Path(value).exists():  # a bare word is no file
            value = f"{Path(value).name}@{hashlib.sha256(content_of(value).encode()).hexdigest()[:8]}"
        return "_".join(value.split())
    return json.dumps(_plain(value), separators=(",", ":"), sort_keys=True).replace('"', "").replace(" ", "_")


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value
