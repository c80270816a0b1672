"""Fields as sequences: what networks read in the field space, and that their guidance moves fields."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffig.attribution import FieldDiffIG
from diffig.diffusion.denoisers.dit1d import DiT1DRegressor
from diffig.diffusion.noise import NoiseSchedule
from diffig.method import Guidance
from diffig.method.field.sequence import FieldSequence
from diffig.method.field.space import FieldSpace
from diffig.method.guidance.learned import PathScore
from diffig.method.guidance.learned_guidance import LearnedGuidance
from diffig.paths.basis import LaplacianBasis

SPACE = FieldSpace(LaplacianBasis(3))


def pictures(count: int, channels: int = 3) -> torch.Tensor:
    return torch.rand(count, channels, 16, 16, generator=torch.Generator().manual_seed(0))


def test_a_sequence_holds_a_field_between_its_images() -> None:
    space, images = FieldSequence(SPACE), pictures(2)
    assert space.encode(images).shape == (2, space.dim)
    torch.testing.assert_close(space.encode(images)[0, 0], images[0, 0, :2, :2].mean())
    field = torch.randn(2, *SPACE.shape)
    sequence = space.join(field, space.encode(torch.zeros_like(images)), space.encode(images))
    assert sequence.shape == (2, space.n_segments + 1, space.dim)
    assert torch.equal(space.inner(sequence), field)
    path = space.path(images, torch.zeros_like(images), sequence)
    assert torch.equal(path.points(path.n_segments, path.n_segments + 1)[:, 0], images)
    concentration = torch.full((2,), space.concentration)
    expected = SPACE.path(images, torch.zeros_like(images), SPACE.decode(field, concentration))
    assert torch.equal(path.alpha, expected.alpha)


def test_drawn_sequences_follow_their_distribution() -> None:
    space, images = FieldSequence(SPACE, concentration=4.0, cell_size=1), pictures(1)
    ends = space.encode(torch.zeros_like(images))[0], space.encode(images)[0]
    drawn = torch.stack([space.sequence(*ends, 4.0, np.random.default_rng(k)) for k in range(60)])
    inner = drawn[:, 1:-1].double()
    assert inner.mean().abs() < 0.02
    assert inner.var() == pytest.approx(1, abs=0.05)
    assert torch.equal(drawn[:, -1], ends[1].expand(60, -1))
    again = space.sequence(*ends, 4.0, np.random.default_rng(3))
    assert torch.equal(again, drawn[3])


def test_bad_sequences_are_refused() -> None:
    space = FieldSequence(SPACE)
    with pytest.raises(ValueError, match=r"set latents.concentration to \[1, 1\]"):
        space.sequence(torch.zeros(space.dim), torch.zeros(space.dim), 2.0, np.random.default_rng(0))
    with pytest.raises(ValueError, match="4 channels do not fit a field of 3 bands"):
        space.encode(torch.zeros(1, 4, 16, 16))


class Known(DiT1DRegressor):
    """Says how far the field lies from its line: one number, the same direction everywhere."""

    def forward(
        self, noisy: torch.Tensor, times: torch.Tensor, concentration: torch.Tensor | None = None
    ) -> torch.Tensor:
        return noisy[:, 1:-1].mean((1, 2)) * 100


def network(schedule: NoiseSchedule) -> PathScore:
    return PathScore(
        Known(SPACE.n_segments + 1, FieldSequence(SPACE).dim, width=8, depth=1, heads=1), noise_schedule=schedule
    )


@pytest.mark.parametrize("form", ["posterior_mean", "epsilon"])
def test_learned_guidance_bends_fields(smooth_net: torch.nn.Module, form: str) -> None:
    images, score = pictures(2), network(NoiseSchedule(shift=2.0))
    given = {"basis": LaplacianBasis(3), "guidance": Guidance(), "steps": 8, "sample_steps": 4}

    def progress(strength: float) -> torch.Tensor:
        learned = LearnedGuidance(strength, form=form, faithfulness=score)  # type: ignore[arg-type]
        method = FieldDiffIG(smooth_net, learned=learned, **given)  # type: ignore[arg-type]
        baselines, targets = torch.zeros_like(images), torch.tensor([0, 1])
        return method.field.generate(images, baselines, targets, method.score).alpha.mean()

    assert progress(-5.0) < progress(0.0) - 1e-3
    assert progress(5.0) > progress(0.0) + 1e-3
    learned = LearnedGuidance(2.0, form=form, faithfulness=score)  # type: ignore[arg-type]
    method = FieldDiffIG(smooth_net, learned=learned, **given)  # type: ignore[arg-type]
    assert method.guidance_strengths["lambda_faith"] == 2.0
    together = method.attribute(images, target=1)
    alone = method.attribute(images[1:], target=1, indices=torch.tensor([1]))
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-6)


def test_networks_of_another_noise_are_refused(smooth_net: torch.nn.Module) -> None:
    learned = LearnedGuidance(1.0, faithfulness=network(NoiseSchedule(shift=1.0)))
    with pytest.raises(ValueError, match=r"train it with the same module.noise_schedule"):
        FieldDiffIG(smooth_net, basis=LaplacianBasis(3), learned=learned)
