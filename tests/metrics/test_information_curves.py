"""Information curves: interpolation, information and curves against loops, areas of curves drawn by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from diffig.metrics import Explained, InformationCurves
from diffig.metrics.image_information import entropy_bytes, webp_bytes
from diffig.metrics.information_curves import first_known, interpolated, polyline
from diffig.metrics.pull_push import pull_push
from diffig.randomness import Streams
from diffig.scores import ScoreFunction
from oracle import information_oracle as oracle
from oracle.explained import classify, close, explained_batch, take, with_maps
from oracle.metrics_oracle import softmax

LENIENT = {"known": 0.1, "least_probability": 0.0}


def some_known(count: int, height: int, width: int, share: float) -> Tensor:
    known = torch.rand(count, 1, height, width, generator=torch.Generator().manual_seed(0)) < share
    known[..., 0, 0] = True
    return known


# ---- pixels in between -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 6), (5, 7), (1, 9), (1, 1)])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.4, 1.0])
def test_pull_push_equals_the_recursion(height: int, width: int, share: float) -> None:
    draw = torch.Generator().manual_seed(1)
    images = torch.rand(3, 2, height, width, generator=draw, dtype=torch.float64)
    known = some_known(3, height, width, share)
    found = pull_push(images, known)
    for row in range(3):
        for channel in range(2):
            expected = oracle.pull_push(images[row, channel].numpy(), known[row, 0].numpy())
            np.testing.assert_allclose(found[row, channel], expected, atol=1e-12)


def test_known_pixels_stay_bit_for_bit_and_no_other_leaves_their_range() -> None:
    images = torch.rand(4, 3, 33, 20, generator=torch.Generator().manual_seed(0))
    known = some_known(4, 33, 20, 0.03)
    found = pull_push(images, known)
    assert torch.equal(found[known.expand_as(images)], images[known.expand_as(images)])
    for row in range(4):
        given = images[row][:, known[row, 0]]
        assert (found[row].flatten(1).amax(1) <= given.amax(1) + 1e-6).all()
        assert (found[row].flatten(1).amin(1) >= given.amin(1) - 1e-6).all()


def test_one_known_pixel_colours_the_whole_image() -> None:
    images = torch.rand(1, 3, 9, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    known = torch.zeros(1, 1, 9, 12, dtype=torch.bool)
    known[..., 4, 7] = True
    close(pull_push(images, known), images[..., 4:5, 7:8].expand_as(images), atol=1e-12)


def test_more_known_pixels_of_a_smooth_image_mean_less_error() -> None:
    rows, columns = torch.meshgrid(torch.linspace(0, 3, 32), torch.linspace(0, 2, 32), indexing="ij")
    image = (0.5 + 0.4 * torch.sin(rows + columns))[None, None]
    errors = [
        float((pull_push(image, some_known(1, 32, 32, share)) - image).abs().mean()) for share in (0.01, 0.1, 0.5)
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_known_pixels_are_the_corners_and_a_share_drawn_for_each_image() -> None:
    images = torch.zeros(3, 1, 20, 30)
    known = first_known(images, 0.1, Streams(0, torch.tensor([4, 9, 4])))
    assert known[..., [0, 0, -1, -1], [0, -1, 0, -1]].all()
    assert torch.equal(known[0], known[2])
    assert not torch.equal(known[0], known[1])
    assert all(60 <= int(one.sum()) <= 64 for one in known)
    assert int(first_known(images[:1], 0.0, Streams(0, torch.tensor([4]))).sum()) == 4


# ---- information -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_information_equals_the_loop(channels: int) -> None:
    images = torch.rand(4, channels, 7, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images[1] = 0.4
    images[2] = (images[2] * 4).round() / 4
    close(webp_bytes(images), torch.tensor([oracle.webp(image.numpy()) for image in images], dtype=torch.float64))
    found = entropy_bytes(images)
    close(found, torch.tensor([oracle.entropy(image.numpy()) for image in images], dtype=torch.float64), atol=1e-9)
    assert found[1] < 0.1 * found[0]


def test_webp_says_which_images_it_takes() -> None:
    with pytest.raises(ValueError, match=r"images of 2 channels cannot be stored as WebP.*choose information=entropy"):
        webp_bytes(torch.zeros(1, 2, 4, 4))


# ---- curves ------------------------------------------------------------------------------------------------------


def curve_of(information: list[float], whole: float, response: list[float], last: float) -> tuple[Tensor, Tensor]:
    sizes, values, end, top = (torch.tensor(one, dtype=torch.float64) for one in (information, response, whole, last))
    return polyline(sizes[None], end[None], values[None], top[None])


@pytest.mark.parametrize(
    ("information", "response", "area"),
    [
        ([10.0, 20.0], [0.2, 0.6], 0.5),  # on the diagonal
        ([10.0, 20.0], [0.2, 1.0], 0.75),  # all of the response for half of the information
        ([10.0, 10.0], [0.2, 1.0], 1.0),  # for none
        ([10.0, 30.0], [0.2, 0.2], 0.0),  # nothing but for all of it
        ([10.0, 20.0, 15.0], [0.2, 1.0, 0.2], 0.875),  # what was reached is not lost, also where a file shrinks
    ],
)
def test_areas_of_curves_drawn_by_hand(information: list[float], response: list[float], area: float) -> None:
    x, y = curve_of(information, 30.0, response, 1.0)
    assert float(torch.trapezoid(y, x)) == pytest.approx(area, abs=1e-12)


def test_polylines_and_their_heights_equal_the_loop() -> None:
    draw = torch.Generator().manual_seed(3)
    sizes, response = (torch.rand(30, 7, generator=draw, dtype=torch.float64) for _ in range(2))
    sizes = (sizes * 6).round()  # ties, and sizes beyond both ends
    whole, last = sizes[:, 0] + 3, response[:, 0] + 0.4
    x, y = polyline(sizes, whole, response, last)
    axis = torch.linspace(0, 1, 11, dtype=torch.float64)
    found = interpolated(x, y, axis)
    for row in range(30):
        curve = oracle.points(sizes[row].tolist(), float(whole[row]), response[row].tolist(), float(last[row]))
        assert float(torch.trapezoid(y[row], x[row])) == pytest.approx(oracle.area(curve), abs=1e-12)
        np.testing.assert_allclose(
            found[row, 1:-1], [oracle.height_at(curve, at) for at in axis.tolist()[1:-1]], atol=1e-9
        )
    assert (found[:, -1] == 1).all()


@pytest.mark.parametrize("information", ["webp", "entropy"])
def test_the_whole_metric_equals_the_loop(information: str) -> None:
    explained = explained_batch(5)
    fractions = (0.1, 0.3, 0.6)
    metric = InformationCurves(information, fractions, n_points=11, **LENIENT)
    values, curves, _ = metric.measure(explained)
    run, size_of = classify(explained.score.classifier), getattr(oracle, information)
    known = first_known(explained.images, 0.1, Streams(0, explained.indices))
    finite = 0
    for row in range(5):
        image, target = explained.images[row].numpy(), int(explained.targets[row])
        worth = explained.attributions[row].sum(0).abs().flatten().tolist()
        ranking = sorted(range(36), key=lambda pixel: -worth[pixel])
        sizes, probabilities, hits = [], [], []
        for fraction in (0.0, *fractions):
            given = known[row, 0].numpy().copy()
            for pixel in ranking[: int(fraction * 36)]:
                given[pixel // 6, pixel % 6] = True
            blurred = np.stack([oracle.pull_push(plane, given) for plane in image])
            logits = run(blurred)
            sizes.append(size_of(blurred))
            probabilities.append(softmax(logits)[target])
            hits.append(float(np.argmax(logits) == target))
        clean, whole = run(image), size_of(image)
        last, right = softmax(clean)[target], float(np.argmax(clean) == target)
        for name, response, end in (("aic", hits, right), ("sic", probabilities, last)):
            key = name if information == "webp" else f"{name}_entropy"
            if whole <= sizes[0] or end <= response[0]:
                assert values[key][row].isnan()
                assert curves[key][row].isnan().all()
                continue
            finite += 1
            curve = oracle.points(sizes, whole, response, end)
            assert float(values[key][row]) == pytest.approx(oracle.area(curve), abs=1e-9)
            heights = [oracle.height_at(curve, at) for at in metric.axis[1:-1]]
            np.testing.assert_allclose(curves[key][row, 1:-1], heights, atol=1e-9)
    assert finite >= 4


TEMPLATE = 2.0 * (torch.rand(3, 8, 16, generator=torch.Generator().manual_seed(0)) < 0.5) - 1


class UpperHalf(nn.Module):
    """Class 1 where the upper half looks like the template, class 0 where nothing does."""

    def forward(self, images: Tensor) -> Tensor:
        likeness = (images[:, :, :8] * TEMPLATE).mean((1, 2, 3))
        return torch.stack([torch.full_like(likeness, 2.0), 20 * likeness], 1)


def with_upper_half(maps: Tensor) -> Explained:
    """An image whose upper half decides, with noise below that decides nothing."""
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    image[:, :, :8] = 0.5 + 0.4 * TEMPLATE
    target, zero = torch.tensor([1]), torch.zeros(1)
    return Explained(image, maps, target, target, torch.zeros_like(image), ScoreFunction(UpperHalf()), target, zero)


def test_what_decides_first_is_better_than_what_decides_last() -> None:
    upper = torch.zeros(1, 3, 16, 16)
    upper[:, :, :8] = torch.rand(1, 1, 8, 16, generator=torch.Generator().manual_seed(1)) + 1
    first, last = (InformationCurves()(with_upper_half(maps)) for maps in (upper, 3 - upper))
    for name in ("aic", "sic"):
        assert float(first[name]) > float(last[name]) + 0.4, (first, last)


def test_images_that_the_authors_drop_are_nan_and_the_others_do_not_notice() -> None:
    explained = explained_batch(5)
    clean = explained.clean_probability
    some = float(clean.sort().values[2])
    all_kept, few = (InformationCurves(known=0.1, least_probability=least)(explained) for least in (0.0, some))
    below = clean < some
    assert few["sic"][below].isnan().all()
    assert torch.equal(few["sic"][~below].nan_to_num(-1), all_kept["sic"][~below].nan_to_num(-1))
    assert torch.equal(few["aic"].nan_to_num(-1), all_kept["aic"].nan_to_num(-1))
    assert all_kept["aic"][1].isnan()  # misclassified
    flat = dataclasses.replace(explained, images=torch.full_like(explained.images, 0.3))  # nothing to lose
    assert all(value.isnan().all() for value in InformationCurves(**LENIENT)(flat).values())


@pytest.mark.parametrize("information", ["webp", "entropy"])
def test_neither_batch_nor_order_nor_chunk_matters(information: str) -> None:
    metric = InformationCurves(information, **LENIENT)
    whole, parts = explained_batch(5), explained_batch(5, chunk_size=3)
    expected = metric.measure(whole)
    order = [3, 0, 4, 2, 1]
    turned, chunked = metric.measure(take(whole, order)), metric.measure(parts)
    alone = [metric.measure(take(whole, [row])) for row in range(5)]
    assert parts.score.classifier.largest_call == 3
    for kind in ("values", "curves"):
        for name, value in getattr(expected, kind).items():
            close(getattr(turned, kind)[name], value[order], atol=1e-12)
            close(getattr(chunked, kind)[name], value, atol=1e-12)
            close(torch.cat([getattr(one, kind)[name] for one in alone]), value, atol=1e-12)


def test_scale_and_colour_split_of_a_map_do_not_matter_and_ties_are_random() -> None:
    explained = explained_batch(4)
    metric = InformationCurves(**LENIENT)
    summed = explained.attributions.sum(1, keepdim=True).expand_as(explained.images) / 3
    expected = metric(explained)
    for maps in (7 * explained.attributions, summed):
        for name, value in metric(with_maps(explained, maps)).items():
            close(value, expected[name], atol=1e-12)
    constant = with_maps(explained, torch.ones_like(explained.images))
    first, again, other = (InformationCurves(seed=seed, **LENIENT)(constant)["sic"] for seed in (0, 0, 1))
    assert torch.equal(first.nan_to_num(-1), again.nan_to_num(-1))
    assert not torch.equal(first.nan_to_num(-1), other.nan_to_num(-1))


def test_facts_and_forwards() -> None:
    explained = explained_batch(3)
    metric = InformationCurves(fractions=(0.2, 0.5), reduce="signed", information="entropy", n_points=5, **LENIENT)
    curves = metric.measure(explained).curves
    assert explained.score.cost.forward_images == 3 * metric.forwards == 12
    assert metric.names == ("aic_signed_entropy", "sic_signed_entropy")
    assert all(curve.shape == (3, 5) for curve in curves.values())
    assert metric.axis == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert [line.direction for line in metric.describe()] == ["higher", "higher"]
    assert InformationCurves().forwards == 15


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"information": "png"}, "information='png' is unknown; choose one of"),
        ({"fractions": (0.5, 0.2)}, r"fractions=\[0.5, 0.2\] must ascend"),
        ({"fractions": ()}, r"fractions=\[\] must ascend"),
        ({"known": 1.0}, "known=1.0 and least_probability=0.8 must lie"),
        ({"least_probability": -0.1}, "least_probability=-0.1 must lie"),
        ({"reduce": "mean"}, "reduce='mean' is unknown"),
        ({"n_points": 1}, "n_points=1 must be a whole number of at least 2"),
    ],
)
def test_bad_input_is_named(words: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InformationCurves(**words)
