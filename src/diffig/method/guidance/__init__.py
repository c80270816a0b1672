"""Guidance of sampled paths: energies, and networks that have learned the quality of a path from labels."""
