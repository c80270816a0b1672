"""Labels of paths on disk: shards, each whole or not there, in a folder that says what they are labels of."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from diffig.io import KEY, NewerFormat, check_version, write_json, write_tensors
from diffig.method.guidance.label_settings import differences, fingerprint, plain, read_json

log = logging.getLogger(__name__)
Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = get_args(Split)
SETTINGS = "settings.json"
LABELS, LABELS_VERSION = "a file of labels of paths", 1
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
        self.depends = plain({**depends, "shard_size": shard_size})
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
        return shard_file(self.folder, split, number)

    def open(self) -> None:
        """Make the folder.

        Raises:
            ValueError: it holds labels of other settings or of a later diffig; says which.
        """
        mark = self.folder / SETTINGS
        if mark.is_file():
            there = read_json(mark)
            check_version(there, mark, LABELS, LABELS_VERSION)
            there.pop(KEY, None)
            if there != self.depends:
                raise ValueError(
                    f"{self.folder} holds labels of other settings: {differences(there, self.depends)}; write to "
                    "another dirs.output, or delete this folder to make them anew"
                )
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(mark, {KEY: LABELS_VERSION, **self.depends})

    def shard(self, split: Split, number: int) -> LabelTable | None:
        """Return a shard, None where it is absent or has to be made anew (which is logged); a newer one is not."""
        file, wanted = self.file(split, number), torch.tensor(self.numbers(split, number))
        if not file.is_file():
            return None
        try:
            table, _ = read_shard(file, self.fingerprint)
        except NewerFormat:
            raise
        except ValueError as error:
            log.warning("%s; it is made again", error)
            return None
        if not torch.equal(table.k, wanted):
            log.info("%s holds %d paths and not %d; it is made again", file, len(table.k), len(wanted))
            return None
        return table

    def write(self, split: Split, number: int, table: LabelTable, cost: Mapping[str, int]) -> None:
        """Write a shard and what it cost, whole or not at all."""
        about = {KEY: LABELS_VERSION, "fingerprint": self.fingerprint, "cost": {key: int(cost[key]) for key in COUNTED}}
        columns = {name: column.clone() for name, column in table._asdict().items()}  # views cannot be written
        write_tensors(self.file(split, number), columns, {"diffig": json.dumps(about)})

    def missing(self) -> list[tuple[Split, int]]:
        """Return the shards that are still to be made."""
        return [key for key in self.shards if self.shard(*key) is None]


def shard_file(folder: FilePath, split: Split, number: int) -> FilePath:
    """Return where a shard lies in the folder of its labels."""
    return folder / f"{split}-{number:05d}.safetensors"


def read_shard(file: FilePath, mark: str) -> tuple[LabelTable, dict[str, int]]:
    """Return the labels of one file and what they cost.

    Raises:
        NewerFormat: it is of a later diffig.
        ValueError: it is absent, broken or of other settings.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            about = json.loads((opened.metadata() or {})["diffig"])
            check_version(about, file, LABELS, LABELS_VERSION)
            table = LabelTable(*(opened.get_tensor(name) for name in LabelTable._fields))
    except NewerFormat:
        raise
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0]}" if str(error) else type(error).__name__
        raise ValueError(f"shard {file} is broken or absent ({reason})") from error
    if about.get("fingerprint") != mark:
        raise ValueError(f"shard {file} holds labels of other settings")
    if len({len(column) for column in table}) != 1 or not all(bool(column.isfinite().all()) for column in table[3:]):
        raise ValueError(f"shard {file} holds columns of different lengths, or numbers that are not finite")
    return table, about["cost"]
