"""Our own method: sampled paths of images (`field`) and of latents (`latent`), and what guides them."""

from diffig.method.field.path import FieldPath
from diffig.method.guidance.guidance import Guidance
from diffig.method.latent.path import LatentPath

__all__ = ["FieldPath", "Guidance", "LatentPath"]
