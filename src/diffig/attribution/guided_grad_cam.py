"""Guided Grad-CAM (Selvaraju et al. 2017): guided back-propagation multiplied by the Grad-CAM map."""

from __future__ import annotations

import torch
from torch import Tensor

from diffig.attribution.backward_rules import back_signal
from diffig.attribution.grad_cam import GradCAM
from diffig.attribution.guided_backprop import guided
from diffig.integration.integrate import Integral
from diffig.randomness import Streams


class GuidedGradCAM(GradCAM):
    """The product of Grad-CAM and the guided signal, element by element; two forward and two backward images.

    Arguments as in `GradCAM`. Its authors and Captum explain the logit.
    """

    name = "guided_grad_cam"

    def _explain(self, images: Tensor, baselines: Tensor, targets: Tensor, streams: Streams) -> Integral:
        _, signal = back_signal(self.score, images, targets, guided, self.name)
        unknown = images.new_full((len(images),), torch.nan)
        return Integral(signal * self.heat(images, targets), unknown, unknown.clone())
