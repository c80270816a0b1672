"""What the root offers: the one list that type checkers, editors and `diffig` itself read."""

from . import (
    attribution as attribution,
    baselines as baselines,
    classifiers as classifiers,
    config as config,
    credit as credit,
    data as data,
    diffusion as diffusion,
    evaluation as evaluation,
    generative as generative,
    guidance as guidance,
    integration as integration,
    method as method,
    metrics as metrics,
    paths as paths,
    randomness as randomness,
    scores as scores,
)
from .attribution import (
    IDGI as IDGI,
    IG2 as IG2,
    LRP as LRP,
    SAMP as SAMP,
    AdversarialGradientIntegration as AdversarialGradientIntegration,
    Attributor as Attributor,
    BlurIG as BlurIG,
    CentreGaussian as CentreGaussian,
    CoarseToFine as CoarseToFine,
    ConstantAttribution as ConstantAttribution,
    DDPath as DDPath,
    DeepTaylor as DeepTaylor,
    EnhancedIntegratedGradients as EnhancedIntegratedGradients,
    ExpectedGradients as ExpectedGradients,
    FieldDiffIG as FieldDiffIG,
    FreeMCG as FreeMCG,
    FRInGe as FRInGe,
    FullGrad as FullGrad,
    GeodesicIG as GeodesicIG,
    GradCAM as GradCAM,
    Gradient as Gradient,
    GradientXInput as GradientXInput,
    GuidedBackprop as GuidedBackprop,
    GuidedGradCAM as GuidedGradCAM,
    GuidedIntegratedGradients as GuidedIntegratedGradients,
    InputMagnitude as InputMagnitude,
    Integral as Integral,
    IntegratedDecisionGradients as IntegratedDecisionGradients,
    IntegratedGradients as IntegratedGradients,
    LatentDiffIG as LatentDiffIG,
    LocalPathIntegration as LocalPathIntegration,
    ManifoldGuidedIG as ManifoldGuidedIG,
    ManifoldIntegratedGradients as ManifoldIntegratedGradients,
    PathAttributor as PathAttributor,
    PathWeightedIG as PathWeightedIG,
    RandomAttribution as RandomAttribution,
    RectGrad as RectGrad,
    RevealIG as RevealIG,
    SAMPPlusPlus as SAMPPlusPlus,
    SmoothGrad as SmoothGrad,
    Sobel as Sobel,
    SpectralIG as SpectralIG,
    SplitIG as SplitIG,
    StickBreakingIntegration as StickBreakingIntegration,
    aggregate as aggregate,
    integrate as integrate,
)
from .baselines import (
    Baseline as Baseline,
)
from .classifiers import (
    Classifier as Classifier,
    load_weights as load_weights,
)
from .config import (
    compose as compose,
    from_config as from_config,
    methods as methods,
)
from .credit import (
    Credit as Credit,
)
from .generative import (
    Autoencoder as Autoencoder,
    Counterfactual as Counterfactual,
    CounterfactualSearch as CounterfactualSearch,
    ImageDiffusion as ImageDiffusion,
)
from .method import (
    Guidance as Guidance,
)
from .method.field.prior import (
    FieldPrior as FieldPrior,
)
from .method.latent.prior import (
    LatentPrior as LatentPrior,
)
from .metrics import (
    Explained as Explained,
    Metric as Metric,
    MetricSuite as MetricSuite,
)
from .notebook.by_name import (
    DiffIG as DiffIG,
    explainer as explainer,
)
from .notebook.film import (
    Film as Film,
    film as film,
)
from .notebook.measure import (
    evaluate as evaluate,
)
from .notebook.plots import (
    compare as compare,
    plot as plot,
)
from .randomness import (
    Streams as Streams,
)
from .report.of_rows import (
    report as report,
)
from .scores import (
    Cost as Cost,
    ScoreFunction as ScoreFunction,
)
from .version import __version__ as __version__
