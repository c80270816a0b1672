"""Runs on a Weights & Biases dashboard: how they are called and what they show."""

from diffig.evaluation.dashboard.identity import build_logger, sweep_id
from diffig.evaluation.dashboard.media import Shown, send

__all__ = ["Shown", "build_logger", "send", "sweep_id"]
