"""Guided sampling of paths: what a user wants of a path, and how it bends the samples."""

from diffig.guidance.field_path import FieldPath
from diffig.guidance.guidance import Guidance

__all__ = ["FieldPath", "Guidance"]
