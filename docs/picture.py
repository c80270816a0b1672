"""Draws docs/paths.png: one digit, the paths of four methods to it, the score on the way, and what comes of them."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import torch
from matplotlib import pyplot as plt

from diffig.attribution import CoarseToFine, FieldDiffIG, IntegratedGradients, StickBreakingIntegration
from diffig.classifiers import small_cnn
from diffig.classifiers.training import fit_or_load
from diffig.data.digits import Digits
from diffig.evaluation.gallery import heat
from diffig.randomness import Streams
from diffig.scores import ScoreFunction

IMAGE, FRAMES = 7, 7


def main() -> None:
    """Write the picture beside this file."""
    digits = Digits()
    classifier = small_cnn(datamodule=digits)
    fit_or_load(classifier, digits, "outputs/cache/classifiers", progress=False)
    score = ScoreFunction(classifier)
    image, label, index = digits.test_set[IMAGE]
    images, targets, black = image[None], torch.tensor([label]), torch.zeros_like(image[None])
    methods = {
        "Integrated Gradients": IntegratedGradients(score),
        "SPI": StickBreakingIntegration(score),
        "coarse to fine": CoarseToFine(score),
        "field DiffIG": FieldDiffIG(score),
    }
    streams = Streams(0, torch.tensor([index]))
    figure, axes = plt.subplots(len(methods), FRAMES + 2, figsize=(1.15 * (FRAMES + 2) + 1, 1.2 * len(methods) + 0.3))
    times = torch.linspace(0, 1, 33)
    for row, (name, method) in enumerate(methods.items()):
        path = method.path.generate(images, black, targets, score, streams=streams)
        points = path.at(times[None] * path.n_segments)[0]
        values = score.score(points, targets.expand(len(points)))
        for column in range(FRAMES):
            frame = points[round(column * (len(points) - 1) / (FRAMES - 1))]
            axes[row][column].imshow(frame[0], cmap="gray", vmin=0, vmax=1)
        curve = axes[row][FRAMES]
        curve.plot(times, values, color="#0072b2", lw=1.5)
        curve.set(ylim=(-0.05, 1.05), xticks=[], yticks=[0, 1])
        curve.tick_params(labelsize=6, length=2)
        attribution = method.explain(images, black, targets, torch.tensor([index])).attribution
        axes[row][-1].imshow(heat(attribution)[0], cmap="RdBu_r", vmin=-1, vmax=1)
        axes[row][0].set_ylabel(name, fontsize=8)
        for column in [*range(FRAMES), FRAMES + 1]:
            axes[row][column].set(xticks=[], yticks=[])
            axes[row][column].spines[:].set_visible(False)
    axes[0][0].set_title("black", fontsize=8)
    axes[0][FRAMES - 1].set_title("image", fontsize=8)
    axes[0][FRAMES].set_title("score", fontsize=8)
    axes[0][-1].set_title("attribution", fontsize=8)
    figure.tight_layout(pad=0.4)
    figure.savefig(Path(__file__).with_name("paths.png"), dpi=130)


if __name__ == "__main__":
    main()
