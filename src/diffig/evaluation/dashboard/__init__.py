"""Runs on a Weights & Biases dashboard: how they are called and what they show."""

from diffig.evaluation.dashboard.identity import build_logger, sweep_id
from diffig.evaluation.dashboard.media import Shown, send
from diffig.evaluation.dashboard.report import send_report

__all__ = ["Shown", "build_logger", "send", "send_report", "sweep_id"]
