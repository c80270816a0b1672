"""A film shows the path that a method goes, and its last picture of the credit is the method's own map."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

import diffig
from diffig.explain.tracks import coloured, credit_tracks
from oracle.models import SoftplusNet


@pytest.fixture
def image() -> Tensor:
    return torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("credit", ["riemann", "proportional", "agreeing", "idgi", "left", "right", "trapezoid"])
def test_credit_adds_up_to_the_map_of_the_method(image: Tensor, credit: str) -> None:
    method = diffig.IntegratedGradients(SoftplusNet(), steps=12, credit=credit)
    maps, gap = method.attribute(image, target=2, return_convergence_delta=True)
    path, so_far = credit_tracks(method, image, 2, "ig", 13)
    torch.testing.assert_close(so_far.images[-1:], coloured(maps))
    torch.testing.assert_close(so_far.values[-1] - path.values[-1], gap[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(path.images[6], image[0] / 2)


def test_a_film_of_two_methods(image: Tensor, tmp_path: Path) -> None:
    net = SoftplusNet()
    found = diffig.film([diffig.explainer(name, net) for name in ("ig", "diffig_field")], image[0], 1, frames=5)
    assert [track.title.split(":")[0] for track in found.tracks] == ["ig", "ig", "diffig_field", "diffig_field"]
    straight, bent = found.tracks[0].images, found.tracks[2].images
    for track in (straight, bent):
        assert not track[0].any()
        assert torch.equal(track[-1], image[0])
    assert (straight[2] - bent[2]).abs().max() > 0.02
    assert Image.open(io.BytesIO(found.gif)).n_frames == 5
    assert found._repr_html_().startswith('<img alt="film of ig: path')
    assert found.save(tmp_path / "path.gif").read_bytes() == found.gif


def test_a_notebook_keeps_its_backend(image: Tensor) -> None:
    import matplotlib

    before = matplotlib.get_backend()
    matplotlib.use("svg")
    try:
        diffig.film(diffig.explainer("ig", SoftplusNet()), image, 1, frames=2)
        assert matplotlib.get_backend() == "svg"
    finally:
        matplotlib.use(before)


def test_a_multi_label_head_is_filmed_by_its_sigmoid(image: Tensor) -> None:
    net = SoftplusNet()
    found = diffig.film({"mine": diffig.explainer("ig", net, multi_label=True)}, image, 2, frames=2)
    torch.testing.assert_close(found.tracks[0].values[-1], net(image)[0, 2].sigmoid())


def test_mistakes_are_told(image: Tensor) -> None:
    net = SoftplusNet()
    with pytest.raises(ValueError, match="gradient goes no path that a film could show; choose another"):
        diffig.film(diffig.explainer("gradient", net), image)
    with pytest.raises(ValueError, match="image holds 2 images; a film shows one"):
        diffig.film(diffig.explainer("ig", net), image.expand(2, -1, -1, -1))
    with pytest.raises(ValueError, match="frames"):
        diffig.film(diffig.explainer("ig", net), image, frames=1)
    with pytest.raises(ValueError, match="there is no method to show"):
        diffig.film([], image)
