"""The manifest, written when all labels of paths are there, and the labels of a split in one table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import torch

from diffig.io import KEY, check_version, write_json
from diffig.method.guidance.label_settings import differences, plain, read_json
from diffig.method.guidance.label_store import (
    COUNTED,
    LABELS,
    LABELS_VERSION,
    SETTINGS,
    SPLITS,
    LabelStore,
    LabelTable,
    Split,
    read_shard,
    shard_file,
)

MANIFEST = "manifest.json"


def write_manifest(store: LabelStore, also: Mapping[str, Any]) -> None:
    """Write `manifest.json`: the labels are complete, what they are, their means and standard deviations, their cost.

    Args:
        store: with all its shards.
        also: what else should stand there.
    """
    total = dict.fromkeys(COUNTED, 0)
    for key in store.shards:
        for name, value in read_shard(store.file(*key), store.fingerprint)[1].items():
            total[name] += value
    about = {
        KEY: LABELS_VERSION,
        "count": store.counts,
        "shard_size": store.shard_size,
        **also,
        "cost": total,
        "fingerprint": store.fingerprint,
        "depends": store.depends,
        "statistics": {},
    }
    for split in SPLITS:
        table = _table(store.folder, split, about)
        about["statistics"][split] = {
            name: {"mean": float(column.double().mean()), "std": float(column.double().std(correction=0))}
            for name, column in (("faithfulness", table.faithfulness), ("complexity", table.complexity))
        }
    write_json(store.folder / MANIFEST, about)


def read_manifest(folder: str | FilePath, depends: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what `manifest.json` says.

    Args:
        folder: of the labels.
        depends: settings that the labels have to be of; those that are not named are free.

    Raises:
        FileNotFoundError: there is none; the labels are not there or not complete.
        ValueError: the labels are of other settings or of a later diffig; says which.
    """
    folder = FilePath(folder)
    file = folder / MANIFEST
    if not file.is_file():
        state = "are not complete" if (folder / SETTINGS).is_file() else "are not there"
        raise FileNotFoundError(
            f"labels of paths {state}: no {file}; run `diffig-train module=path_labels` with this folder's parent as "
            "dirs.output (it goes on where it stopped)"
        )
    about = read_json(file)
    check_version(about, file, LABELS, LABELS_VERSION)
    wanted = plain(depends or {})
    there = {key: about["depends"].get(key) for key in wanted}
    if there != wanted:
        raise ValueError(
            f"{folder} holds labels of other settings: {differences(there, wanted)}; give the settings that the labels "
            "were made with, or make labels of these with `diffig-train module=path_labels`"
        )
    return about


def read_labels(folder: str | FilePath, split: Split = "train", depends: Mapping[str, Any] | None = None) -> LabelTable:
    """Return all labels of a split in the order of path numbers; see `read_manifest` for arguments and errors."""
    return _table(FilePath(folder), split, read_manifest(folder, depends))


def _table(folder: FilePath, split: Split, about: Mapping[str, Any]) -> LabelTable:
    count = about["count"][split]
    numbers = range(math.ceil(count / about["shard_size"]))
    tables = [read_shard(shard_file(folder, split, number), about["fingerprint"])[0] for number in numbers]
    table = LabelTable(*(torch.cat(columns) for columns in zip(*tables, strict=True)))
    if not torch.equal(table.k, torch.arange(count)):
        raise ValueError(
            f"{folder} holds {len(table.k)} {split} paths and its manifest says {count}; run "
            "`diffig-train module=path_labels` with the same settings again"
        )
    return table
