"""What became of many counterfactuals: flip rate, distances, time; and a picture of some. Usage: table.py <folder>."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import mean

import torch
from safetensors.torch import load_file
from torchvision.utils import make_grid, save_image


def table(folder: Path) -> str:
    """Return the table of all summaries below a folder, and leave `counterfactuals.png` of the first sixteen."""
    files = sorted(folder.glob("*/summary.json"), key=lambda file: int(file.parent.name))
    if not files:
        raise SystemExit(f"no summary.json in {folder}/*; run experiments/counterfactual/run.sh first")
    found = [json.loads(file.read_text()) for file in files]
    rows = {
        "images": f"{len(found)}",
        "flipped": f"{mean(one['flipped'] for one in found):.2f}",
        "probability of the target before": f"{mean(one['target_before'] for one in found):.3f}",
        "and after": f"{mean(one['target_after'] for one in found):.3f}",
        "L1": f"{mean(one['l1'] for one in found):.3f}",
        "L2": f"{mean(one['l2'] for one in found):.3f}",
        "seconds": f"{mean(one['seconds'] for one in found):.1f}",
        "forward": f"{mean(one['forward_images'] for one in found):.0f}",
        "backward": f"{mean(one['backward_images'] for one in found):.0f}",
    }
    tensors = [load_file(file.parent / "counterfactual.safetensors") for file in files[:16]]
    pictures = torch.cat([torch.stack([one[key] for one in tensors]) for key in ("image", "counterfactual")])
    grid = make_grid(pictures, nrow=len(tensors), padding=1, pad_value=0.5)
    scale = max(1, 64 // pictures.shape[-1])
    save_image(grid.repeat_interleave(scale, 1).repeat_interleave(scale, 2), folder / "counterfactuals.png")
    return "\n".join([f"| {' | '.join(rows)} |", "|---" * len(rows) + "|", f"| {' | '.join(rows.values())} |"])


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
