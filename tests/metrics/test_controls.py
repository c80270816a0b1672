"""Controls: maps that can be written down, and what metrics say of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diffig.attribution import CentreGaussian, ConstantAttribution, InputMagnitude, Sobel
from diffig.scores import ScoreFunction
from oracle.models import Deep, pictures


def explained_by(control, images):
    return control.explain(images, target=0)


def test_sobel_equals_the_loop_and_borders_are_repeated() -> None:
    images, _ = pictures(2, channels=2, height=5, width=6)
    found = explained_by(Sobel(Deep(channels=2)), images).attribution.numpy()
    for row in range(2):
        for channel in range(2):
            plane = np.pad(images[row, channel].numpy(), 1, mode="edge")
            for y in range(5):
                for x in range(6):
                    a = plane[y : y + 3, x : x + 3]
                    across = a[0, 2] + 2 * a[1, 2] + a[2, 2] - a[0, 0] - 2 * a[1, 0] - a[2, 0]
                    down = a[2, 0] + 2 * a[2, 1] + a[2, 2] - a[0, 0] - 2 * a[0, 1] - a[0, 2]
                    assert found[row, channel, y, x] == pytest.approx(math.hypot(across, down), abs=1e-12)


def test_input_magnitude_and_constant_are_what_they_say() -> None:
    images, _ = pictures(2)
    assert torch.equal(explained_by(InputMagnitude(Deep()), images).attribution, images)
    assert torch.equal(explained_by(ConstantAttribution(Deep()), images).attribution, torch.ones_like(images))


def test_the_bump_is_symmetric_and_as_wide_as_it_says() -> None:
    images, _ = pictures(1, height=9, width=17)
    found = explained_by(CentreGaussian(Deep(), width=0.5), images).attribution[0, 0]
    assert found[4, 8] == found.max() == 1
    assert torch.equal(found, found.flip(0))
    assert torch.equal(found, found.flip(1))
    assert found[0, 8] == pytest.approx(math.exp(-((4 / 4.5) ** 2) / 2))
    assert found[4, 0] == pytest.approx(math.exp(-((8 / 8.5) ** 2) / 2))
    with pytest.raises(ValueError, match="width=0 must be above 0"):
        CentreGaussian(Deep(), width=0)


@pytest.mark.parametrize("control", [ConstantAttribution, InputMagnitude, Sobel, CentreGaussian])
def test_controls_claim_no_completeness_and_ask_nothing(control) -> None:
    images, _ = pictures(2)
    score = ScoreFunction(Deep())
    method = control(score)
    found = explained_by(method, images)
    assert found.gap.isnan().all()
    assert found.absolute_mass.isnan().all()
    assert not method.multiplies_by_inputs
    assert score.cost == (0, 0)
