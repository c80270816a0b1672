"""The one call gives the numbers of the method it stands for, for every kind of image, model and output."""

from __future__ import annotations

import sys
import warnings
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import diffig
from diffig.attribution import IntegratedGradients
from diffig.baselines import Blur
from diffig.classifiers import Classifier
from diffig.credit import Agreeing
from diffig.notebook.explainer import Explainer
from oracle.models import SoftplusNet

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
Output = namedtuple("Output", ["logits", "aux"])


def photos(batch: int = 2, size: int = 12) -> Tensor:
    pixels = torch.randint(0, 256, (batch, 3, size, size), generator=torch.Generator().manual_seed(3))
    return pixels.float() / 255


def ig(model: nn.Module, preprocess: object = None, **options: object) -> Explainer:
    return diffig.explainer("ig", model, preprocess, steps=8, **options)


class Returns(nn.Module):
    """A network whose logits come as `wrap` makes them."""

    def __init__(self, wrap) -> None:
        super().__init__()
        self.net, self.wrap = SoftplusNet(), wrap

    def forward(self, images: Tensor):
        return self.wrap(self.net(images))


@pytest.mark.parametrize("preset", ["fast", "default", "best"])
def test_diffig_is_the_method_of_its_preset(preset: str) -> None:
    from diffig.config import build, build_method, compose
    from diffig.scores import ScoreFunction

    net = SoftplusNet()
    cfg = compose("evaluate", [f"preset={preset}", "method.steps=12" if preset == "fast" else "seed=0"])
    method = build_method(cfg, ScoreFunction(Classifier(net, MEAN, STD), None), build(cfg.baseline))
    explain = diffig.DiffIG(net, preset, nn.Sequential(Classifier(nn.Identity(), MEAN, STD)))
    images = photos(1)
    found = explain.attribute(images, target=2, n_steps=12 if preset == "fast" else None)
    torch.testing.assert_close(found, method.attribute(images, target=2))


@pytest.mark.parametrize("name", ["ig", "spi", "grad_cam", "smoothgrad", "random"])
def test_any_method_by_name_is_that_of_the_configuration(name: str) -> None:
    net, images = SoftplusNet(), photos(3)
    expected = diffig.from_config(name, net).attribute(images)
    found = diffig.explainer(name, net, batch_size=2).attribute(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_options_are_those_of_the_method_and_may_be_objects() -> None:
    net, images = SoftplusNet(), photos()
    expected = IntegratedGradients(net, baseline=Blur(), steps=8, credit=Agreeing(p=2.0)).attribute(images, target=1)
    for baseline in ("blur", Blur()):
        explain = diffig.explainer("ig", net, steps=8, baseline=baseline, credit=Agreeing(p=2.0))
        torch.testing.assert_close(explain.attribute(images, target=1), expected)
    guided = diffig.DiffIG(net, "fast", guidance={"absolute_mass": 0.2}, steps=40, concentration=[1.0, 2.0])
    assert guided.attributor.guidance_strengths["absolute_mass"] == 0.2
    torch.testing.assert_close(
        ig(net).attribute(images, target=1, baselines=0.5), ig(net).attribute(images, None, 1) * 0 + _from_grey(images)
    )


def _from_grey(images: Tensor) -> Tensor:
    return IntegratedGradients(SoftplusNet(), steps=8).attribute(images, 0.5, 1)


def test_normalisation_goes_inside_the_classifier() -> None:
    net, images = SoftplusNet(), photos()
    expected = IntegratedGradients(Classifier(net, MEAN, STD), steps=8).attribute(images, target=1)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (MEAN, STD))
    from torchvision.transforms import v2

    told = [
        v2.Normalize(MEAN, STD),
        v2.Compose([v2.Resize(14), v2.CenterCrop(12), v2.ToTensor(), v2.Normalize(MEAN, STD)]),
        {"mean": MEAN, "std": STD, "input_size": (3, 12, 12), "crop_pct": 0.9},
        SimpleNamespace(image_mean=list(MEAN), image_std=list(STD), size={"shortest_edge": 14}, do_resize=True),
        lambda pixels: (pixels - mean) / std,
    ]
    for preprocess in told:
        explain = ig(net, preprocess)
        torch.testing.assert_close(explain.attribute(images, target=1), expected)
        torch.testing.assert_close(explain.subject.classifier.mean.flatten(), torch.tensor(MEAN), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(explain.subject.classifier.std.flatten(), torch.tensor(STD), rtol=1e-4, atol=1e-5)
    net.pretrained_cfg = {"mean": MEAN, "std": STD}
    torch.testing.assert_close(ig(net).attribute(images, target=1), expected)
    torch.testing.assert_close(ig(Classifier(SoftplusNet(), MEAN, STD)).attribute(images, target=1), expected)


def test_photographs_are_framed_as_the_weights_of_torchvision_say(tmp_path: Path) -> None:
    from torchvision.models import ResNet18_Weights

    weights = ResNet18_Weights.IMAGENET1K_V1
    pixels = np.random.default_rng(0).integers(0, 256, (300, 420, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    picture.save(tmp_path / "photo.png")
    explain = ig(SoftplusNet(), weights)
    expected = weights.transforms()(picture)
    for image in (picture, tmp_path / "photo.png", str(tmp_path / "photo.png")):
        shown = explain.picture(image)
        assert shown.shape == (3, 224, 224)
        torch.testing.assert_close(explain.subject.preprocessing.inside(shown), expected)
    assert explain.subject.categories[207] == "golden retriever"


def test_every_kind_of_image_gets_its_map_in_its_own_layout(tmp_path: Path) -> None:
    images = photos()
    expected = ig(SoftplusNet()).attribute(images, target=1)
    explain = ig(SoftplusNet())
    one = (images[0].permute(1, 2, 0) * 255).round().to(torch.uint8)
    picture = Image.fromarray(one.numpy())
    picture.save(tmp_path / "one.png")
    for image in (
        images[0],
        one.permute(2, 0, 1),
        picture,
        tmp_path / "one.png",
        images[0].numpy(),
        images[0].double(),
    ):
        torch.testing.assert_close(explain.attribute(image, target=1), expected[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.testing.assert_close(explain.attribute(np.asarray(picture), target=1), expected[0].permute(1, 2, 0))
    for image in (one.numpy(), one.numpy().astype(np.float32) / 255):
        torch.testing.assert_close(explain.attribute(image, target=1), expected[0].permute(1, 2, 0))
    both = images.permute(0, 2, 3, 1).numpy()
    torch.testing.assert_close(explain.attribute(both, target=1), expected.permute(0, 2, 3, 1))
    torch.testing.assert_close(explain.attribute([images[0], images[1]], target=[1, 1]), expected)


def test_grey_images_have_no_channels_to_begin_with() -> None:
    images = photos()[:, :1]
    explain = ig(SoftplusNet(channels=1))
    expected = explain.attribute(images, target=1)[0]
    torch.testing.assert_close(explain.attribute(images[0, 0], target=1), expected[0])
    grey = Image.fromarray((images[0, 0] * 255).round().to(torch.uint8).numpy())
    torch.testing.assert_close(explain.attribute(grey, target=1), expected)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda logits: logits,
        lambda logits: (logits, logits * 2),
        lambda logits: {"features": logits * 3, "logits": logits},
        lambda logits: {"scores": logits},
        lambda logits: Output(logits, None),
        lambda logits: SimpleNamespace(logits=logits),
        lambda logits: logits[..., None, None],
    ],
)
def test_logits_are_found_in_whatever_a_model_returns(wrap) -> None:
    images = photos()
    found = ig(Returns(wrap)).attribute(images, target=1)
    torch.testing.assert_close(found, ig(SoftplusNet()).attribute(images, target=1))


@pytest.mark.parametrize("wrap", [lambda logits: logits[:, :1], lambda logits: logits[:, 0]])
@pytest.mark.parametrize("name", ["ig", "diffig_field"])
def test_a_single_logit_is_explained_through_its_sigmoid(wrap, name: str) -> None:
    images = photos()
    explain = diffig.explainer(name, Returns(wrap))
    maps, gap = explain.attribute(images, target=0, return_convergence_delta=True)
    logits = SoftplusNet()(torch.cat([images, images * 0]))[:, 0].sigmoid()
    change = logits[:2] - logits[2:]
    torch.testing.assert_close(maps.flatten(1).sum(1) - gap, change, rtol=1e-4, atol=1e-5)
    assert explain.predict(images).shape == (2, 2)


def test_labels_of_a_multi_label_head_each_have_their_sigmoid() -> None:
    images, net = photos(3), SoftplusNet()
    explain = ig(net, multi_label=True)
    maps, gap = explain.attribute(images, target=[1, 0, 1], return_convergence_delta=True)
    for row, label in enumerate([1, 0, 1]):
        ends = net(torch.stack([images[row], images[row] * 0]))[:, label].sigmoid()
        assert float(maps[row].sum() - gap[row]) == pytest.approx(float(ends[0] - ends[1]), abs=1e-5)
        alone = ig(Returns(lambda logits, label=label: logits[:, label])).attribute(images[row], target=0)
        torch.testing.assert_close(maps[row], alone)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_models_of_other_types_are_explained_in_float32(dtype: torch.dtype) -> None:
    images = photos()
    found = ig(SoftplusNet().to(dtype)).attribute(images, target=1)
    assert found.dtype == torch.float32
    expected = ig(SoftplusNet()).attribute(images, target=1)
    assert torch.corrcoef(torch.stack([found.flatten(), expected.flatten()]))[0, 1] > 0.98


def test_the_model_comes_back_as_it_went_in() -> None:
    net = SoftplusNet().train()
    net.head.weight.requires_grad_()
    ig(net).attribute(photos(), target=1)
    assert net.training
    assert net.head.training
    assert net.head.weight.requires_grad
    assert net.head.weight.grad is None
    assert not net._forward_hooks


def test_classes_go_by_number_name_and_tensor() -> None:
    images, net = photos(), SoftplusNet()
    explain = ig(net, categories=["ant", "bee", "cat", "dog", "elk"])
    expected = explain.attribute(images, target=2)
    for target in ("cat", ["cat", "cat"], torch.tensor([2, 2]), torch.tensor(2), np.int64(2), [2, "cat"]):
        assert torch.equal(explain.attribute(images, target=target), expected)
    predicted = net(images).argmax(1)
    assert torch.equal(explain.attribute(images), explain.attribute(images, target=predicted))
    net.config = SimpleNamespace(id2label={0: "a", 1: "b", 2: "c", 3: "d", 4: "e"})
    assert torch.equal(ig(net).attribute(images, target="c"), expected)


def test_an_estimate_tells_what_is_then_paid() -> None:
    explain, images = diffig.DiffIG(SoftplusNet(), "fast"), photos(3)
    estimate = explain.estimate(images)
    explain.attribute(images, target=1)
    assert explain.cost.backward_images == estimate.backward_images == 48
    assert explain.cost.forward_images == pytest.approx(estimate.forward_images, rel=0.1)
    assert estimate.seconds > 0
    assert "3 images: 48 backward" in str(estimate)


@pytest.mark.parametrize("name", ["grad_cam", "guided_backprop", "fullgrad", "gradient"])
def test_methods_that_look_inside_are_estimated_too(name: str) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    assert diffig.explainer(name, net).estimate(photos(1)).backward_images >= 1


def test_results_are_the_same_in_threads_and_beside_a_hydra_of_ones_own(tmp_path: Path) -> None:
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    net, images = SoftplusNet().train(), photos()
    expected = ig(net).attribute(images, target=1)
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        mine = GlobalHydra.instance().hydra
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: ig(net).attribute(images, target=1), range(4)))
        assert GlobalHydra.instance().hydra is mine
    assert all(torch.equal(one, expected) for one in found)
    assert net.training


def test_a_bar_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    images = photos(3)
    shown = ig(SoftplusNet(), progress=True, batch_size=1).attribute(images, target=1)
    torch.testing.assert_close(shown, ig(SoftplusNet()).attribute(images, target=1))
    said = capsys.readouterr().err
    assert "ig" in said
    assert "3 of 3 images" in said


def test_a_bar_comes_to_whoever_waits(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Also on one image; on short calls and where nobody watches there is none."""
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    for patience, images, shown in ((100.0, 3, False), (0.0, 1, True)):
        monkeypatch.setattr("diffig.notebook.progress.PATIENCE", patience)
        ig(SoftplusNet(), batch_size=1).attribute(photos(images), target=1)
        said = capsys.readouterr().err
        assert ("1 of 1 images, 10 through the model" in said) == shown
        assert bool(said) == shown
    monkeypatch.delitem(sys.modules, "ipykernel")
    ig(SoftplusNet()).attribute(photos(1), target=1)
    assert not capsys.readouterr().err


def test_a_repr_says_what_will_happen() -> None:
    text = repr(diffig.DiffIG(SoftplusNet(), "fast", {"mean": MEAN, "std": STD}))
    assert text == (
        "DiffIG(softplusnet, preset='fast', objective='logit', preprocess: mean (0.4, 0.5, 0.6), std (0.2, 0.25, 0.3))"
    )
    assert "steps=8" in repr(ig(SoftplusNet()))
    assert "preprocess: pixels as they are" in repr(ig(SoftplusNet(), torch.nn.Identity()))


ERRORS = {
    "no method": (lambda: diffig.explainer("gigg", SoftplusNet()), "choose one of .*gig, grad_cam"),
    "no preset": (lambda: diffig.DiffIG(SoftplusNet(), "quick"), "preset='quick' is unknown; choose one of"),
    "weights for a preset": (lambda: diffig.DiffIG(SoftplusNet(), torch.nn.Identity()), "as preprocess="),
    "no option": (lambda: ig(SoftplusNet(), stepz=3), "ig takes no 'stepz'; did you mean steps"),
    "no module": (lambda: ig(lambda images: images), "must be a torch.nn.Module"),
    "no preprocessing": (lambda: ig(SoftplusNet(), 3), "preprocess is a int without mean and std"),
    "normalised": (lambda: ig(SoftplusNet()).attribute(photos() * 4 - 2), "looks normalised already.*preprocess="),
    "bytes": (lambda: ig(SoftplusNet()).attribute(photos() * 255), "divide by 255"),
    "no image": (lambda: ig(SoftplusNet()).attribute({"image": 3}), "image is a dict; give a tensor or array"),
    "no file": (lambda: ig(SoftplusNet()).attribute("nowhere.jpg"), "no image at nowhere.jpg"),
    "one number": (lambda: ig(SoftplusNet()).attribute(torch.zeros(4)), r"image has shape \(4,\); give a tensor"),
    "sizes": (lambda: ig(SoftplusNet()).attribute([photos()[0], photos(1, 8)[0]]), "have different sizes"),
    "no class": (lambda: ig(SoftplusNet()).attribute(photos(), target=7), "target=7 is no class; .* 0 to 4"),
    "no name": (lambda: ig(SoftplusNet()).attribute(photos(), target="cat"), "names are not known; give categories"),
    "near name": (
        lambda: ig(SoftplusNet(), categories=["tabby", "dog"]).attribute(photos(), target="taby"),
        "did you mean .*tabby",
    ),
    "odd target": (lambda: ig(SoftplusNet()).attribute(photos(), target=1.5), "target is a float; give a class"),
    "targets": (lambda: ig(SoftplusNet()).attribute(photos(3), target=[1, 2]), "2 targets for 3 images"),
    "batch size": (
        lambda: ig(SoftplusNet()).attribute(photos(), internal_batch_size=4),
        "takes no internal_batch_size in attribute; give chunk_size",
    ),
    "forward args": (
        lambda: ig(SoftplusNet()).attribute(photos(), additional_forward_args=(1,)),
        "wrap the model in a module",
    ),
    "made with": (
        lambda: ig(SoftplusNet()).attribute(photos(), steps=4),
        "ig takes no steps in attribute; give steps=... where the method is made",
    ),
    "made with progress": (
        lambda: ig(SoftplusNet()).attribute(photos(), progress=False),
        "give progress=... where the method is made",
    ),
    "made with credit": (
        lambda: ig(SoftplusNet()).attribute(photos(), credit="agreeing"),
        "give credit=... where the method is made",
    ),
    "no argument": (lambda: ig(SoftplusNet()).attribute(photos(), stepz=4), "ig takes no 'stepz'"),
    "no steps": (lambda: diffig.explainer("gradient", SoftplusNet()).attribute(photos(), n_steps=5), "takes no steps"),
    "dictionary": (
        lambda: ig(Returns(lambda logits: {"a": logits, "b": logits})).attribute(photos()),
        r"dictionary of \['a', 'b'\] and none is called logits",
    ),
    "output": (lambda: ig(Returns(lambda logits: "cat")).attribute(photos()), "returned a str without logits"),
    "no images": (lambda: ig(SoftplusNet()).attribute([]), "image is an empty list; give a tensor"),
    "channels": (
        lambda: ig(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(3))).attribute(photos()[:, :1]),
        r"the model fails on an image of shape \(1, 12, 12\): .*takes 3 channels, and this image has 1",
    ),
    "baseline unknown": (
        lambda: ig(SoftplusNet(), baseline="blurr"),
        "baseline='blurr' is unknown; choose one of black, .* white",
    ),
    "credit unknown": (lambda: ig(SoftplusNet(), credit="agree"), "credit='agree' is unknown; choose one of agreeing"),
    "baseline at call": (
        lambda: ig(SoftplusNet()).attribute(photos(), "blur"),
        "a named baseline belongs where the method is made, baseline='blur'",
    ),
    "seed": (lambda: ig(SoftplusNet(), seed=None), "seed=None must be a whole number"),
    "half a seed": (lambda: ig(SoftplusNet(), seed=1.5), "seed=1.5 must be a whole number"),
    "no batch": (lambda: ig(SoftplusNet(), batch_size=0), "batch_size=0 must be a whole number of at least 1"),
    "odd progress": (lambda: ig(SoftplusNet(), progress="yes"), "progress='yes' is unknown; choose True, False"),
    "odd labels": (lambda: ig(SoftplusNet(), multi_label="yes"), "multi_label='yes' must be True or False"),
    "one category": (lambda: ig(SoftplusNet(), categories="cat"), "categories='cat' must be a list of the classes"),
    "baseline": (lambda: ig(SoftplusNet(), baseline=torch.zeros(3)), "baseline is a Tensor; give a name"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_mistakes_get_one_line_with_what_to_do(kind: str) -> None:
    work, said = ERRORS[kind]
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=said) as caught:
        work()
    assert "\n" not in str(caught.value)


def test_an_image_of_another_size_that_the_model_cannot_take_is_told_by_its_shape() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 10 * 10, 3))
    explain = ig(net)
    explain.attribute(photos(1, 12))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"fails on an image of shape \(3, 13, 13\): .*; give images of the size"):
            explain.attribute(photos(1, 13))


def test_networks_of_a_library_without_their_preprocessing_are_warned_of() -> None:
    from torchvision.models import squeezenet1_1

    with pytest.warns(UserWarning, match="gets pixels in .* as they are.*give preprocess="):
        ig(squeezenet1_1(weights=None))
