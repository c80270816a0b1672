"""A small folder in the layout of the COCO photographs with instance masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def write_coco(folder: Path, count: int = 4, width: int = 24, height: int = 16) -> None:
    """Image k is grey, instance 1 a black box on the left and 2 a bright one on the right; k = 3 has no target."""
    from PIL import Image

    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    entries = []
    for k in range(count):
        pixels = np.full((height, width, 3), 60, dtype=np.uint8)
        mask = np.zeros((height, width), dtype=np.uint8)
        mask[4:12, 6:11], mask[4:12, 13:18], mask[:2] = 1, 2, 255
        pixels[mask == 1], pixels[mask == 2] = 0, 250
        Image.fromarray(pixels).save(folder / "images" / f"{k}.jpg", quality=95)
        Image.fromarray(mask).save(folder / "masks" / f"{k}.png")
        target = {"imagenet_index": 10 + k, "instance_ids": [2]}
        second = {"imagenet_index": 500, "instance_ids": [1, 2]}
        entries.append(
            {
                "file": str(k),
                "mobilenet_v2_top1": 10 + k,
                "instances": [{"id": 1}, {"id": 2}],
                "target": None if k == 3 else target,
                "targets_top5": [second] if k == 3 else [target, second],
            }
        )
    (folder / "instances.json").write_text(json.dumps({"images": entries}))
