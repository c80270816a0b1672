"""`protocol=...` sets in one place what the published tables depend on, and a word on the command line still wins."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from diffig.attribution import IntegratedGradients
from diffig.config import CONF_DIR, build, compose

METHODS = sorted(file.stem for file in (Path(CONF_DIR) / "method").glob("*.yaml"))


@cache
def composed(*words: str) -> DictConfig:
    return compose("evaluate", list(words))


def method(name: str, *words: str) -> dict[str, Any]:
    resolved: Any = OmegaConf.to_container(composed(f"method={name}", *words).method, resolve=True)
    return dict(resolved)


def test_the_default_protocol_changes_nothing() -> None:
    cfg = composed()
    assert (cfg.protocol, cfg.steps, cfg.rule, cfg.nodes) == ("diffig", 32, "midpoint", "score")
    assert (cfg.preprocess, cfg.image_size, cfg.only_correct) == ("crop", None, True)
    assert cfg.metrics.metrics.diffid.space == "pixel"
    assert method("gig")["fraction"] == 0.25
    assert method("gig")["max_distance"] == 0.02
    assert (method("ig")["nodes"], method("coarse_to_fine")["nodes"]) == ("uniform", "score")


def test_the_authors_protocol() -> None:
    cfg = composed("protocol=authors")
    assert (cfg.protocol, cfg.seed, cfg.target, cfg.only_correct) == ("authors", 0, "label", False)
    diffid = build(cfg.metrics).metrics["diffid"]
    assert diffid.names == ("diffid_normalised", "diffid_soft_normalised")
    assert not diffid.signed
    assert diffid.axis == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    assert cfg.objective.objective == "probability"
    assert build(cfg.baseline).name == "black"
    gig = method("gig", "protocol=authors")
    assert (gig["fraction"], gig["max_distance"], gig["steps"]) == (0.1, 1.0, 199)
    assert method("spi", "protocol=authors")["concentration"] == 10.0


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_integrated_the_same_way(name: str) -> None:
    node = method(name, "protocol=authors")
    assert node.get("rule", "left") == "left"
    assert node.get("nodes", "uniform") == "uniform"
    assert node.get("steps", 199) == 199


@pytest.mark.parametrize("metrics", sorted(file.stem for file in (Path(CONF_DIR) / "metrics").glob("*.yaml")))
def test_the_headline_is_measured_with_any_set_of_metrics(metrics: str) -> None:
    assert "diffid_normalised" in build(composed("protocol=authors", f"metrics={metrics}").metrics).names


def test_two_hundred_points_make_199_gradients_that_count(smooth_net: Any) -> None:
    import torch

    attributor: IntegratedGradients = build(composed("protocol=authors", "method=ig").method)(smooth_net.double())
    image = torch.rand(1, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    attribution, target = attributor.attribute(image, target=2), torch.tensor([2])
    points = [image * k / 199 for k in range(200)]
    gradients = [attributor.score.value_and_grad(point, target)[1] for point in points]
    expected = sum(g * (after - at) for g, at, after in zip(gradients, points, points[1:], strict=False))
    torch.testing.assert_close(attribution, expected)


@pytest.mark.parametrize("dataset", ["image_folder", "imagenet_folder", "oxford_pet", "mini_imagenet"])
def test_photographs_are_squashed_without_naming_keys_of_the_dataset(dataset: str) -> None:
    for words, expected in (
        (["protocol=authors"], ("squash", 256)),
        (["protocol=authors", "image_size=224"], ("squash", 224)),
        (["protocol=authors", "dataset.resize_mode=crop", "dataset.size=64"], ("crop", 64)),
        (["preprocess=squash"], ("squash", 224)),
        ([], ("crop", 224)),
    ):
        built = build(compose("evaluate", [f"dataset={dataset}", "dataset.path=somewhere", *words]).dataset)
        assert (built.resize_mode, built.size) == expected
    trained = compose("train", [f"dataset={dataset}", "dataset.path=somewhere"])
    assert build(trained.dataset).resize_mode == "crop"


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("steps=50", "steps", 50),
        ("rule=midpoint", "method.rule", "midpoint"),
        ("method.nodes=score", "method.nodes", "score"),
        ("only_correct=true", "only_correct", True),
        ("seed=3", "seed", 3),
        ("objective=logit", "objective.objective", "logit"),
        ("baseline=white", "baseline.value", 1.0),
        ("metrics.metrics.diffid.space=pixel", "metrics.metrics.diffid.space", "pixel"),
        ("debug=tiny", "limit", 4),
    ],
)
def test_what_the_command_line_says_wins(word: str, key: str, value: Any) -> None:
    assert OmegaConf.select(composed("protocol=authors", "method=ig", word), key) == value


def test_a_protocol_wins_over_a_study_and_a_study_over_a_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFIG_SHARED_DATA", "somewhere")
    assert composed("experiment=demo", "protocol=authors").steps == 199
    cfg = composed("experiment=cifar10", "scale=paper")
    assert (cfg.limit, cfg.dataset.name) == (256, "cifar10")


def test_the_scale_of_the_paper() -> None:
    cfg = compose("evaluate", ["scale=paper", "dataset.path=somewhere"])
    datamodule = build(cfg.dataset)
    assert (datamodule.name, datamodule.size, datamodule.resize_mode) == ("oxford_pet", 256, "squash")
    assert (cfg.classifier.name, cfg.classifier.num_classes, cfg.limit) == ("resnet18", 37, 370)
