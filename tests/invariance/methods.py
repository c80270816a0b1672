"""Every method in one or more settings, small enough for six images of 8 x 8; `RANDOM` names those with a seed."""

from __future__ import annotations

import torch

from diffig.attribution import (
    IDGI,
    IG2,
    LRP,
    SAMP,
    AdversarialGradientIntegration,
    BlurIG,
    CentreGaussian,
    CoarseToFine,
    ConstantAttribution,
    DDPath,
    DeepTaylor,
    EnhancedIntegratedGradients,
    ExpectedGradients,
    FieldDiffIG,
    FreeMCG,
    FRInGe,
    FullGrad,
    GeodesicIG,
    GradCAM,
    Gradient,
    GradientXInput,
    GuidedBackprop,
    GuidedGradCAM,
    GuidedIntegratedGradients,
    InputMagnitude,
    IntegratedDecisionGradients,
    IntegratedGradients,
    LocalPathIntegration,
    ManifoldGuidedIG,
    ManifoldIntegratedGradients,
    PathWeightedIG,
    RandomAttribution,
    RectGrad,
    RevealIG,
    SAMPPlusPlus,
    SmoothGrad,
    Sobel,
    SpectralIG,
    SplitIG,
    StickBreakingIntegration,
)
from diffig.baselines import Average, Blur, Constant, Dataset, Gaussian, Uniform
from diffig.method import Guidance
from diffig.paths import GuidedPath, LaplacianBasis, StickBreakingPath
from oracle.codecs import Lossy
from oracle.denoisers import GaussianDenoiser
from oracle.models import ReLUNet

BANK = torch.rand(7, 3, 8, 8, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


def field(**options):
    guidance = Guidance(gradients=2, **options.pop("guidance", {}))
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
    "left_ig": lambda score, seed=0: SplitIG(score, steps=6, phi=0.5),
    "split_ig, right, last": lambda score, seed=0: SplitIG(score, part="right", crossing="last", steps=6, phi=0.5),
    "split_ig, full": lambda score, seed=0: SplitIG(score, part="full", steps=6, rule="right"),
    "path_weighted_ig": lambda score, seed=0: PathWeightedIG(score, steps=6, p=2.0, q=0.5),
    "path_weighted_ig, sampled": lambda score, seed=0: PathWeightedIG(score, steps=6, sampled=True),
    "idg": lambda score, seed=0: IntegratedDecisionGradients(score, steps=6),
    "idg, released": lambda score, seed=0: IntegratedDecisionGradients(score, steps=6, probes=9, as_released=True),
    "idgi": lambda score, seed=0: IDGI(score, steps=6),
    "idgi, guided": lambda score, seed=0: IDGI(score, GuidedPath(4), steps=4),
    "idgi, stick-breaking": lambda score, seed=0: IDGI(score, StickBreakingPath(), seed=seed, steps=4, n_paths=2),
    "expected_gradients": lambda score, seed=0: ExpectedGradients(score, seed=seed, references=Dataset(BANK), steps=6),
    "expected_gradients, stratified": lambda score, seed=0: ExpectedGradients(
        score, seed=seed, references=Dataset(BANK), steps=6, stratified=True
    ),
    "lpi": lambda score, seed=0: LocalPathIntegration(
        score, seed=seed, references=Dataset(BANK), steps=6, n_clusters=3, n_nearest=2
    ),
    "gradient": lambda score, seed=0: Gradient(score),
    "smoothgrad": lambda score, seed=0: SmoothGrad(score, seed=seed, steps=6),
    "smoothgrad_squared": lambda score, seed=0: SmoothGrad(score, seed=seed, steps=6, squared=True, times_input=True),
    "smoothgrad, adaptive": lambda score, seed=0: SmoothGrad(score, seed=seed, steps=6, adaptive=True),
    "spi": lambda score, seed=0: StickBreakingIntegration(score, seed=seed, steps=6, n_paths=3),
    "spi, median": lambda score, seed=0: StickBreakingIntegration(
        score, seed=seed, steps=6, n_paths=3, cell_size=2, aggregation="median"
    ),
    "gig": lambda score, seed=0: GuidedIntegratedGradients(score, steps=6),
    "agi": lambda score, seed=0: AdversarialGradientIntegration(score, n_classes=3, max_steps=4),
    "agi, released": lambda score, seed=0: AdversarialGradientIntegration(
        score, n_classes=3, max_steps=3, as_released=True
    ),
    "ig2": lambda score, seed=0: IG2(score, seed=seed, references=Dataset(BANK), n_references=2, steps=8),
    "ig2, released": lambda score, seed=0: IG2(
        score, seed=seed, references=Dataset(BANK), n_references=2, steps=8, as_released=True
    ),
    "fringe": lambda score, seed=0: FRInGe(score, divergence=0.3, max_steps=2, radius=0.1, cg_iterations=3),
    "geodesic_ig": lambda score, seed=0: GeodesicIG(score, steps=12, iterations=3),
    "coarse_to_fine": lambda score, seed=0: CoarseToFine(score, steps=20),
    "ddpath": lambda score, seed=0: DDPath(score, seed=seed, diffusion=GaussianDenoiser(), sample_steps=3, steps=6),
    "ddpath, ancestral": lambda score, seed=0: DDPath(
        score, seed=seed, diffusion=GaussianDenoiser(), sample_steps=3, steps=4, omega=0.0, eta=1.0, n_paths=2
    ),
    "free_mcg": lambda score, seed=0: FreeMCG(score, seed=seed, diffusion=GaussianDenoiser(), n_particles=8),
    "free_mcg, per particle": lambda score, seed=0: FreeMCG(
        score, seed=seed, diffusion=GaussianDenoiser(), n_particles=4, noise=[0.4, 0.8], per_particle=True
    ),
    "blur_ig": lambda score, seed=0: BlurIG(score, steps=6),
    "blur_ig, reflect": lambda score, seed=0: BlurIG(
        score, steps=6, sigma_max=3, reference_side=None, padding="reflect", spacing="sqrt", nodes="score"
    ),
    "blur_ig, idgi": lambda score, seed=0: BlurIG(score, steps=6, rule="idgi"),
    "spectral_ig": lambda score, seed=0: SpectralIG(score, steps=6),
    "spectral_ig, joint": lambda score, seed=0: SpectralIG(score, steps=6, basis="svd_joint", gate="sigmoid"),
    "spectral_ig, dct": lambda score, seed=0: SpectralIG(score, steps=6, basis="dct", gate="cosine", nodes="score"),
    "spectral_ig, haar": lambda score, seed=0: SpectralIG(score, steps=6, basis="haar", gate="step", overlap=0.1),
    "samp": lambda score, seed=0: SAMP(score, steps=12),
    "samp, blur": lambda score, seed=0: SAMP(score, pixels_per_step=10, fragments=4, insertion_from=Blur()),
    "samp_pp": lambda score, seed=0: SAMPPlusPlus(score, steps=12),
    "reveal_ig": lambda score, seed=0: RevealIG(score, seed=seed, steps=6, samples=2, probes=3),
    "reveal_ig, antithetic": lambda score, seed=0: RevealIG(
        score, Uniform(2), seed, steps=6, samples=2, probes=3, antithetic=True
    ),
    "eig": lambda score, seed=0: EnhancedIntegratedGradients(score, seed=seed, autoencoder=Lossy(), steps=6),
    "eig, decoded": lambda score, seed=0: EnhancedIntegratedGradients(
        score, autoencoder=Lossy(), steps=6, ends="decoded", rule="idgi"
    ),
    "mig": lambda score, seed=0: ManifoldIntegratedGradients(
        score, autoencoder=Lossy(), steps=6, n_segments=4, sweeps=3, ends="residual"
    ),
    "mig, released": lambda score, seed=0: ManifoldIntegratedGradients(
        score, autoencoder=Lossy(), steps=6, n_segments=4, sweeps=2, sweep="gauss_seidel", as_released=True
    ),
    "ma_gig": lambda score, seed=0: ManifoldGuidedIG(score, seed=seed, autoencoder=Lossy(), steps=6),
    "ma_gig, slerp": lambda score, seed=0: ManifoldGuidedIG(
        score, autoencoder=Lossy(), steps=6, partial="slerp", ends="decoded"
    ),
    "gradient_x_input": lambda score, seed=0: GradientXInput(score),
    "guided_backprop": lambda score, seed=0: GuidedBackprop(score, seed=seed),
    "rectgrad": lambda score, seed=0: RectGrad(score, percentile=60),
    "lrp": lambda score, seed=0: LRP(score),
    "lrp, box": lambda score, seed=0: LRP(score, composite="epsilon_gamma_box"),
    "deep_taylor": lambda score, seed=0: DeepTaylor(score),
    "grad_cam": lambda score, seed=0: GradCAM(score),
    "guided_grad_cam": lambda score, seed=0: GuidedGradCAM(score),
    "fullgrad": lambda score, seed=0: FullGrad(score),
    "random": lambda score, seed=0: RandomAttribution(score, seed=seed),
    "constant": lambda score, seed=0: ConstantAttribution(score, seed=seed),
    "sobel": lambda score, seed=0: Sobel(score, seed=seed),
    "input_magnitude": lambda score, seed=0: InputMagnitude(score, seed=seed),
    "centre_gaussian": lambda score, seed=0: CentreGaussian(score, seed=seed),
    "field": field(),
    "field, three paths": field(n_paths=3, concentration=(1.0, 20.0)),
    "field, faithfulness": field(guidance={"faithfulness": 0.5}),
    "field, mass": field(guidance={"absolute_mass": 0.5}, n_paths=2, aggregation="best_of"),
    "field, complexity": field(guidance={"complexity": 0.5}),
    "field, smoothness": field(guidance={"smoothness": 0.5}),
    "field, proposals": field(guidance={"proposals": 3}),
    "field, guided proposals": field(
        guidance={"absolute_mass": 0.3, "proposals": 2}, n_paths=2, aggregation="best_mixture"
    ),
    "field, region": field(guidance={"region": 0.5}),
}
RANDOM = [
    name
    for name in METHODS
    if name.startswith(
        (
            "spi",
            "random",
            "field",
            "smoothgrad",
            "expected_gradients",
            "lpi",
            "idgi, stick",
            "ddpath",
            "free_mcg",
            "reveal_ig",
            "ig2",
        )
    )
    or name in ("ig, uniform", "ig, gaussian", "ig, dataset")
]

# Methods that draw from `BANK`, whose images have one size (the start of their name).
BANKED = ("ig, dataset", "expected_gradients", "lpi", "ig2")
# Methods that need another network than `Deep` (ReLUs, a feature layer): the start of their name, and what makes it.
NETS: dict = {
    **dict.fromkeys(
        ("guided_backprop", "rectgrad", "lrp", "deep_taylor", "grad_cam", "guided_grad_cam", "fullgrad"), ReLUNet
    ),
}
# Methods that differentiate the classifier twice (the start of their name).
SECOND_ORDER: tuple[str, ...] = ("fringe",)
# Methods with a network of their own that runs in float32.
FLOAT32 = ("field",)
