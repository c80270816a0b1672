"""Metrics against dull float64 loops, models whose values are known, and the invariances they promise."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from diffig.metrics import (
    AbsoluteMass,
    Completeness,
    DiffID,
    DiffIDBounds,
    EfficientRandomization,
    Explained,
    Infidelity,
    InsertionDeletion,
    Localisation,
    Metric,
    MetricSuite,
    MuFidelity,
    Randomization,
    Road,
    Sensitivity,
    SensitivityN,
    Sparseness,
    diffid_floor_ceiling,
)
from diffig.metrics.base import FAMILIES
from diffig.metrics.masking import _tie_keys, order_of, ranks_of
from diffig.randomness import Streams
from diffig.scores import ScoreFunction
from oracle import metrics_oracle as oracle
from oracle.explained import MEAN, STD, SmallNet, classify, close, explained_batch, take, with_maps

CONF = Path(__file__).parents[2] / "conf" / "metrics"


class PatchNet(nn.Module):
    """Class k is a zero-sum pattern in rows 2k and 2k+1 of a 10 x 10 image; a flat image is class 0."""

    def __init__(self) -> None:
        super().__init__()
        pattern = 1 - 2 * (torch.arange(10) % 2).double()
        self.template = torch.zeros(5, 3, 10, 10, dtype=torch.float64)
        for k in range(5):
            self.template[k, :, 2 * k : 2 * k + 2] = pattern

    def forward(self, images: Tensor) -> Tensor:
        logits = torch.einsum("bchw,kchw->bk", images, self.template)
        return logits + 1e-3 * (torch.arange(logits.shape[1]) == 0)

    def images(self, targets: Tensor) -> Tensor:
        return 0.5 + 0.5 * self.template[targets]


def every_metric() -> MetricSuite:
    return MetricSuite(
        {
            "diffid": DiffID(readouts=("hard", "soft", "soft_diff")),
            "signed": DiffID(signed=True, fill="blur"),
            "rank_blur": DiffID(rank_blur=0.2),
            "bounds": DiffIDBounds(),
            "rise": InsertionDeletion(n_steps=6, mas=True),
            "road": Road(fractions=(0.3, 0.8)),
            "infidelity": Infidelity(share=0.4, grid=3),
            "sensitivity": Sensitivity(n_draws=2),
            "localisation": Localisation(tolerance=1),
            "randomization": Randomization(depths=(0.5, 1.0)),
            "mufidelity": MuFidelity(grid=3, n_sets=20),
            "sensitivity_n": SensitivityN(grid=3, shares=(0.2, 0.5), n_sets=12),
            "emprt": EfficientRandomization(bins=10),
            "completeness": Completeness(),
            "absolute_mass": AbsoluteMass(),
            "sparseness": Sparseness(),
        }
    )


# --- second implementations ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("fill", "rank_blur"),
    [*((fill, 0.0) for fill in ("kept_mean", "blur", "black", "mean", "normalised")), ("kept_mean", 0.2)],
)
def test_diffid_equals_the_loop(signed: bool, fill: str, rank_blur: float) -> None:
    explained = explained_batch(3)
    space, fill = ("normalised", "kept_mean") if fill == "normalised" else ("pixel", fill)
    metric = DiffID(readouts=("hard", "soft", "soft_diff"), signed=signed, rank_blur=rank_blur, fill=fill, space=space)
    values = metric(explained)
    assert list(values) == list(metric.names)
    expected = [
        [
            oracle.diffid(
                classify(explained.score.classifier),
                image,
                attribution,
                target,
                unit,
                readout,
                signed,
                fill,
                MEAN,
                STD,
                space == "normalised",
                rank_blur,
            )
            for image, attribution, target in zip(
                explained.images.numpy(), explained.attributions.numpy(), explained.targets.tolist(), strict=True
            )
        ]
        for unit in ("element", "pixel")
        for readout in ("hard", "soft", "soft_diff")
    ]
    for name, column in zip(metric.names, expected, strict=True):
        np.testing.assert_allclose(values[name].numpy(), column, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    ("reduce", "fill"), [("abs_sum", "mean"), ("signed", "black"), ("sum_abs", "mean"), ("max_abs", "black")]
)
def test_insertion_and_deletion_equal_the_loop(reduce: str, fill: str) -> None:
    explained = explained_batch(3, size=7)
    metric = InsertionDeletion(n_steps=8, reduce=reduce, deletion_fill=fill)
    values = metric(explained)
    for row in range(3):
        insertion, deletion = oracle.rise(
            classify(explained.score.classifier),
            explained.images[row].numpy(),
            explained.attributions[row].numpy(),
            int(explained.targets[row]),
            MEAN if fill == "mean" else (0, 0, 0),
            8,
            reduce,
        )
        expected = [insertion, deletion, insertion - deletion]
        np.testing.assert_allclose([values[name][row] for name in metric.names], expected, atol=1e-12)


def test_rise_curves_run_from_blur_to_image_and_from_image_to_the_mean_colour() -> None:
    explained = explained_batch(4)
    metric = InsertionDeletion(n_steps=4)
    curves = metric.curves(explained)
    assert {name: curve.shape for name, curve in curves.items()} == {"insertion": (4, 5), "deletion": (4, 5)}
    assert metric.axis == (0, 0.25, 0.5, 0.75, 1)
    score = ScoreFunction(explained.score.classifier)
    clean = score.score(explained.images, explained.targets)
    mean = score.score(score.classifier.mean.expand_as(explained.images), explained.targets)
    for curve, end in (
        (curves["insertion"][:, -1], clean),
        (curves["deletion"][:, 0], clean),
        (curves["deletion"][:, -1], mean),
    ):
        close(curve, end)


def test_sparseness_equals_the_loop_and_ignores_scale() -> None:
    explained = explained_batch(3)
    values = Sparseness()(explained)
    for row, attribution in enumerate(explained.attributions.abs().numpy()):
        for suffix, mass in (("", attribution.ravel()), ("_pixel", attribution.sum(0).ravel())):
            assert values[f"entropy{suffix}"][row] == pytest.approx(oracle.entropy(mass.tolist()), abs=1e-12)
            assert values[f"gini{suffix}"][row] == pytest.approx(oracle.gini(mass.tolist()), abs=1e-12)
    tiny = Sparseness()(with_maps(explained, explained.attributions * 1e-300))
    for name, value in values.items():
        close(tiny[name], value)


def test_sparseness_of_known_maps() -> None:
    explained = explained_batch(3)
    maps = torch.zeros_like(explained.images)
    maps[0, 1, 2, 3] = -2.0  # one element
    maps[1] = 0.7  # all alike
    values = Sparseness()(with_maps(explained, maps))  # the third map is zero: all alike by convention
    log = math.log
    expected = {
        "entropy": [0, log(108), log(108)],
        "gini": [1 - 1 / 108, 0, 0],
        "entropy_pixel": [0, log(36), log(36)],
        "gini_pixel": [1 - 1 / 36, 0, 0],
    }
    for name, value in expected.items():
        np.testing.assert_allclose(values[name], value, atol=1e-12, err_msg=name)


def test_completeness_and_absolute_mass_by_hand() -> None:
    explained = explained_batch(4)
    score = ScoreFunction(explained.score.classifier)
    change = score.score(explained.images, explained.targets) - score.score(explained.baselines, explained.targets)
    gaps, mass = Completeness()(explained), AbsoluteMass()(explained)
    close(gaps["gap_abs"], explained.gap.abs())
    close(gaps["gap_rel"], explained.gap.abs() / change.abs())
    close(mass["absolute_mass"], explained.absolute_mass)
    close(mass["cancelled_mass"], explained.absolute_mass - change.abs())


def test_relative_gap_has_a_floor_where_the_score_does_not_change() -> None:
    explained = explained_batch(2)
    still = dataclasses.replace(explained, gap=explained.attributions.sum((1, 2, 3)))
    close(Completeness()(still)["gap_rel"], still.gap.abs() / 1e-6)


def test_absolute_mass_of_a_method_without_a_path_is_nan_and_costs_nothing() -> None:
    explained = dataclasses.replace(explained_batch(3), absolute_mass=None)
    assert all(value.isnan().all() and value.shape == (3,) for value in AbsoluteMass()(explained).values())
    assert explained.score.cost.forward_images == 0


# --- a model whose DiffID is known ------------------------------------------------------------------------------


def test_the_oracle_order_reaches_the_ceiling_and_its_reverse_the_floor() -> None:
    net, targets = PatchNet(), torch.arange(40) % 5
    images = net.images(targets)
    truth = net.template[targets].abs() * images.abs().add(1)  # the rows that decide the class, and nothing else
    zeros = torch.zeros(40, dtype=torch.float64)
    explained = Explained(
        images, truth, targets, targets, torch.zeros_like(images), ScoreFunction(net), torch.arange(40), zeros
    )
    bounds = {name: float(value.mean()) for name, value in diffid_floor_ceiling(explained).items()}
    assert bounds == {"clean_accuracy": 1.0, "erased_share": pytest.approx(0.2)}  # a flat image is class 0

    small = DiffID(readouts=("hard",), ratios=(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8))
    random = torch.rand(images.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    best, chance, worst = (small(with_maps(explained, maps)) for maps in (truth, random, 1 - (truth > 0).double()))
    for name in small.names:
        assert best[name].mean() == pytest.approx(bounds["clean_accuracy"] - bounds["erased_share"])
        assert worst[name].mean() == pytest.approx(-0.8)
        assert abs(chance[name].mean()) < 0.15


def test_a_constant_map_scores_about_zero() -> None:
    explained = explained_batch(64)
    constant = with_maps(explained, torch.ones_like(explained.images))
    values = DiffID(readouts=("hard", "soft", "soft_diff"))(constant)
    for name, value in values.items():
        assert value.std() > 0, "ties must be broken at random, not by one order for both directions"
        assert abs(value.mean()) < 4 * value.std() / 8, name


# --- ties ---------------------------------------------------------------------------------------------------------


def test_ties_are_keyed_by_image_index_and_seed() -> None:
    flat = torch.zeros(3, 500)
    order = order_of(flat, 0, torch.tensor([4, 7, 4]))
    assert torch.equal(order[0], order[2])
    assert not torch.equal(order[0], order[1])
    assert torch.equal(order_of(flat[:1], 0, torch.tensor([7]))[0], order[1])
    assert not torch.equal(order_of(flat[:1], 1, torch.tensor([7]))[0], order[1])
    assert torch.equal(order.sort(1).values, torch.arange(500).expand(3, 500))
    assert torch.equal(ranks_of(order).gather(1, order), torch.arange(500).expand(3, 500).int())


def test_tie_keys_equal_python_integers_and_look_uniform() -> None:
    start = int(Streams(3, torch.tensor([11])).numpy(0, purpose="ties").integers(2**62))
    keys = _tie_keys(3, torch.tensor([11]), 2000, torch.device("cpu"))[0]
    assert keys.tolist() == oracle.tie_keys(start, 2000)
    assert abs(keys.double().mean() / 2**32 - 0.5) < 0.03


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_order_is_descending_over_signs_and_only_equal_values_are_shuffled(dtype: torch.dtype) -> None:
    values = torch.tensor([[-2.0, 3.0, 0.0, -0.0, 1e-6, -1e-6, 3.0, -5.0]], dtype=dtype)
    orders = torch.cat([order_of(values, seed, torch.tensor([0])) for seed in range(20)])
    ranked = values[0][orders]
    assert (ranked.diff(dim=1) <= 0).all()
    assert {tuple(row[:2].tolist()) for row in orders} == {(1, 6), (6, 1)}
    assert {tuple(row[3:5].tolist()) for row in orders} == {(2, 3), (3, 2)}  # 0 and -0 are one tie


# --- invariances --------------------------------------------------------------------------------------------------


def test_values_do_not_depend_on_batch_order_or_chunk() -> None:
    explained = explained_batch(5)
    maps = explained.attributions.clone()
    maps[:, :, :3] = 0  # half of the map is tied
    explained = with_maps(explained, maps)
    suite = every_metric()
    together = suite(explained)
    assert list(together) == suite.names
    singles = [suite(take(explained, [row])) for row in range(5)]
    turned = suite(take(explained, [3, 0, 4, 2, 1]))
    chunked = suite(dataclasses.replace(explained, score=ScoreFunction(explained.score.classifier, chunk_size=3)))
    for name, value in together.items():
        assert value.shape == (5,)
        assert value.isfinite().all()
        close(torch.cat([single[name] for single in singles]), value, name=name)
        close(turned[name], value[[3, 0, 4, 2, 1]], name=name)
        close(chunked[name], value, name=name)


def test_a_nan_attribution_concerns_its_image_alone() -> None:
    explained = explained_batch(4)
    maps = explained.attributions.clone()
    maps[2, 1, 0, 0], maps[3, 0, 0, 0] = torch.nan, torch.inf
    suite = every_metric()
    good, bad = suite.measure(explained), suite.measure(with_maps(explained, maps))
    for sound, broken in zip(good[:2], bad[:2], strict=True):
        for name, value in broken.items():
            assert value[2:].isnan().all(), name
            close(value[:2], sound[name][:2], name=name)


def test_memory_follows_the_chunk_and_cost_is_what_is_declared() -> None:
    for metric in every_metric().metrics.values():
        explained = explained_batch(5, chunk_size=4)
        explained.score.classifier.largest_call = 0
        metric(explained)
        assert explained.score.cost.forward_images == 5 * metric.forwards, metric
        assert explained.score.cost.backward_images == 0
        assert explained.score.classifier.largest_call <= 4
        assert explained.explain.calls == metric.attributions, metric
    assert DiffID(units=("element",), readouts=("hard",)).forwards == 18


def test_float32_is_kept_and_close_to_float64() -> None:
    explained = explained_batch(4)
    net = SmallNet().float()
    fields = {field.name: getattr(explained, field.name) for field in dataclasses.fields(explained)}
    single = Explained(
        **{
            name: value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
            for name, value in fields.items()
            if name != "score"
        },
        score=ScoreFunction(net),
    )
    suite = every_metric()
    double, values = suite(explained), suite(single)
    for name, value in values.items():
        assert value.dtype == torch.float32
        if "randomization" in name or name == "emprt":
            continue  # another precision draws other random layers
        close(value.double(), double[name], atol=1e-4, rtol=1e-4, name=name)


def test_a_constant_map_keeps_its_ties_at_any_rank_blur() -> None:
    explained = explained_batch(4)
    flat = with_maps(explained, torch.full_like(explained.attributions, 0.3))
    plain, blurred = (DiffID(units=("pixel",), readouts=("soft",), rank_blur=share)(flat) for share in (0.0, 0.3))
    assert torch.equal(plain["diffid_pixel_soft"], blurred["diffid_pixel_rank_blur_soft"])


# --- names, facts, configuration, bad input -----------------------------------------------------------------------


def test_names_carry_the_variant() -> None:
    assert DiffID().names == ("diffid", "diffid_soft", "diffid_pixel", "diffid_pixel_soft")
    assert DiffID(units=("pixel",), readouts=("soft_diff",), signed=True, fill="blur").names == (
        "diffid_pixel_signed_soft_diff_blur",
    )
    assert DiffID(units=("element",), readouts=("hard",), space="normalised").names == ("diffid_normalised",)
    assert DiffID(units=("pixel",), readouts=("hard",), rank_blur=0.06).names == ("diffid_pixel_rank_blur",)
    assert InsertionDeletion(reduce="signed", deletion_fill="black").names[2] == "insertion_minus_deletion_signed_black"


def test_values_and_curves_come_from_the_same_forwards() -> None:
    explained, metric = explained_batch(3), DiffID()
    values, curves, _ = metric.measure(explained)
    assert {name: tuple(curve.shape) for name, curve in curves.items()} == dict.fromkeys(metric.curve_names, (3, 9))
    close((curves["diffid_insertion"] - curves["diffid_deletion"]).mean(1), values["diffid"])
    assert Sparseness().curves(explained) == {}


def test_every_value_lies_in_its_declared_range() -> None:
    suite, explained = every_metric(), explained_batch(5)
    values = suite(explained)
    facts = {line.name: line for line in suite.describe()}
    assert list(facts) == suite.names
    for name, line in facts.items():
        assert line.direction in ("higher", "lower", "none")
        assert line.family in FAMILIES
        assert line.wording
        low, high = line.value_range
        assert ((values[name] >= low) & (values[name] <= high)).all(), name


@pytest.mark.parametrize("name", ["default", "fast"])
def test_configured_suites_build_and_cost_what_their_comment_says(name: str) -> None:
    hydra_utils = pytest.importorskip("hydra.utils")
    from omegaconf import OmegaConf

    suite = hydra_utils.instantiate(OmegaConf.load(CONF / f"{name}.yaml"))
    explained = explained_batch(2)
    values = suite(explained)
    wanted = {"diffid", "diffid_soft", "gap_abs", "gap_rel", "entropy", "gini"}
    wanted |= {"diffid_pixel", "insertion_minus_deletion", "absolute_mass"} if name == "default" else set()
    assert wanted <= set(values)
    assert list(values) == suite.names
    assert explained.score.cost.forward_images == 2 * {"default": 94, "fast": 19}[name]
    assert set(suite.axes) == set(suite.measure(explained).curves)


def test_bad_input_is_named() -> None:
    explained = explained_batch(2)
    with pytest.raises(ValueError, match=r"attributions has shape \(2, 1, 6, 6\), the images \(2, 3, 6, 6\)"):
        with_maps(explained, explained.attributions[:, :1])
    with pytest.raises(ValueError, match="gap has shape"):
        dataclasses.replace(explained, gap=torch.zeros(3))
    with pytest.raises(ValueError, match="knows the classes 0 to 3"):
        DiffID(readouts=("hard",))(dataclasses.replace(explained, targets=torch.tensor([0, 9])))
    with pytest.raises(ValueError, match="readouts='medium' is unknown; choose one of"):
        DiffID(readouts=("medium",))
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        DiffID(ratios=(0.5, 1.0))
    with pytest.raises(ValueError, match=r"rank_blur=1.0 must lie in \[0, 1\)"):
        DiffID(rank_blur=1.0)
    with pytest.raises(ValueError, match="n_steps=0 must be"):
        InsertionDeletion(n_steps=0)
    with pytest.raises(ValueError, match="no buffer `mean` of 3 channels; wrap it"):
        InsertionDeletion()(dataclasses.replace(explained, score=ScoreFunction(PatchNet())))
    with pytest.raises(ValueError, match=r"two metrics yield \['entropy'"):
        MetricSuite({"a": Sparseness(), "b": Sparseness()})
    with pytest.raises(TypeError, match=r"metrics\.a is a dict"):
        MetricSuite({"a": {"_target_": "..."}})


def test_metric_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Metric()
