"""Four thin Hydra programs: train, evaluate, explain, report."""
