"""Generation of paths: spaces, denoisers, the trained prior and its sampler."""
