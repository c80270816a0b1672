"""Networks that give paths a space to live in: the autoencoder, its training and its files."""

from diffig.generative.autoencoder import Autoencoder
from diffig.generative.training import AutoencoderTraining

__all__ = ["Autoencoder", "AutoencoderTraining"]
