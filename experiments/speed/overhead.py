"""What methods take by themselves: processor time of an attribution where the network takes next to none.

    python experiments/speed/overhead.py                  # one image of 512 pixels; writes results/overhead.csv
    python experiments/speed/overhead.py profile NAME     # where the time of one method goes

One thread. The network is a mean over the image and a linear layer, so that what is left is the method's own.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pandas as pd
import torch
from torch import nn

import diffig

SIZE, STEPS, REPEATS = 512, 32, 3
METHODS = {
    "ig": [],
    "coarse_to_fine": [],
    "diffig_field, one proposal, no footprint": ["guidance.proposals=1", "footprint=0"],
    "diffig_field, no footprint": ["footprint=0"],
    "diffig_field": [],
}


def network() -> nn.Module:
    """Return logits of the mean colour."""
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 10)).eval()


def method(name: str) -> diffig.Attributor:
    """Return a method of the table, on the network."""
    return diffig.from_config(name.split(",")[0], network(), [f"steps={STEPS}", *METHODS[name]])


def seconds(name: str, image: torch.Tensor) -> tuple[float, diffig.Cost]:
    """Return the least processor time of a few attributions, and what the network was asked."""
    found = []
    for _ in range(REPEATS):
        own = method(name)
        start = time.process_time()
        own.attribute(image, target=1)
        found.append(time.process_time() - start)
    return min(found), own.score.cost


def main() -> None:
    """Measure all methods, or profile one."""
    torch.set_num_threads(1)
    image = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    if sys.argv[1:2] == ["profile"]:
        from torch.profiler import ProfilerActivity, profile

        own = method(sys.argv[2])
        with profile(activities=[ProfilerActivity.CPU], with_stack=False) as seen:
            own.attribute(image, target=1)
        print(seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=40))
        return
    lines = []
    for name in METHODS:
        taken, cost = seconds(name, image)
        lines.append(
            {"method": name, "seconds": taken, "forwards": cost.forward_images, "backwards": cost.backward_images}
        )
    table = pd.DataFrame(lines).assign(times_ig=lambda t: t["seconds"] / t["seconds"].iloc[0])
    file = Path(__file__).parent / "results" / "overhead.csv"
    table.round(3).to_csv(file, index=False)
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
