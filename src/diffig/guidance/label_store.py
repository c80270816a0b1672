"""Labels of paths on disk: shards, each whole or not there, in a folder that says what they are labels of."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

log = logging.getLogger(__name__)
Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = get_args(Split)
MANIFEST, SETTINGS = "manifest.json", "settings.json"
COUNTED = ("forward_images", "backward_images", "milliseconds")


class LabelTable(NamedTuple):
    """Labels of `n` paths, every column `(n,)`.

    k: number of the path, int64.
    position, reference: which image and which of its references it joins, int64.
    faithfulness: in [-1, 1], float32; higher is better.
    complexity: entropy of |A| in nats, float32.
    """

    k: Tensor
    position: Tensor
    reference: Tensor
    faithfulness: Tensor
    complexity: Tensor


class LabelStore:
    """The shards of one set of labels.

    Args:
        folder: where they lie.
        depends: what the labels depend on, plain values; labels of other settings are never mixed in.
        counts: paths of each split.
        shard_size: paths in one shard.
    """

    def __init__(self, folder: FilePath, depends: dict[str, Any], counts: Mapping[Split, int], shard_size: int) -> None:
        self.folder, self.counts, self.shard_size = folder, dict(counts), shard_size
        self.depends = json.loads(json.dumps({**depends, "shard_size": shard_size}, default=str))
        self.fingerprint = fingerprint(self.depends)
        self.shards = [
            (split, number) for split in SPLITS for number in range(math.ceil(self.counts[split] / shard_size))
        ]

    def numbers(self, split: Split, number: int) -> range:
        """Return the path numbers of a shard."""
        first = number * self.shard_size
        return range(first, min(first + self.shard_size, self.counts[split]))

    def file(self, split: Split, number: int) -> FilePath:
        """Return where a shard lies."""
        return self.folder / f"{split}-{number:05d}.safetensors"

    def open(self) -> None:
        """Make the folder.

        Raises:
            ValueError: it holds labels of other settings; says which.
        """
        mark = self.folder / SETTINGS
        if mark.is_file():
            there = _read_json(mark)
            if there != self.depends:
                raise ValueError(
                    f"{self.folder} holds labels of other settings: {differences(there, self.depends)}; write to "
                    "another dirs.output, or delete this folder to make them anew"
                )
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        _write_json(mark, self.depends)

    def shard(self, split: Split, number: int) -> LabelTable | None:
        """Return a shard, None where it is absent or has to be made anew (which is logged)."""
        file, wanted = self.file(split, number), torch.tensor(self.numbers(split, number))
        if not file.is_file():
            return None
        try:
            table, _ = _read(file, self.fingerprint)
        except ValueError as error:
            log.warning("%s; it is made again", error)
            return None
        if not torch.equal(table.k, wanted):
            log.info("%s holds %d paths and not %d; it is made again", file, len(table.k), len(wanted))
            return None
        return table

    def write(self, split: Split, number: int, table: LabelTable, cost: Mapping[str, int]) -> None:
        """Write a shard and what it cost, whole or not at all."""
        from safetensors.torch import save_file

        file = self.file(split, number)
        partial = file.with_name(file.name + ".part")
        about = {"fingerprint": self.fingerprint, "cost": {key: int(cost[key]) for key in COUNTED}}
        columns = {name: column.clone() for name, column in table._asdict().items()}  # views cannot be written
        save_file(columns, partial, metadata={"diffig": json.dumps(about)})
        partial.chmod(0o644)
        partial.replace(file)

    def missing(self) -> list[tuple[Split, int]]:
        """Return the shards that are still to be made."""
        return [key for key in self.shards if self.shard(*key) is None]

    def write_manifest(self, facts: Mapping[str, Any]) -> None:
        """Write `manifest.json`: the labels are complete, and this is what they are."""
        total = dict.fromkeys(COUNTED, 0)
        for key in self.shards:
            for name, value in _read(self.file(*key), self.fingerprint)[1].items():
                total[name] += value
        write_manifest(
            self.folder,
            {
                "count": self.counts,
                "shard_size": self.shard_size,
                **facts,
                "cost": total,
                "fingerprint": self.fingerprint,
                "depends": self.depends,
            },
        )


def write_manifest(folder: FilePath, facts: Mapping[str, Any]) -> None:
    """Write `manifest.json` with `facts` and the means and standard deviations of the labels of each split.

    Args:
        folder: with all its shards.
        facts: at least `count`, `shard_size` and `fingerprint`.
    """
    about = dict(facts)
    about["statistics"] = {}
    for split in SPLITS:
        table = _table(folder, split, about)
        about["statistics"][split] = {
            name: {"mean": float(column.double().mean()), "std": float(column.double().std(correction=0))}
            for name, column in (("faithfulness", table.faithfulness), ("complexity", table.complexity))
        }
    _write_json(folder / MANIFEST, about)


def read_manifest(folder: str | FilePath, depends: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what `manifest.json` says.

    Args:
        folder: of the labels.
        depends: settings that the labels have to be of; those that are not named are free.

    Raises:
        FileNotFoundError: there is none; the labels are not there or not complete.
        ValueError: the labels are of other settings; says which.
    """
    folder = FilePath(folder)
    file = folder / MANIFEST
    if not file.is_file():
        state = "are not complete" if (folder / SETTINGS).is_file() else "are not there"
        raise FileNotFoundError(
            f"labels of paths {state}: no {file}; run `diffig-train module=path_labels` with this folder's parent as "
            "dirs.output (it goes on where it stopped)"
        )
    about = _read_json(file)
    wanted = json.loads(json.dumps(dict(depends or {}), default=str))
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


def fingerprint(depends: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits of plain values."""
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return 16 hexadecimal digits of the content of named tensors."""
    whole = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        whole.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        whole.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()[:16]


def differences(there: Any, wanted: Any, name: str = "") -> str:
    """Return in words where two nests of plain values differ, `name: there, not wanted`, at most four of them."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        keys = [key for key in {**there, **wanted} if there.get(key) != wanted.get(key)]
        return "; ".join(
            differences(there.get(key), wanted.get(key), f"{name}.{key}" if name else key) for key in keys[:4]
        )
    return f"{name}: {there} there, {wanted} asked for"


def _table(folder: FilePath, split: Split, about: Mapping[str, Any]) -> LabelTable:
    count = about["count"][split]
    store = range(math.ceil(count / about["shard_size"]))
    tables = [_read(folder / f"{split}-{number:05d}.safetensors", about["fingerprint"])[0] for number in store]
    table = LabelTable(*(torch.cat(columns) for columns in zip(*tables, strict=True)))
    if not torch.equal(table.k, torch.arange(count)):
        raise ValueError(
            f"{folder} holds {len(table.k)} {split} paths and its manifest says {count}; run "
            "`diffig-train module=path_labels` with the same settings again"
        )
    return table


def _read(file: FilePath, mark: str) -> tuple[LabelTable, dict[str, int]]:
    """A shard and its cost; ValueError where it is absent, broken or of other settings."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            about = json.loads((opened.metadata() or {})["diffig"])
            table = LabelTable(*(opened.get_tensor(name) for name in LabelTable._fields))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0]}" if str(error) else type(error).__name__
        raise ValueError(f"shard {file} is broken or absent ({reason})") from error
    if about.get("fingerprint") != mark:
        raise ValueError(f"shard {file} holds labels of other settings")
    if len({len(column) for column in table}) != 1 or not all(bool(column.isfinite().all()) for column in table[3:]):
        raise ValueError(f"shard {file} holds columns of different lengths, or numbers that are not finite")
    return table, about["cost"]


def _read_json(file: FilePath) -> Any:
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is no JSON file any more ({error}); delete it and run the command again") from error


def _write_json(file: FilePath, content: Any) -> None:
    partial = file.with_name(f"{file.name}.{os.getpid()}.part")  # all ranks write the settings
    partial.write_text(json.dumps(content, indent=2) + "\n")
    partial.replace(file)
