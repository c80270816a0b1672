"""Reads the file of an offline Weights & Biases run: LevelDB's log format around protobuf records."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER = (
    32 * 1024,
    7,
)  # bytes; a header is checksum (4), length (2) and kind (1: whole, 2: first, 3: middle, 4: last)


def payloads(file: Path) -> Iterator[bytes]:
    content = file.read_bytes()
    assert content[:4] in (b"", b":W&B"), "not a file of Weights & Biases"
    place, pieces = HEADER, []
    while place + HEADER <= len(content):
        if BLOCK - place % BLOCK < HEADER:  # too little for a header is filled with zeros
            place += BLOCK - place % BLOCK
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        if kind == 0:
            break
        pieces.append(content[place + HEADER : place + HEADER + length])
        place += HEADER + length
        if kind in (1, 4):
            yield b"".join(pieces)
            pieces = []


def read_run(file: Path, seconds: float = 60) -> dict[str, Any]:
    """What a run is called, its configuration and summary, all that it logged, and its artifacts' files by name.

    A run that has ended is written by another process, which may need a moment: it is waited for.
    """
    limit = time.monotonic() + seconds
    while not (found := _read(file))["ended"] and time.monotonic() < limit:
        time.sleep(0.05)
    return found


def _read(file: Path) -> dict[str, Any]:
    from wandb.proto.wandb_internal_pb2 import Record

    found: dict[str, Any] = {"config": {}, "summary": {}, "history": [], "artifacts": {}, "ended": False}
    for payload in payloads(file):
        record = Record.FromString(payload)
        kind = record.WhichOneof("record_type")
        if kind == "exit":
            found["ended"] = True
        elif kind == "run":
            run = record.run
            found |= {"id": run.run_id, "name": run.display_name, "group": run.run_group, "job_type": run.job_type}
            found |= {"tags": set(run.tags), "project": run.project}
            found["config"] |= {item.key: json.loads(item.value_json) for item in run.config.update}
        elif kind == "summary":
            found["summary"] |= {
                item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.summary.update
            }
        elif kind in ("artifact", "request") and (made := _artifact(record)) is not None:
            found["artifacts"][made.name] = {entry.path: Path(entry.local_path) for entry in made.manifest.contents}
        elif kind == "history":
            found["history"].append(
                {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            )
    return found


def _artifact(record: Any) -> Any:
    if record.WhichOneof("record_type") == "artifact":
        return record.artifact
    return record.request.log_artifact.artifact if record.request.HasField("log_artifact") else None
