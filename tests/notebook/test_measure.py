"""Attributions of any library get the numbers that the program gives a method's own."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd
import pytest
import torch

import diffig
from diffig.config import compose
from diffig.evaluation.preparation import prepare
from diffig.evaluation.rows import COLUMNS
from diffig.evaluation.run import evaluate as program
from diffig.metrics import Completeness, MetricSuite, Sparseness
from oracle.models import SoftplusNet

TINY = ("dataset.size=8", "classifier.width=8", "trainer=cpu", "steps=4", "limit=6", "batch_size=4")


def test_numbers_are_those_of_the_program(tmp_path: Path) -> None:
    words = [*TINY, "method=ig", "metrics=suite", "~metrics.metrics.sensitivity", "~metrics.metrics.emprt"]
    cfg = compose("evaluate", [*words, f"dirs.cache={tmp_path}", f"dirs.output={tmp_path / 'run'}"])
    expected = program(cfg)
    data, classifier = prepare(cfg)
    chosen = sorted(set(expected["image_index"]))
    samples = {int(data.test_set[place][2]): data.test_set[place] for place in range(len(data.test_set))}
    images = torch.stack([samples[index][0] for index in chosen])
    labels = torch.tensor([samples[index][1] for index in chosen])
    method = diffig.from_config("ig", classifier, ["steps=4"])
    maps = method.attribute(images, target=labels, indices=torch.tensor(chosen))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = diffig.evaluate(
            classifier, images, {"ig": maps, "asked": method}, labels, "suite", indices=torch.tensor(chosen)
        )
    held, asked = (found[found["method"] == name] for name in ("ig", "asked"))
    assert list(held.columns) == [column for column in COLUMNS if column in found]
    assert set(asked["metric"]) > set(held["metric"])
    columns = ["image_index", "metric", "value", "label", "prediction", "objective", "baseline", "gap", "status"]
    for rows in (held, asked):
        both = expected[columns].merge(rows[columns], on=["image_index", "metric"], suffixes=("", "_found"))
        path_only = both["metric"].isin(["absolute_mass", "cancelled_mass"]) & both["value_found"].isna()
        both = both[~path_only]
        assert len(both) >= len(expected) - 12
        for column in ("value", "gap"):
            pd.testing.assert_series_equal(
                both[column], both[f"{column}_found"], check_names=False, rtol=1e-3, atol=1e-5
            )
        for column in ("label", "prediction", "objective", "baseline", "status"):
            assert (both[column] == both[f"{column}_found"]).all()
    assert held["seconds"].isna().all()
    assert (asked["backward_images"] == 4).all()


@pytest.fixture
def suite() -> MetricSuite:
    return MetricSuite({"completeness": Completeness(), "sparseness": Sparseness()})


def test_maps_of_any_layout_and_an_explainer_are_judged_alike(suite: MetricSuite) -> None:
    net, images = SoftplusNet(), torch.rand(3, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    explain = diffig.explainer("ig", net, {"mean": [0.5] * 3, "std": [0.2] * 3}, steps=6)
    maps = explain.attribute(images, target=[0, 1, 2])
    given = {"here": explain, "tensor": maps, "array": maps.permute(0, 2, 3, 1).numpy()}
    rows = diffig.evaluate(explain, images, given, [0, 1, 2], suite)
    table = rows.pivot_table(index=["image_index", "metric"], columns="method", values="value", dropna=False)
    for name in ("tensor", "array"):
        torch.testing.assert_close(
            torch.tensor(table[name].values), torch.tensor(table["here"].values), rtol=1e-4, atol=1e-6
        )
    flat = diffig.evaluate(explain, images, maps.sum(1), [0, 1, 2], suite)
    assert set(flat["method"]) == {"given"}
    one = diffig.evaluate(explain, images[0], maps[0], 0, suite)
    assert one["value"].tolist() == pytest.approx(
        rows.query("method == 'tensor' and image_index == 0")["value"].tolist(), rel=1e-4, abs=1e-6
    )


def test_labels_of_a_multi_label_head_keep_their_numbers(suite: MetricSuite) -> None:
    net, images = SoftplusNet(), torch.rand(3, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    explain = diffig.explainer("ig", net, multi_label=True, steps=40)
    maps, gap = explain.attribute(images, target=[4, 1, 4], return_convergence_delta=True)
    rows = diffig.evaluate(explain, images, {"held": maps, "asked": explain}, [4, 1, 4], suite)
    for name in ("held", "asked"):
        own = rows[(rows["method"] == name) & (rows["metric"] == "gap_abs")].sort_values("image_index")
        assert own["label"].tolist() == [4, 1, 4]
        assert own["value"].tolist() == pytest.approx(gap.abs().tolist(), abs=1e-5)


def test_where_paths_began_may_be_told(suite: MetricSuite) -> None:
    net, images = SoftplusNet(), torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    start = torch.full_like(images, 0.5)
    maps = diffig.explainer("ig", net, steps=200, objective="logit").attribute(images, start, 1)
    for baselines in (start, 0.5):
        rows = diffig.evaluate(net, images, maps, 1, suite, objective="logit", baselines=baselines)
        assert rows[rows["metric"] == "gap_abs"]["value"].max() < 1e-3


def test_a_map_that_is_no_number_is_not_blamed_on_the_classifier_alone(suite: MetricSuite) -> None:
    images = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    maps = images.clone()
    maps[1, 0, 0, 0] = torch.nan
    with pytest.warns(UserWarning, match=r"given map or score of image \[1\] is NaN.* where the map was made"):
        found = diffig.evaluate(SoftplusNet(), images, maps, metrics=suite)
    assert set(found.loc[found["image_index"] == 1, "status"]) != {"ok"}


def test_mistakes_are_told(suite: MetricSuite) -> None:
    net, images = SoftplusNet(), torch.rand(2, 3, 9, 9)
    with pytest.raises(ValueError, match=r"metrics='all' is unknown; choose one of .*default"):
        diffig.evaluate(net, images, images, 1, "all")
    with pytest.raises(ValueError, match="attributions 'given' have shape"):
        diffig.evaluate(net, images, images[..., :5], 1, suite)
    with pytest.raises(ValueError, match="no attributions to judge"):
        diffig.evaluate(net, images, {}, 1, suite)
    for no_map in ("maps.npz", None, {"ig": images}):
        with pytest.raises(TypeError, match=r"attributions 'mine' are a .*; give a tensor or array"):
            diffig.evaluate(net, images, {"mine": no_map}, 1, suite)
