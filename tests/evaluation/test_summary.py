"""What a run says at its end."""

from __future__ import annotations

import pandas as pd

from diffig.evaluation.summary import printed, summarise


def rows(seeds: int, failed: int = 0) -> pd.DataFrame:
    lines = [
        {"metric": metric, "image_index": image, "seed": seed, "value": scale * (image + seed), "status": "ok"}
        for metric, scale in (("diffid", 0.25), ("gap_abs", 1e-7))
        for image in range(3)
        for seed in range(seeds)
    ]
    table = pd.DataFrame(lines).assign(backward_images=32.0, forward_images=261.0, seconds=0.5)
    table.loc[: failed - 1, "status"] = "non_finite"
    return table


def test_what_all_metrics_share_is_said_once() -> None:
    said = printed(summarise(rows(seeds=1))).splitlines()
    assert said[0] == "images 3, seeds 1, failures 0, backward images 32, forward images 261, seconds 0.5"
    assert [line.split() for line in said[1:]] == [
        ["metric", "mean", "low", "high"],
        ["diffid", "0.25", "0", "0.5"],
        ["gap_abs", "1e-07", "0", "2e-07"],
    ]


def test_what_differs_between_metrics_stays_a_column() -> None:
    said = printed(summarise(rows(seeds=2, failed=1))).splitlines()
    assert said[0] == "images 3, seeds 2, backward images 32, forward images 261, seconds 0.5"
    assert said[1].split() == ["metric", "mean", "low", "high", "seed_spread", "failures"]
    assert said[2].split()[-1] == "1"
    assert said[3].split()[-1] == "0"
