"""A search over strengths by Optuna: trials are jobs, and the best is the one whose rows are best."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf


def test_the_best_trial_has_the_best_rows(evaluate: Callable[..., int], tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs pip install diffig[search]")
    words = ("hydra/sweeper=search", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=1", "hydra.sweep.dir=search")
    strengths = ("guidance.faithfulness=interval(0,1)", "guidance.proposals=1", "search_metric=diffid_soft")
    assert evaluate("-m", "method=diffig_field", "steps=70", "limit=3", *words, *strengths) == 0
    found = OmegaConf.load(tmp_path / "search" / "optimization_results.yaml")
    rows = [pd.read_parquet(tmp_path / "search" / str(job) / "rows.parquet") for job in range(3)]
    means = [table.loc[table["metric"] == "diffid_soft", "value"].mean() for table in rows]
    tried = [table["guidance.faithfulness"].iloc[0] for table in rows]
    assert len(set(tried)) == 3
    assert all(0 <= strength <= 1 for strength in tried)
    assert found.best_value == pytest.approx(max(means))
    assert found.best_params["guidance.faithfulness"] == pytest.approx(tried[means.index(max(means))])


def test_the_mean_of_a_metric_that_is_not_there() -> None:
    from diffig.evaluation.run import mean_of

    rows = pd.DataFrame({"metric": ["diffid", "diffid", "gap_abs"], "value": [1.0, 3.0, float("nan")]})
    assert mean_of(rows, "diffid") == 2
    assert mean_of(rows, "gap_abs") is None
    assert mean_of(rows, "nonsense") is None
