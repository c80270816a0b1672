"""Paths of latents: sequences between the ends that an autoencoder gives, sampled by a one-dimensional transformer."""
