"""ROAR: the removal against a loop, what retraining can and cannot tell, resumption, the study from end to end."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.classifiers.base import Classifier
from diffig.data.image_sets import ArrayImages
from diffig.evaluation import roar
from diffig.evaluation.roar import Retraining, Roar, explained_set, hits, retrained
from diffig.integration.integrate import Integral
from diffig.metrics.roar import Removal, accuracy_area, kept_masks, without_relevant
from diffig.scores import ScoreFunction

STUDY = Path(__file__).resolve().parents[2] / "experiments" / "roar"


def linear(channels: int = 1, side: int = 6, classes: int = 2) -> Classifier:
    net = nn.Sequential(nn.Flatten(), nn.Linear(channels * side * side, classes))
    return Classifier(net, [0.5] * channels, [0.5] * channels, "linear", classes).eval()


def coloured(count: int = 5, side: int = 6, seed: int = 0) -> tuple[ArrayImages, Tensor]:
    rng = np.random.default_rng(seed)
    images = ArrayImages(
        rng.random((count, side, side, 3), dtype=np.float32), np.arange(count) % 2, 7 + np.arange(count)
    )
    return images, torch.from_numpy(rng.standard_normal((count, 3, side, side), dtype=np.float32))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_removal_equals_the_loop(share: float) -> None:
    images, maps = coloured()
    changed = without_relevant(images, maps, Removal(share), ScoreFunction(linear(3)), chunk_size=2)
    masks = kept_masks(images, maps, Removal(share), chunk_size=3)
    for row in range(5):
        image, worth = images.images[row].astype(np.float64), {}
        for y in range(6):
            for x in range(6):
                worth[y, x] = sum(abs(float(maps[row, c, y, x])) for c in range(3))
        ranking = sorted(worth, key=lambda place: -worth[place])
        gone, kept = ranking[: int(share * 36)], ranking[int(share * 36) :]
        grey = sum(image[y, x, c] for y, x in kept for c in range(3)) / (3 * len(kept))
        expected, mask = image.copy(), np.ones((6, 6, 3))
        for place in gone:
            expected[place], mask[place] = grey, 0
        np.testing.assert_allclose(changed.images[row], expected, atol=1e-6)
        np.testing.assert_array_equal(masks.images[row], mask)
    np.testing.assert_array_equal(changed.labels, images.labels)
    np.testing.assert_array_equal(changed.indices, images.indices)


def test_the_fill_of_the_normalised_space_is_the_mean_of_what_the_network_sees() -> None:
    images, maps = coloured(2)
    mean, std = torch.tensor([0.2, 0.5, 0.7]), torch.tensor([0.1, 0.3, 0.2])
    classifier = Classifier(nn.Flatten(), mean.tolist(), std.tolist(), "flat", 108)
    removal = Removal(0.5, space="normalised")
    changed = torch.from_numpy(without_relevant(images, maps, removal, ScoreFunction(classifier)).images)
    gone = removal.removed(maps, torch.from_numpy(images.indices))[:, 0]
    for row in range(2):
        seen = (torch.from_numpy(images.images[row]) - mean) / std
        expected = seen[~gone[row]].mean() * std + mean
        torch.testing.assert_close(changed[row][gone[row]], expected.expand(18, 3), rtol=1e-5, atol=1e-6)


def test_ties_are_broken_by_seed_and_image_and_by_no_batch() -> None:
    maps, indices = torch.zeros(4, 1, 8, 8), torch.tensor([3, 9, 4, 3])
    removed = Removal(0.5).removed(maps, indices)
    assert (removed.flatten(1).sum(1) == 32).all()
    assert torch.equal(removed[0], removed[3])
    assert not torch.equal(removed[0], removed[1])
    assert torch.equal(removed[1:2], Removal(0.5).removed(maps[1:2], indices[1:2]))
    assert not torch.equal(removed, Removal(0.5, seed=1).removed(maps, indices))
    assert not (removed & ~Removal(0.7).removed(maps, indices)).any(), "a larger share removes more and nothing else"


def test_an_attribution_that_is_not_finite_counts_as_one_without_an_opinion() -> None:
    maps, indices = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1])
    spoilt = maps.clone()
    spoilt[1, 0, 2, 2] = torch.nan
    with pytest.warns(UserWarning, match="1 attributions are not finite"):
        removed = Removal(0.5).removed(spoilt, indices)
    assert torch.equal(removed[0], Removal(0.5).removed(maps, indices)[0])
    assert torch.equal(removed[1], Removal(0.5).removed(torch.zeros_like(maps), indices)[1])


def test_the_area_is_the_trapezoid_over_its_width() -> None:
    values = np.array([[1.0, 0.5, 0.5], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(accuracy_area(values, (0.1, 0.5, 0.7)), [(0.75 * 0.4 + 0.5 * 0.2) / 0.6, 0.5])
    np.testing.assert_allclose(accuracy_area(np.full(5, 0.3)), 0.3)


def test_bad_input_is_named() -> None:
    images, maps = coloured()
    with pytest.raises(ValueError, match="share=1 must be at least 0 and below 1"):
        Removal(1)
    with pytest.raises(ValueError, match="reduce='mean' is unknown"):
        Removal(0.5, reduce="mean")
    with pytest.raises(ValueError, match="3 attributions for 5 images"):
        kept_masks(images, maps[:3], Removal(0.5))
    with pytest.raises(ValueError, match="attributions has shape"):
        without_relevant(images, maps[:, :1], Removal(0.5), ScoreFunction(linear(3)))
    with pytest.raises(ValueError, match=r"3 values at shares=\[0.1, 0.5\]"):
        accuracy_area([1, 2, 3], (0.1, 0.5))
    with pytest.raises(ValueError, match="max_epochs=0"):
        retrained(linear, images, Retraining(0), 0)


def test_retraining_knows_its_seed_and_nothing_else() -> None:
    images, _ = patches(40)
    how = Retraining(2, batch_size=8, learning_rate=1e-2)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = retrained(linear, images, how, seed=3).state_dict()
    assert torch.equal(torch.get_rng_state(), before), "the caller's random numbers stay as they were"
    torch.rand(5)
    again, other = (retrained(linear, images, how, seed=seed).state_dict() for seed in (3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["net.1.weight"], other["net.1.weight"])
    weighted = linear()
    weighted.checkpoint = Path("weights.safetensors")
    with pytest.raises(ValueError, match="retraining starts from scratch"):
        retrained(lambda: weighted, images, how, 0)


def patches(count: int, seed: int = 0) -> tuple[ArrayImages, Tensor]:
    """Noise with two patches, the left the brighter one in class 0, the right in class 1; where each class has it."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    pixels = 0.2 * rng.random((count, 6, 6), dtype=np.float32)
    places = torch.zeros(2, 6, 6)
    places[0, 2:4, :2] = places[1, 2:4, 4:] = 1
    pixels += (0.3 * places.sum(0) + 0.5 * places[torch.from_numpy(labels)]).numpy()
    return ArrayImages(pixels, labels, np.arange(count)), places


def test_the_right_map_hurts_and_a_map_that_knows_the_class_leaks_it(tmp_path: Path) -> None:
    train, places = patches(80)
    test, _ = patches(40, seed=1)
    study = Roar(train, test, linear, Retraining(10, batch_size=16, learning_rate=5e-2), ScoreFunction(linear()))
    noise = torch.rand(120, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    both = places.sum(0).expand(120, 1, 6, 6)
    labels = torch.from_numpy(np.concatenate([train.labels, test.labels]))
    found = {}
    share = 8 / 36 + 1e-6  # the pixels of both patches
    for name, maps in {"right": both, "random": noise, "leaking": places[labels][:, None] * 2 + noise}.items():
        for what in ("images", "masks"):
            for outcome in study.outcomes((maps[:80], maps[80:]), Removal(share), 1, tmp_path / name, what):
                found |= {(name, form): line.count("1") / 40 for form, line in outcome.hits.items()}
    assert found["random", "removed"] > 0.95
    assert found["random", "clean"] > 0.95
    assert found["random", "mask"] < 0.75
    # Both patches are gone everywhere: nothing is left to learn, and the holes have one shape.
    assert 0.3 < found["right", "removed"] < 0.7
    assert found["right", "mask"] == 0.5
    # The class's own patch is gone and its hole, in one place for each class, says which class it was.
    assert found["leaking", "removed"] > 0.95
    assert found["leaking", "mask"] > 0.95


class Counting(Attributor):
    """Attributes each image to itself, and counts; stops a run after so many images."""

    name = "counting"

    def __init__(self, *given: object, stop: int = 10**6) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.seen, self.stop = 0, stop

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: object) -> Integral:
        if self.seen >= self.stop:
            raise KeyboardInterrupt
        self.seen += len(images)
        return Integral(images * (1 + targets[:, None, None, None]), torch.zeros(len(images)), torch.zeros(len(images)))


def test_a_killed_explanation_goes_on(tmp_path: Path) -> None:
    images, _ = coloured(10)
    with pytest.raises(KeyboardInterrupt):
        explained_set(Counting(linear(3), stop=6), images, tmp_path, batch_size=2, per_file=4)
    method = Counting(linear(3))
    maps = explained_set(method, images, tmp_path, batch_size=3, per_file=4)
    assert method.seen == 6, "the four of the first file are there; the two that were not written are lost"
    pixels = torch.from_numpy(images.images).permute(0, 3, 1, 2)
    assert torch.equal(maps, pixels * (1 + torch.from_numpy(images.labels)[:, None, None, None]))
    with pytest.raises(ValueError, match="holds attributions of other images"):
        explained_set(method, coloured(10)[0].subset(range(9, -1, -1)), tmp_path, per_file=4)


def test_hits_are_those_of_single_images() -> None:
    images, _ = coloured(7)
    classifier = linear(3)
    expected = [int(classifier(images.image(k)[None]).argmax()) == images.labels[k] for k in range(7)]
    assert hits(classifier, images, batch_size=3) == "".join("1" if hit else "0" for hit in expected)


def script(name: str) -> ModuleType:
    if not STUDY.is_dir():
        pytest.skip("no checkout with experiments/roar")
    spec = importlib.util.spec_from_file_location(f"roar_{name}", STUDY / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_study_goes_on_where_it_was_killed_and_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measure, table = script("measure"), script("table")

    def words(folder: str) -> list[str]:
        small = ["dataset.size=8", "classifier.width=4", f"dirs.cache={tmp_path / 'cache'}", "steps=4"]
        options = ["--images=40", "--epochs=1", "--seeds=2", "--methods=ig,random"]
        return ["small", str(tmp_path / folder), *options, *small]

    trained: list[int] = []
    train = roar.retrained

    def killing(*given: object) -> Classifier:
        if len(trained) == 12:
            raise KeyboardInterrupt
        trained.append(1)
        return train(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(roar, "retrained", killing)
    with pytest.raises(KeyboardInterrupt):
        measure.main(words("killed"))
    monkeypatch.setattr(roar, "retrained", lambda *given: trained.append(1) or train(*given))
    measure.main(words("killed"))
    masks = len(measure.MASK_SHARES) * measure.MASK_SEEDS
    total = 2 + 2 * (5 * 2 + masks)
    assert len(trained) == total, "what was done is not done again"
    assert f"[{total}/{total}] random 90% seed 0: mask" in capsys.readouterr().out
    measure.main(words("whole"))
    assert len(trained) == 2 * total
    killed, whole = (pd.read_csv(tmp_path / name / "hits.csv", dtype={"hits": str}) for name in ("killed", "whole"))
    pd.testing.assert_frame_equal(killed, whole)
    assert len(killed) == 2 * 2 + 2 * (5 * 2 * 2 + masks)
    assert set(killed["hits"].str.len()) == {40}

    table.main("small", tmp_path / "killed")
    areas = pd.read_csv(tmp_path / "killed" / "areas.csv").set_index(["form", "method"])
    assert len(areas) == 4
    accuracy = {(row.method, row.form, row.seed, row.share): row.hits.count("1") / 40 for row in killed.itertuples()}
    weights = {0.1: 1 / 8, 0.3: 1 / 4, 0.5: 1 / 4, 0.7: 1 / 4, 0.9: 1 / 8}
    for form in ("removed", "clean"):
        found = {
            name: [sum(w * accuracy[name, form, seed, share] for share, w in weights.items()) for seed in range(2)]
            for name in ("ig", "random")
        }
        for name, values in found.items():
            assert areas.loc[(form, name), "area"] == pytest.approx(np.mean(values), abs=1e-4)
            assert areas.loc[(form, name), "sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-4)
        gap = np.mean(found["random"]) - np.mean(found["ig"])
        assert areas.loc[(form, "random"), "minus_ig"] == pytest.approx(gap, abs=1e-4)
    for name in ("accuracy.csv", "agreement.csv", "roar.png"):
        assert (tmp_path / "killed" / name).stat().st_size > 0


def test_the_study_of_cifar10_starts(tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFIG_SHARED_DATA", str(shared_data))
    options = ["--images=6", "--epochs=1", "--seeds=1", "--methods=gradient_x_input"]
    script("measure").main(["cifar10", str(tmp_path), *options])
    assert len(pd.read_csv(tmp_path / "hits.csv")) == 2 + 5 * 2 + 2


def test_other_settings_are_other_trainings() -> None:
    measure = script("measure")
    assert measure.key("a", 1) == measure.key("a", 1)
    assert len({measure.key("a", how) for how in (Retraining(1), Retraining(2), Retraining(1, flip=True))}) == 3
