"""F-Fidelity: against a loop, where its values are known, who judges, and what a judge is fine-tuned on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from diffig.classifiers.checkpoint import save_weights
from diffig.classifiers.module import ClassifierModule, without_some
from diffig.classifiers.small_cnn import small_cnn
from diffig.metrics import Explained, FFidelity
from diffig.metrics.f_fidelity import chosen
from diffig.randomness import Streams
from diffig.scores import ScoreFunction
from oracle.explained import MEAN, SmallNet, classify, close, explained_batch, take, with_maps
from oracle.metrics_oracle import softmax

QUICK = {"sizes": (0.2, 0.5), "n_samples": 4}


@pytest.fixture
def judge(tmp_path: Path) -> Path:
    """Weights of another network of the same kind."""
    net = SmallNet()
    with torch.no_grad():
        for number, parameter in enumerate(net.parameters()):
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    save_weights(net, tmp_path / "judge.safetensors")
    return tmp_path / "judge.safetensors"


def of_file(file: Path) -> SmallNet:
    from safetensors.torch import load_file

    net = SmallNet()
    net.load_state_dict(load_file(file))
    return net


# ---- the metric --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repaired", [True, False])
def test_equals_the_loop(repaired: bool, judge: Path) -> None:
    explained = explained_batch(4)
    metric = FFidelity(judge if repaired else None, sizes=(0.1, 0.3, 0.8), alpha=0.6, beta=0.4, n_samples=5)
    values, curves, _ = metric.measure(explained)
    run = classify(of_file(judge) if repaired else explained.score.classifier)
    kind = "f" if repaired else "r"
    streams = Streams(0, explained.indices)
    for row in range(4):
        image, target = explained.images[row].numpy(), int(explained.targets[row])
        worth = explained.attributions[row].sum(0).abs().flatten().tolist()
        ranking = sorted(range(36), key=lambda pixel: -worth[pixel])
        clean = run(image)
        whole = {"": float(np.argmax(clean) == target), "_probability": softmax(clean)[target]}
        for side, ordered in (("plus", ranking), ("minus", ranking[::-1])):
            for place, size in enumerate((3, 10, 28)):
                count = {3: 1, 10: 6, 28: 14}[size]  # .6 of the set, and at most .4 of 36 pixels
                hits, probabilities = [], []
                for sample in range(5):
                    draw = streams.numpy(row, sample, "f_fidelity").permutation(36)
                    least = sorted(range(size), key=lambda k: draw[k])[:count]
                    changed = image.copy()
                    for pixel in (ordered[k] for k in least):
                        for channel in range(3):
                            changed[channel, pixel // 6, pixel % 6] = MEAN[channel]
                    logits = run(changed)
                    hits.append(float(np.argmax(logits) == target))
                    probabilities.append(softmax(logits)[target])
                for end, response in (("", hits), ("_probability", probabilities)):
                    expected = whole[end] - sum(response) / 5
                    assert float(curves[f"{kind}_fidelity_{side}{end}"][row, place]) == pytest.approx(
                        expected, abs=1e-7
                    )
    for end in ("", "_probability"):
        plus, minus = (f"{kind}_fidelity_{side}{end}" for side in ("plus", "minus"))
        close(values[plus], curves[plus].mean(1))
        close(values[f"{kind}_fidelity{end}"], values[plus] - values[minus])


def test_the_least_draws_of_the_first_places_go() -> None:
    draws = torch.tensor([[4, 0, 3, 1, 2], [0, 1, 2, 3, 4]])
    gone = chosen(draws, [1, 3, 5], [1, 2, 2])
    expected = [[[0], [1, 2], [1, 3]], [[0], [0, 1], [0, 1]]]
    assert [[one.nonzero().flatten().tolist() for one in row] for row in gone] == expected


class Corner(torch.nn.Module):
    """Class 1 is as likely as the first pixel is bright; nothing else counts."""

    mean = torch.zeros(1)

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([torch.full((len(images),), 4.0), 8 * images[:, 0, 0, 0]], 1)


def test_one_pixel_that_decides_goes_as_often_as_its_set_says() -> None:
    """In a set of s, `alpha s` go: the deciding pixel is missing in half of the samples."""
    image, maps = torch.ones(1, 1, 8, 8), torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    maps[..., 0, 0] = 2
    target, zero = torch.tensor([1]), torch.zeros(1)
    explained = Explained(image, maps, target, target, torch.zeros_like(image), ScoreFunction(Corner()), target, zero)
    values, curves, _ = FFidelity(sizes=(0.25, 0.5), beta=0.125, n_samples=1000).measure(explained)
    # Of 16 pixels 8 go, of 32 as well: 16 would be more than beta.
    np.testing.assert_allclose(curves["r_fidelity_plus"][0], [0.5, 0.25], atol=0.04)
    assert (curves["r_fidelity_minus"] == 0).all()
    assert (values["r_fidelity"] == values["r_fidelity_plus"]).all()


def test_no_copy_loses_more_than_beta() -> None:
    explained = explained_batch(2, size=10)
    seen: list[Tensor] = []
    whole = explained.images.clone()
    net = explained.score.classifier
    handle = net.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    FFidelity(sizes=(0.05, 0.2, 0.5, 0.9), n_samples=6)(explained)
    handle.remove()
    copies = torch.cat(seen)
    gone = torch.stack([(copies != image).any(1).flatten(1).sum(1) for image in whole]).amin(0)
    assert int(gone.max()) == 10
    assert sorted(gone[gone > 0].unique().tolist()) == [2, 10]  # half of 5; a tenth of 100


def test_a_map_turned_round_turns_the_sign() -> None:
    explained = explained_batch(4)
    metric = FFidelity(**QUICK)
    one = explained.attributions.sum(1, keepdim=True).abs().expand_as(explained.images).clone()
    values, turned = (metric(with_maps(explained, maps)) for maps in (one, one.max() + 1 - one))
    assert values["r_fidelity_probability"].abs().max() > 1e-3
    for name in ("r_fidelity", "r_fidelity_probability"):
        close(turned[name], -values[name], atol=1e-12)


def test_neither_batch_nor_order_nor_chunk_matters(judge: Path) -> None:
    expected = FFidelity(judge, **QUICK).measure(explained_batch(5))
    order = [3, 0, 4, 2, 1]
    turned = FFidelity(judge, **QUICK).measure(take(explained_batch(5), order))
    chunked = FFidelity(judge, **QUICK).measure(explained_batch(5, chunk_size=3))
    metric = FFidelity(judge, **QUICK)
    alone = [metric.measure(take(explained_batch(5), [row])) for row in range(5)]
    for kind in ("values", "curves"):
        for name, value in getattr(expected, kind).items():
            close(getattr(turned, kind)[name], value[order], atol=1e-12)
            close(getattr(chunked, kind)[name], value, atol=1e-12)
            close(torch.cat([getattr(one, kind)[name] for one in alone]), value, atol=1e-12)


def test_no_call_is_larger_than_a_chunk() -> None:
    explained = explained_batch(4, chunk_size=3)
    explained.score.classifier.largest_call = 0
    FFidelity(sizes=(0.2, 0.5, 0.7), n_samples=3)(explained)
    assert explained.score.classifier.largest_call == 3


def test_seeds_choose_other_pixels_and_scale_does_not_matter() -> None:
    explained = explained_batch(4)
    first, again, other = (FFidelity(seed=seed, **QUICK)(explained) for seed in (0, 0, 1))
    scaled = FFidelity(**QUICK)(with_maps(explained, 5 * explained.attributions))
    name = "r_fidelity_plus_probability"
    assert torch.equal(first[name], again[name])
    assert torch.equal(first[name], scaled[name])
    assert not torch.equal(first[name], other[name])


def test_facts_and_forwards(judge: Path) -> None:
    for checkpoint in (None, judge):
        explained = explained_batch(3)
        metric = FFidelity(checkpoint, reduce="signed", **QUICK)
        metric(explained)
        assert explained.score.cost.forward_images == 3 * metric.forwards == 3 * 17
        assert [line.direction for line in metric.describe()] == ["higher", "lower", "higher"] * 2
        kind = "r" if checkpoint is None else "f"
        assert metric.names[:3] == tuple(f"{kind}_fidelity{side}_signed" for side in ("_plus", "_minus", ""))
        assert len(set(metric.names)) == 6
    assert FFidelity().forwards == 501


def test_the_judge_is_the_file_and_the_classifier_stays_as_it_was(judge: Path, tmp_path: Path) -> None:
    explained = explained_batch(3)
    net = explained.score.classifier
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    metric = FFidelity(judge, **QUICK)
    repaired = metric(explained)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    # The same file for the classifier itself: then its own judgement is the judge's.
    net.load_state_dict(of_file(judge).state_dict())
    own = FFidelity(**QUICK)(explained)
    for name, value in own.items():
        close(repaired[f"f{name[1:]}"], value, atol=1e-12)
    # Another classifier gets another copy.
    close(metric(explained_batch(3))["f_fidelity"], repaired["f_fidelity"], atol=1e-12)


def test_a_judge_that_does_not_fit_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"of F-Fidelity's judge does not exist; make one with diffig-train"):
        FFidelity(tmp_path / "none.safetensors")
    save_weights(small_cnn(num_classes=4, in_channels=3, width=4), tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="judge must have the explained classifier's architecture"):
        FFidelity(tmp_path / "other.safetensors", **QUICK)(explained_batch(2))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"sizes": ()}, r"sizes=\[\] must lie strictly"),
        ({"sizes": (0.5, 1.0)}, r"sizes=\[0.5, 1.0\] must lie strictly"),
        ({"alpha": 0}, "alpha=0 and beta=0.1 must lie"),
        ({"beta": 1.5}, "alpha=0.5 and beta=1.5 must lie"),
        ({"n_samples": 0}, "n_samples=0 must be a whole number of at least 1"),
        ({"reduce": "mean"}, "reduce='mean' is unknown"),
    ],
)
def test_bad_input_is_named(words: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FFidelity(**words)


# ---- what a judge is fine-tuned on -------------------------------------------------------------------------------


def test_up_to_a_share_of_the_pixels_is_the_mean_colour() -> None:
    images = torch.rand(200, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    colour = torch.tensor([0.2, 0.4, 0.6]).view(3, 1, 1)
    found = without_some(images, 0.15, colour, Streams(0, torch.arange(200)), 7)
    gone = (found != images).any(1)
    assert torch.equal(found, torch.where(gone[:, None], colour, images))
    counts = gone.flatten(1).sum(1)
    assert set(counts.tolist()) == set(range(16))
    assert 6.5 < counts.float().mean() < 8.5
    assert (gone.float().mean(0) > 0).all()  # anywhere


def test_what_is_dropped_belongs_to_image_and_step() -> None:
    images, colour = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 1, 1)
    indices = torch.tensor([3, 9, 4, 1, 7, 5])

    def dropped(rows: list[int], step: int, seed: int = 0) -> Tensor:
        return without_some(images[rows], 0.5, colour, Streams(seed, indices[rows]), step)

    whole = dropped(list(range(6)), 2)
    assert torch.equal(dropped([4, 1], 2), whole[[4, 1]])
    assert not torch.equal(dropped(list(range(6)), 3), whole)
    assert not torch.equal(dropped(list(range(6)), 2, seed=1), whole)


def test_training_drops_only_while_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffig.data import Batch

    module = ClassifierModule(small_cnn(num_classes=4, in_channels=1, width=4, mean=[0.3], std=[0.2]), drop=0.4)
    monkeypatch.setattr(module, "log_dict", lambda *_, **__: None)
    seen: list[Tensor] = []
    module.classifier.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    batch = Batch(torch.rand(8, 1, 8, 8), torch.arange(8) % 4, torch.arange(8))
    module.training_step(batch, 0)
    module.validation_step(batch, 0)
    changed = seen[0] != batch.images
    assert 0 < changed.flatten(1).sum(1).max() <= 25
    assert (seen[0][changed] == torch.tensor(0.3)).all()
    assert torch.equal(seen[1], batch.images)
    monkeypatch.setattr(ClassifierModule, "global_step", 1)  # another step, other pixels
    module.training_step(batch, 0)
    assert not torch.equal(seen[2] != batch.images, changed)
    with pytest.raises(ValueError, match=r"drop=1.0: .*module.drop in \[0, 1\)"):
        ClassifierModule(small_cnn(num_classes=2, in_channels=1, width=4), drop=1.0)
