"""F-Fidelity from end to end: a classifier, its judge, and the judgement of a map by both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

Program = Callable[..., int]
DATA = ("dataset=digits", "dataset.size=8", "classifier.width=8", "trainer=cpu")
TRAIN = ("module=classifier", "+trainer.limit_val_batches=1", "module.learning_rate=1e-2")
QUICK = ("metrics.metrics.f_fidelity.n_samples=4", "method=gradient_x_input", "limit=4", "only_correct=false")


def test_a_judge_is_fine_tuned_and_judges(program: Program, tmp_path: Path) -> None:
    weights, judge = tmp_path / "net" / "classifier.safetensors", tmp_path / "judge" / "classifier.safetensors"
    assert program("train", *DATA, *TRAIN, "trainer.max_steps=40", "hydra.run.dir=net") == 0
    tune = (f"classifier.checkpoint={weights}", "module.drop=0.1", "trainer.max_steps=10", "hydra.run.dir=judge")
    assert program("train", *DATA, *TRAIN, *tune) == 0
    assert judge.read_bytes() != weights.read_bytes()
    words = (*DATA, f"classifier.checkpoint={weights}", "metrics=f_fidelity", *QUICK)
    assert program("evaluate", *words, "hydra.run.dir=own") == 0
    assert program("evaluate", *words, f"metrics.metrics.f_fidelity.checkpoint={judge}", "hydra.run.dir=run") == 0
    own, run = (pd.read_parquet(tmp_path / name / "rows.parquet") for name in ("own", "run"))
    ends = [f"{side}{end}" for side in ("", "_minus", "_plus") for end in ("", "_probability")]
    assert set(own["metric"]) == {f"r_fidelity{end}" for end in ends}
    assert set(run["metric"]) == {f"f_fidelity{end}" for end in ends}
    assert run["value"].between(-1, 1).all()
    both = [rows.set_index(["image_index", "metric"])["value"] for rows in (own, run)]
    probability = [
        values.xs(f"{kind}_fidelity_plus_probability", level=1) for kind, values in zip("rf", both, strict=True)
    ]
    assert (probability[0] != probability[1]).all()
    curves = pd.read_parquet(tmp_path / "run" / "curves.parquet")
    assert sorted(curves["x"].unique()) == [0.05, 0.1, 0.2, 0.3, 0.5]

    missing = f"metrics.metrics.f_fidelity.checkpoint={tmp_path / 'none.safetensors'}"
    assert program("evaluate", *words, missing, "hydra.run.dir=none") == 1
    message = (tmp_path / "none" / "error.txt").read_text().splitlines()[0]
    assert "of F-Fidelity's judge does not exist; make one with diffig-train" in message
