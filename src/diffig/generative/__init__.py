"""Generative networks: the autoencoder that gives paths a space to live in, and a diffusion model of images."""

from diffig.generative.autoencoder import Autoencoder
from diffig.generative.counterfactual import Counterfactual, CounterfactualSearch
from diffig.generative.image_diffusion import ImageDiffusion
from diffig.generative.image_diffusion_training import ImageDiffusionTraining
from diffig.generative.training import AutoencoderTraining

__all__ = [
    "Autoencoder",
    "AutoencoderTraining",
    "Counterfactual",
    "CounterfactualSearch",
    "ImageDiffusion",
    "ImageDiffusionTraining",
]
