"""What a user gets wrong, and the one clear message each time."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from diffig.attribution import (
    CoarseToFine,
    FieldDiffIG,
    GradientXInput,
    GuidedIntegratedGradients,
    IntegratedGradients,
    RandomAttribution,
    StickBreakingIntegration,
    aggregate,
    integrate,
)
from diffig.checks import NonFiniteWarning
from diffig.diffusion.denoisers.unet import FieldUNet
from diffig.method import FieldPath, Guidance
from diffig.method.field.prior import FieldPrior
from diffig.method.field.space import FieldSpace
from diffig.paths import GuidedPath, LaplacianBasis, StickBreakingPath, StraightPath
from diffig.scores import ScoreFunction
from oracle.models import Deep, TanhNet, pictures

FIELD = {"basis": LaplacianBasis(2), "steps": 8, "sample_steps": 2}
METHODS = {
    "ig": lambda score: IntegratedGradients(score, steps=4),
    "idgi": lambda score: IntegratedGradients(score, steps=4, rule="idgi"),
    "spi": lambda score: StickBreakingIntegration(score, steps=4, n_paths=2),
    "gig": lambda score: GuidedIntegratedGradients(score, steps=4),
    "coarse_to_fine": lambda score: CoarseToFine(score, steps=8),
    "gradient_x_input": lambda score: GradientXInput(score),
    "field": lambda score: FieldDiffIG(score, guidance=Guidance(), **FIELD),
    "field, guided": lambda score: FieldDiffIG(score, guidance=Guidance(absolute_mass=0.3), **FIELD),
    "field, proposals": lambda score: FieldDiffIG(score, guidance=Guidance(absolute_mass=0.3, proposals=2), **FIELD),
}
IMAGES = pictures(4, dtype=torch.float32)[0]


@pytest.fixture
def net():
    return Deep(dtype=torch.float32)


@pytest.mark.parametrize("make", [*METHODS.values(), RandomAttribution], ids=[*METHODS, "random"])
@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (IMAGES * 3 - 1, ValueError, r"inputs lies in \[-.*\]; pixels must lie in \[0, 1\].*normalisation inside"),
        (IMAGES * 255, ValueError, r"pixels must lie in \[0, 1\]"),
        (IMAGES[0], ValueError, r"inputs has shape \(3, 8, 8\); it must be \(B, C, H, W\): add a batch"),
        (IMAGES[None], ValueError, r"it must be \(B, C, H, W\)"),
        ((IMAGES * 255).to(torch.uint8), TypeError, r"got torch.uint8; convert with x.float\(\) / 255"),
        (IMAGES[:0], ValueError, r"inputs holds no image"),
        (
            IMAGES.numpy(),
            TypeError,
            r"got a NumPy array of float32; .*torch.from_numpy\(x\).float\(\)$",
        ),
        ([[0.5]], TypeError, "floating tensor.*got a list"),
    ],
)
def test_images(net, make, images, error, message):
    with pytest.raises(error, match=message):
        make(net).attribute(images, target=0)


@pytest.mark.parametrize("objective", ["probability", "logit", "log_probability", "margin"])
@pytest.mark.parametrize("target", [5, -1, torch.tensor([0, 1, 9, 2])])
def test_labels_out_of_range(net, target, objective):
    method = IntegratedGradients(ScoreFunction(net, objective), steps=2)
    with pytest.raises(ValueError, match=r"classifier knows the classes 0 to 4; check the labels"):
        method.attribute(IMAGES, target=target)


@pytest.mark.parametrize("target", [torch.tensor([0, 1]), torch.zeros(4), torch.zeros(4, 1, dtype=torch.long), 1.5])
def test_labels_of_another_kind(net, target):
    with pytest.raises(ValueError, match=r"one class index \(int64\) for each of 4 images"):
        IntegratedGradients(net, steps=2).attribute(IMAGES, target=target)


@pytest.mark.parametrize(
    "indices", [torch.tensor([[1, 2, 3, 4]]), torch.arange(3), torch.arange(5), torch.zeros(4), [1, 2, 3, 4]]
)
@pytest.mark.parametrize("make", [StickBreakingIntegration, RandomAttribution, IntegratedGradients])
def test_indices_of_another_kind(net, make, indices):
    with pytest.raises(ValueError, match=r"one dataset index \(int64\) for each of 4 images"):
        make(net).attribute(IMAGES, target=0, indices=indices)


@pytest.mark.parametrize(
    ("baselines", "message"),
    [
        (IMAGES[:2], r"baselines has shape \(2, 3, 8, 8\), the images have \(4, 3, 8, 8\)"),
        (IMAGES[..., :4], r"baselines has shape \(4, 3, 8, 4\)"),
        (IMAGES[:, :1], r"baselines has shape \(4, 1, 8, 8\)"),
        (IMAGES * 2, r"baselines lies in .*pixels must lie in \[0, 1\]"),
        (1.5, "baseline value 1.5 lies outside"),
    ],
)
def test_baselines(net, baselines, message):
    with pytest.raises(ValueError, match=message):
        IntegratedGradients(net, steps=2).attribute(IMAGES, baselines, 0)


def test_one_baseline_serves_all(net):
    one, each = IMAGES[:1], IMAGES[:1].repeat(4, 1, 1, 1)
    method = IntegratedGradients(net, steps=2)
    assert torch.equal(method.attribute(IMAGES, one, 0), method.attribute(IMAGES, each, 0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda net: IntegratedGradients(net, steps=0), "steps=0 must be a whole number of at least 1"),
        (lambda net: IntegratedGradients(net, steps=2.5), "steps=2.5 must be a whole number"),
        (lambda net: StickBreakingIntegration(net, steps=0), "=0 must be a whole number of at least 1"),
        (lambda net: StickBreakingIntegration(net, steps=2, n_paths=0), "n_paths=0 must be"),
        (lambda net: GuidedIntegratedGradients(net, steps=0), "n_segments=0 must be"),
        (lambda net: CoarseToFine(net, steps=0), "steps=0 must be"),
        (lambda net: StraightPath(0), "n_segments=0 must be"),
        (lambda net: GuidedPath(4, fraction=0), r"fraction=0 must lie in \(0, 1\]"),
        (lambda net: GuidedPath(4, max_distance=1.5), r"max_distance=1.5 must lie in \[0, 1\]"),
        (lambda net: StickBreakingPath(4, 0.0), "concentration=0.0 must be positive"),
        (lambda net: StickBreakingPath(4, (20.0, 1.0)), "a range"),
        (lambda net: StickBreakingPath(4, float("inf")), "positive and finite"),
        (lambda net: StickBreakingPath(4, masses=[0.5, 0.5]), "masses .* must be 4 numbers"),
        (lambda net: StickBreakingPath(2, masses=[1.5, -0.5]), "at least 0 that sum to 1"),
        (lambda net: StickBreakingPath(4, channels="both"), "choose separate or shared"),
        (lambda net: StickBreakingPath(4, construction="loop"), "choose exact or truncated"),
        (lambda net: LaplacianBasis(0), "basis.n_bands=0"),
        (lambda net: FieldSpace(n_segments=1), "n_segments=1 must be"),
        (lambda net: ScoreFunction(net, chunk_size=0), "chunk_size=0 must be at least 1"),
        (lambda net: Guidance(absolute_mass=float("nan")), "guidance.absolute_mass=nan must be a finite number"),
        (lambda net: Guidance(start=0.5, stop=0.2), "0 <= start < stop <= 1"),
        (lambda net: Guidance(gradients=0), "guidance.gradients=0"),
        (lambda net: Guidance(proposals=0), "guidance.proposals=0"),
    ],
)
def test_numbers_that_make_no_sense(net, make, message):
    with pytest.raises(ValueError, match=message):
        make(net)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda net: ScoreFunction(net, "probabilities"),
            r"objective='probabilities'.*'probability', 'logit', 'log_probability', 'margin'",
        ),
        (
            lambda net: IntegratedGradients(net, rule="simpson").attribute(IMAGES),
            "rule='simpson'.*'left', 'right', 'midpoint', 'trapezoid', 'idgi'",
        ),
        (
            lambda net: IntegratedGradients(net, nodes="even").attribute(IMAGES),
            "nodes='even'.*'uniform', 'score', 'arc_length'",
        ),
        (
            lambda net: StickBreakingIntegration(net, steps=2, n_paths=2, aggregation="max").attribute(IMAGES),
            "aggregation='max'.*'mean', 'median', 'variance_weighted', 'spi_p', 'consensus', 'best_of'",
        ),
        (lambda net: aggregate(IMAGES[None], "best_of"), "best_of needs"),
        (lambda net: Guidance(units=("voxel",)), r"\['voxel'\] must name some of \['element', 'pixel'\]"),
    ],
)
def test_unknown_names_list_the_choices(net, call, message):
    with pytest.raises(ValueError, match=message):
        call(net)


def test_a_classifier_that_returns_no_logits():
    with pytest.raises(ValueError, match=r"returned shape \(8, 3, 8, 8\); logits of shape \(B, K\)"):
        IntegratedGradients(nn.Identity(), steps=2).attribute(IMAGES, target=0)


def test_targets_of_another_batch_than_the_paths():
    path = StraightPath(2).generate(
        IMAGES, torch.zeros_like(IMAGES), torch.zeros(4, dtype=torch.long), ScoreFunction(TanhNet())
    )
    with pytest.raises(ValueError, match="holds 4 paths"):
        integrate(path, ScoreFunction(TanhNet(dtype=torch.float32)), torch.zeros(3, dtype=torch.long))


class Fragile(nn.Module):
    """Fails on images whose first pixel is bright: the score is NaN or infinite, and so is its gradient."""

    def __init__(self, how):
        super().__init__()
        self.net, self.how, self.limit = TanhNet(), how, 0.8

    def forward(self, images):
        spoilt = (images[:, 0, 0, 0] > self.limit).to(images)[:, None]
        return self.net(images) + torch.where(spoilt > 0, self.how, 0.0) * images.flatten(1).sum(1, keepdim=True)


@pytest.mark.parametrize("how", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", METHODS)
def test_one_bad_image_is_named_and_leaves_the_others_alone(name, how):
    images, _ = pictures(4)
    images[:, 0, 0, 0] = torch.tensor([0.1, 0.2, 0.99, 0.3], dtype=torch.float64)
    indices = torch.tensor([40, 41, 42, 43])
    net = Fragile(how)
    method = METHODS[name](ScoreFunction(net, "logit"))
    with pytest.warns(NonFiniteWarning, match=r"image \[42\] is NaN or infinite"):
        found = method.explain(images, target=1, indices=indices)
    for value in found:
        assert value[2].isnan().all()
        assert value[[0, 1, 3]].isfinite().all()
    kept = torch.tensor([0, 1, 3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = method.explain(images[kept], target=1, indices=indices[kept])
    scale = alone.attribution.abs().max()
    torch.testing.assert_close(found.attribution[kept], alone.attribution, rtol=0, atol=2e-5 * scale.item())


def test_a_score_that_fails_only_at_the_image_is_told():
    """The nodes of the midpoint rule all lie before the image: the gradients are fine, the end is not."""
    images, _ = pictures(2)
    images[:, 0, 0, 0] = torch.tensor([0.1, 0.81], dtype=torch.float64)
    with pytest.warns(NonFiniteWarning, match=r"image \[1\]"):
        found = IntegratedGradients(ScoreFunction(Fragile(float("nan")), "logit"), steps=4).explain(images, target=0)
    assert found.attribution[1].isnan().all()
    assert found.gap[1].isnan()


def test_nan_pixels_are_told_too(net):
    images = IMAGES.clone()
    images[1, 0, 3, 3] = torch.nan
    with pytest.warns(NonFiniteWarning, match=r"\[1\]"):
        found = IntegratedGradients(net, steps=2).attribute(images, target=0)
    assert found[[0, 2, 3]].isfinite().all()


@pytest.mark.parametrize("shape", [(4, 8, 8), (4, 3, 8, 8), (4, 1, 4, 8), (1, 1, 8, 8)])
def test_region_of_another_size(net, shape):
    method = FieldDiffIG(net, guidance=Guidance(region=0.3), **FIELD)
    with pytest.raises(ValueError, match=r"region has shape .*must be \(4, 1, 8, 8\)"):
        method.explain(IMAGES, target=0, region=torch.ones(shape))


def test_region_guidance_without_a_region(net):
    with pytest.raises(ValueError, match="no region is given"):
        FieldDiffIG(net, guidance=Guidance(region=0.3), **FIELD).explain(IMAGES, target=0)


@pytest.mark.parametrize(
    ("guidance", "steps"),
    [
        (Guidance(absolute_mass=0.1, gradients=4, stop=1.0), 40),
        (Guidance(absolute_mass=0.1, gradients=2, proposals=4), 40),
        (Guidance(proposals=9), 8),
    ],
)
def test_steps_that_do_not_pay_for_guidance(net, guidance, steps):
    with pytest.raises(ValueError, match=rf"steps={steps} backward images do not pay for.*raise steps"):
        FieldDiffIG(net, steps=steps, sample_steps=10, guidance=guidance)


def test_the_steps_that_the_message_asks_for_are_enough(net):
    guidance = Guidance(absolute_mass=0.1, gradients=2, proposals=3)
    with pytest.raises(ValueError) as caught:
        FieldDiffIG(net, steps=10, sample_steps=4, guidance=guidance)
    enough = int(str(caught.value).split("raise steps above ")[1].split(",")[0]) + 1
    FieldDiffIG(net, steps=enough, sample_steps=4, guidance=guidance)
    with pytest.raises(ValueError, match="do not pay"):
        FieldDiffIG(net, steps=enough - 1, sample_steps=4, guidance=guidance)


def tiny_prior():
    return FieldPrior(FieldUNet(4, (4, 4), (8, 8)))


def test_a_missing_prior(net, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no prior at .*nowhere.safetensors; train one with `diffig-train"):
        FieldDiffIG(net, prior=tmp_path / "nowhere.safetensors")


def test_a_truncated_prior(tmp_path):
    file = tmp_path / "cut.safetensors"
    tiny_prior().save(file)
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"is no prior \(.*train one with"):
        FieldPrior.load(file)


def test_a_file_that_is_no_prior(tmp_path):
    from safetensors.torch import save_file

    file = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, file)
    with pytest.raises(ValueError, match=r"is no prior \(.*train one with"):
        FieldPrior.load(file)
    text = tmp_path / "text.safetensors"
    text.write_text("not weights at all")
    with pytest.raises(ValueError, match=r"is no prior \(.*train one with"):
        FieldPrior.load(text)


@pytest.mark.parametrize("told", [{"layers": 2}, {"depth": 3}, {"channels": [8, 16]}])
def test_weights_of_another_architecture(tmp_path, told):
    prior = tiny_prior()
    prior.denoiser.config.update(told)
    prior.save(tmp_path / "odd.safetensors")
    with pytest.raises(ValueError, match="no prior that this version can read"):
        FieldPrior.load(tmp_path / "odd.safetensors")


def test_segments_of_another_prior(net):
    with pytest.raises(ValueError, match=r"trained for 4 segments and the space has 16; set n_segments=4 or train"):
        FieldPath(FieldSpace(), tiny_prior())
