"""A footprint chosen after the sum: the same as every piece's, for each image the best, and sums stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffig.attribution import LRP, CoarseToFine, FieldDiffIG, IntegratedGradients
from diffig.checks import check_widths
from diffig.credit import Agreeing, Proportional
from diffig.integration.soft_insertion_deletion import best_footprint, soft_insertion_deletion
from diffig.method import Guidance
from diffig.scores import ScoreFunction
from oracle.credit_oracle import heat_kernel
from oracle.models import ReLUNet, TanhNet, fixed, pictures

SHAPE = (3, 8, 8)
IMAGES, BASELINES = pictures(5)
TARGETS = torch.tensor([0, 1, 2, 0, 1])
WIDTHS = (0.0, 0.1, 0.3)


def spread(attribution, width):
    """Channel by channel with the matrix exponential."""
    kernel = heat_kernel(8, 8, width * 8)
    return np.stack([(kernel @ channel.reshape(-1)).reshape(channel.shape) for channel in attribution.numpy()])


@pytest.mark.parametrize("credit", [Agreeing, Proportional])
def test_it_is_the_footprint_of_every_piece(credit):
    score = ScoreFunction(TanhNet(SHAPE), "logit")
    each = CoarseToFine(score, steps=6, credit=credit(p=1.5, footprint=0.2))
    once = CoarseToFine(score, steps=6, credit=credit(p=1.5))
    once.footprints = (0.2,)
    found, gap = once.attribute(IMAGES, BASELINES, TARGETS, True)
    torch.testing.assert_close(found, each.attribute(IMAGES, BASELINES, TARGETS), rtol=0, atol=1e-12)
    assert gap.abs().max() < 1e-10


@pytest.mark.parametrize("units", [["element"], ["pixel"], ["element", "pixel"]])
def test_each_image_gets_the_best_of_the_loop(units):
    score = ScoreFunction(TanhNet(SHAPE), "probability")
    maps = fixed((5, *SHAPE), 3)
    found, chosen = best_footprint(maps, WIDTHS, IMAGES, BASELINES, TARGETS, score, units=units)
    seen = set()
    for row in range(5):
        one = IMAGES[row : row + 1], BASELINES[row : row + 1], TARGETS[row : row + 1], score
        spreads = [maps[row].numpy() if width == 0 else spread(maps[row], width) for width in WIDTHS]
        quality = [
            sum(float(soft_insertion_deletion(torch.from_numpy(map_)[None], *one, unit=unit)) for unit in units)
            for map_ in spreads
        ]
        best = int(np.argmax(quality))
        seen.add(best)
        assert float(chosen[row]) == WIDTHS[best]
        np.testing.assert_allclose(found[row].numpy(), spreads[best], rtol=0, atol=1e-12)
    assert len(seen) > 1
    torch.testing.assert_close(found.flatten(1).sum(1), maps.flatten(1).sum(1), rtol=0, atol=1e-10)


def test_of_several_maps_each_image_gets_the_best_pair_of_map_and_width():
    score = ScoreFunction(TanhNet(SHAPE), "probability", chunk_size=4)
    both = torch.stack([fixed((5, *SHAPE), 3), fixed((5, *SHAPE), 4)], 1)
    found, chosen = best_footprint(both, WIDTHS, IMAGES, BASELINES, TARGETS, score)
    seen = set()
    for row in range(5):
        one = IMAGES[row : row + 1], BASELINES[row : row + 1], TARGETS[row : row + 1], score
        pairs = {
            (way, width): both[row, way].numpy() if width == 0 else spread(both[row, way], width)
            for width in WIDTHS
            for way in (0, 1)
        }
        quality = {
            pair: float(soft_insertion_deletion(torch.from_numpy(map_)[None], *one)) for pair, map_ in pairs.items()
        }
        best = max(quality, key=quality.get)
        seen.add(best[0])
        assert float(chosen[row]) == best[1]
        np.testing.assert_allclose(found[row].numpy(), pairs[best], rtol=0, atol=1e-12)
    assert seen == {0, 1}


def test_samples_kept_in_several_ways_are_judged_with_the_widths():
    def explained(keep, widths=WIDTHS):
        score = ScoreFunction(TanhNet(SHAPE), "logit")
        method = FieldDiffIG(score, steps=8, guidance=Guidance(proposals=4, keep=keep), footprint=widths)
        return method, *method.attribute(IMAGES, BASELINES, TARGETS, True)

    method, found, gap = explained(["consensus", "mean"])
    assert gap.abs().max() < 1e-6
    assert method.score.cost.backward_images == 5 * 8
    alone = {keep: explained(keep, 0.0)[1] for keep in ("consensus", "mean")}
    pairs = torch.stack(list(alone.values()), 1)
    wanted, _ = best_footprint(pairs, WIDTHS, IMAGES, BASELINES, TARGETS, method.score, units=("element", "pixel"))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    torch.testing.assert_close(explained(["consensus"])[1], explained("consensus")[1], rtol=0, atol=0)
    # without a width to choose, the ways alone are judged
    plain = explained(["consensus", "mean"], 0.0)[1]
    assert all(any(torch.allclose(one, alone[keep][row], atol=1e-6) for keep in alone) for row, one in enumerate(plain))
    assert (
        explained(["consensus", "mean"], 0.0)[0].score.cost.forward_images
        > explained("mean", 0.0)[0].score.cost.forward_images
    )


@pytest.mark.parametrize("keep", [[], ["mean", "mean"], ["mean", "best"], None, 3])
def test_ways_to_keep_are_named_once(keep):
    with pytest.raises(
        ValueError, match=r"guidance\.keep=.* one (or more )?of \['mean', 'consensus', 'best_mixture'\]"
    ):
        Guidance(keep=keep)


def test_images_judged_a_few_at_a_time_are_judged_the_same():
    maps = fixed((5, *SHAPE), 3)
    found = []
    for chunk in (1, 4, 64):
        score = ScoreFunction(TanhNet(SHAPE), "probability", chunk_size=chunk)
        found.append(best_footprint(maps, WIDTHS, IMAGES, BASELINES, TARGETS, score)[0])
    torch.testing.assert_close(found[0], found[2], rtol=0, atol=1e-12)
    torch.testing.assert_close(found[1], found[2], rtol=0, atol=1e-12)


def test_a_batch_is_its_images_one_by_one():
    method = FieldDiffIG(ScoreFunction(TanhNet(SHAPE), "logit"), steps=8)
    whole = method.attribute(IMAGES, BASELINES, TARGETS)
    for row in range(5):
        one = slice(row, row + 1)
        alone = method.attribute(IMAGES[one], BASELINES[one], TARGETS[one], indices=torch.tensor([row]))
        torch.testing.assert_close(whole[one], alone, rtol=0, atol=1e-5)


def test_any_method_takes_it_and_ties_go_to_the_first():
    score = ScoreFunction(ReLUNet(channels=3), "logit")
    plain = LRP(score).attribute(IMAGES, target=TARGETS)
    method = LRP(score)
    method.footprints = (0.0, 0.0)
    torch.testing.assert_close(method.attribute(IMAGES, target=TARGETS), plain, rtol=0, atol=0)
    method.footprints = (0.3,)
    np.testing.assert_allclose(method.attribute(IMAGES, target=TARGETS)[0].numpy(), spread(plain[0], 0.3), atol=1e-12)


def test_no_gradient_is_spent_on_it_and_one_width_is_not_judged():
    spent = []
    for widths in ((), (0.1,), WIDTHS):
        score = ScoreFunction(TanhNet(SHAPE), "logit")
        method = IntegratedGradients(score, steps=4)
        method.footprints = widths
        method.attribute(IMAGES, BASELINES, TARGETS)
        spent.append((score.cost.backward_images / 5, score.cost.forward_images / 5))
    assert spent[0] == spent[1]
    assert spent[2] == (spent[0][0], spent[0][1] + 1 + 2 * len(WIDTHS) * 10)  # the whole image once


def test_a_broken_image_stays_alone():
    score = ScoreFunction(TanhNet(SHAPE), "logit")
    maps = fixed((5, *SHAPE), 3)
    wanted, _ = best_footprint(maps, WIDTHS, IMAGES, BASELINES, TARGETS, score)
    maps[2, 0, 0, 0] = torch.nan
    found, _ = best_footprint(maps, WIDTHS, IMAGES, BASELINES, TARGETS, score)
    assert found[2].isnan().any()
    rest = [0, 1, 3, 4]
    torch.testing.assert_close(found[rest], wanted[rest], rtol=0, atol=1e-12)


@pytest.mark.parametrize("width", [-0.1, 1.0, float("nan"), True, "wide"])
def test_what_is_no_share_of_the_side_is_refused(width):
    with pytest.raises(ValueError, match="share of the image's side"):
        check_widths([0.0, width])


def test_one_width_needs_no_list():
    assert check_widths(0.03) == (0.03,)
    assert check_widths([]) == ()
