"""Paths of images: whitened fields of velocities, one for each band of a basis, sampled by a U-Net."""
