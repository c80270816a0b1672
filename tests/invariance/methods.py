"""Every method in one or more settings, small enough for six images of 8 x 8; `RANDOM` names those with a seed."""

from __future__ import annotations

import torch

from diffig.attribution import (
    CoarseToFine,
    FieldDiffIG,
    GradientXInput,
    GuidedIntegratedGradients,
    IntegratedGradients,
    RandomAttribution,
    StickBreakingIntegration,
)
from diffig.baselines import Average, Blur, Constant, Dataset, Gaussian, Uniform
from diffig.guidance import Guidance
from diffig.paths import LaplacianBasis

BANK = torch.rand(7, 3, 8, 8, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


def field(**options):
    guidance = Guidance(nodes=2, **options.pop("guidance", {}))
    given = {"basis": LaplacianBasis(3), "steps": 10, "sample_steps": 2, "guidance": guidance, **options}
    return lambda score, seed=0: FieldDiffIG(score, seed=seed, **given)


def ig(baseline):
    return lambda score, seed=0: IntegratedGradients(score, baseline, seed, steps=6)


METHODS = {
    "ig, black": ig(Constant(0.0)),
    "ig, blur": ig(Blur()),
    "ig, uniform": ig(Uniform(2)),
    "ig, gaussian": ig(Gaussian()),
    "ig, dataset": ig(Dataset(BANK, 3)),
    "ig, black_white": ig(Average([Constant(0.0), Constant(1.0)])),
    "ig, idgi": lambda score, seed=0: IntegratedGradients(score, steps=6, rule="idgi", nodes="score"),
    "spi": lambda score, seed=0: StickBreakingIntegration(score, seed=seed, steps=6, n_paths=3),
    "spi, median": lambda score, seed=0: StickBreakingIntegration(
        score, seed=seed, steps=6, n_paths=3, cell_size=2, aggregation="median"
    ),
    "gig": lambda score, seed=0: GuidedIntegratedGradients(score, steps=6),
    "coarse_to_fine": lambda score, seed=0: CoarseToFine(score, steps=20),
    "gradient_x_input": lambda score, seed=0: GradientXInput(score),
    "random": lambda score, seed=0: RandomAttribution(score, seed=seed),
    "field": field(),
    "field, three paths": field(n_paths=3, concentration=(1.0, 20.0)),
    "field, faithfulness": field(guidance={"faithfulness": 0.5}),
    "field, waste": field(guidance={"waste": 0.5}, n_paths=2, aggregation="best_of"),
    "field, complexity": field(guidance={"complexity": 0.5}),
    "field, smoothness": field(guidance={"smoothness": 0.5}),
    "field, proposals": field(guidance={"proposals": 3}),
    "field, guided proposals": field(guidance={"waste": 0.3, "proposals": 2}, n_paths=2, aggregation="best_mixture"),
    "field, region": field(guidance={"region": 0.5}),
}
RANDOM = [
    name
    for name in METHODS
    if name.startswith(("spi", "random", "field")) or name in ("ig, uniform", "ig, gaussian", "ig, dataset")
]

# Methods that need another network than `Deep` (ReLUs, a feature layer): the start of their name, and what makes it.
NETS: dict = {}
# Methods that differentiate the classifier twice (the start of their name).
SECOND_ORDER: tuple[str, ...] = ("fringe",)
# Methods with a network of their own that runs in float32.
FLOAT32 = ("field",)
