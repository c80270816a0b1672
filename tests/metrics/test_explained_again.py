"""What the evaluation gives metrics that ask the method again: the same method, another bill."""

from __future__ import annotations

import pytest
import torch

from diffig.attribution import IntegratedGradients, RandomAttribution
from diffig.data import Batch
from diffig.evaluation.explainer import Explainer
from diffig.metrics import Localisation, MetricSuite, Randomization, Sensitivity
from diffig.scores import ScoreFunction
from oracle.models import Deep, pictures


def outcome(attributor, suite, **options):
    images, _ = pictures(3)
    batch = Batch(images, torch.tensor([0, 1, 2]), torch.tensor([5, 9, 2]))
    return Explainer(attributor, suite, {"seed": 0}, **options).predict_step(batch, 0)


def suite_of(**metrics):
    return MetricSuite(metrics)


def values(found, metric):
    return [row["value"] for row in found.rows if row["metric"] == metric]


def test_metrics_that_explain_again_do_not_change_the_methods_bill() -> None:
    method = IntegratedGradients(ScoreFunction(Deep()), steps=4)
    found = outcome(method, suite_of(sensitivity=Sensitivity(n_draws=3), randomization=Randomization()))
    assert {row["forward_images"] for row in found.rows} == {6.0}
    assert {row["backward_images"] for row in found.rows} == {4.0}
    assert method.score.cost == (18, 12)


def test_a_seeded_method_repeats_itself_and_only_the_floor_has_another_seed() -> None:
    for seed in (0, 1):
        method = RandomAttribution(ScoreFunction(Deep()), seed=seed)
        found = outcome(method, suite_of(sensitivity=Sensitivity(n_draws=2)))
        assert values(found, "sensitivity_max") == [0, 0, 0]
        assert min(values(found, "sensitivity_floor")) > 1
        assert method.seed == seed


def test_the_randomised_classifier_is_explained_and_shown_and_the_true_one_is_left_alone() -> None:
    net = Deep()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    method = IntegratedGradients(ScoreFunction(net), steps=4)
    found = outcome(method, suite_of(randomization=Randomization(depths=(0.5, 1.0))))
    assert list(found.maps) == ["cascading 0.5", "cascading 1", "independent 0.5", "independent 1"]
    assert all(shown.shape == (3, 8, 8) for shown in found.maps.values())
    assert max(values(found, "randomization_cascading_spearman")) < 0.95
    assert method.score.classifier is net
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    depths = {(row["curve"], row["x"]) for row in found.curves}
    assert len(depths) == 2 * 3 * 2


def test_masks_come_from_the_dataset_by_index() -> None:
    asked = []

    def masks(indices):
        asked.append(list(indices))
        return torch.ones(3, 1, 8, 8, dtype=torch.uint8)

    method = IntegratedGradients(ScoreFunction(Deep()), steps=4)
    found = outcome(method, suite_of(localisation=Localisation()), masks=masks)
    assert asked == [[5, 9, 2]]
    assert values(found, "mask_share") == [1, 1, 1]


def test_a_run_without_any_value_says_why() -> None:
    method = IntegratedGradients(ScoreFunction(Deep()), steps=4)
    with pytest.raises(ValueError, match=r"need masks of the objects.*dataset=coco_instances"):
        outcome(method, suite_of(localisation=Localisation()))
