"""Paths of images: whitened fields of progress, one for each band of a basis, sampled by a U-Net."""
