"""Figures say what they clip and hide, and share one scale where maps are compared."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

import diffig
from diffig.notebook.plots import top_of


def scales(figure) -> list[tuple[float, float]]:
    return [axis.images[-1].get_clim() for axis in figure.axes[1:] if axis.images]


def maps() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    image = torch.rand(3, 10, 20, generator=torch.Generator().manual_seed(0))
    small = torch.linspace(-1, 1, 200).view(1, 10, 20) / 3
    return image, {"small": small.expand(3, -1, -1), "large": 5 * small.expand(3, -1, -1)}


def test_maps_that_are_compared_share_one_scale() -> None:
    image, both = maps()
    figure = diffig.compare(image, both, clip=0)
    assert scales(figure) == [(-5.0, 5.0)] * 2
    assert scales(diffig.compare(image, both, clip=0, shared=False)) == [(-1.0, 1.0), (-5.0, 5.0)]
    assert "one scale of colours for all maps" in figure.get_supxlabel()
    assert "largest" not in figure.get_supxlabel()


def test_outliers_are_clipped_and_the_caption_says_so() -> None:
    image, _ = maps()
    heat = torch.full((10, 20), 0.1)
    heat[0, :2] = 100.0
    figure = diffig.plot(image, heat, title="mine")
    assert scales(figure) == [pytest.approx((-0.1, 0.1))]
    assert "the colours end before the largest 1 % of pixels" in figure.get_supxlabel()
    assert figure.axes[1].get_title() == "mine"


@pytest.mark.parametrize(("sign", "low"), [("signed", -1.0), ("absolute", 0.0), ("positive", 0.0)])
def test_signs_are_shown_or_not(sign: str, low: float) -> None:
    image, both = maps()
    figure = diffig.plot(image, both["small"], sign=sign, clip=0, overlay=0.4)
    assert scales(figure) == [(low, pytest.approx(1.0))]
    values = figure.axes[1].images[-1].get_array()
    assert (values.min() < 0) == (sign == "signed")
    assert len(figure.axes[1].images) == 2


def test_images_and_maps_of_any_layout_are_shown() -> None:
    image, both = maps()
    rows = image.permute(1, 2, 0).numpy()
    picture = Image.fromarray((rows * 255).astype("uint8"))
    for shown in (image, image[None], rows, picture):
        for heat in (both["large"], both["large"][None], both["large"].permute(1, 2, 0).numpy(), both["large"].sum(0)):
            figure = diffig.plot(shown, heat, clip=0)
            assert scales(figure) == [pytest.approx((-5.0, 5.0))]
    assert diffig.plot(image[:1], both["large"])._repr_png_().startswith(b"\x89PNG")


def test_a_map_without_values_has_a_scale_too() -> None:
    assert top_of([torch.zeros(4, 4)], 0.01) == 1.0
    assert top_of([torch.full((4, 4), torch.nan)], 0.01) == 1.0


def test_pixels_without_a_value_are_blank_and_counted() -> None:
    image, both = maps()
    holes = both["small"].clone()
    holes[:, 0, :10] = torch.nan
    assert "5 % of pixels are no number" in diffig.compare(image, {**both, "holes": holes}).get_supxlabel()
    assert "no number" not in diffig.compare(image, both).get_supxlabel()


def test_mistakes_are_told() -> None:
    image, both = maps()
    for work, said in (
        (lambda: diffig.plot(image, torch.zeros(3, 8, 8)), "explain.picture"),
        (lambda: diffig.compare(image, {}), "no map to show"),
        (lambda: diffig.plot(torch.rand(2, 3, 10, 20), both["small"]), "one at a time"),
        (lambda: diffig.plot(image, both["small"], sign="both"), "sign='both' is unknown"),
        (lambda: diffig.plot(image, both["small"], overlay=2), "overlay=2 must be"),
    ):
        with pytest.raises(ValueError, match=said):
            work()
