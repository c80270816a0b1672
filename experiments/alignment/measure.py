"""How well the signals of modified back-propagation go with what each layer is given: measure.py FOLDER.

For every convolution: cosine and correlation (the cosine of centred values) over all units between the layer's input
and what comes back at it, with trained and with random weights. Leaves alignment.csv, maps.csv and alignment.png.
"""

from __future__ import annotations

import copy
import io
import itertools
import os
import sys
import time
import zipfile
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from diffig.attribution import LRP, RectGrad
from diffig.attribution.backward_rules import Rectifiers
from diffig.attribution.guided_backprop import guided
from diffig.attribution.relevance import Relevance
from diffig.classifiers import cifar_resnet, small_cnn, torchvision_model
from diffig.classifiers.training import fit_or_load
from diffig.data.digits import Digits
from diffig.scores import ScoreFunction

matplotlib.use("Agg")
from matplotlib import pyplot as plt

DATA = Path(os.environ["DIFFIG_SHARED_DATA"])
METHODS = {
    "gradient": "tab:grey",
    "gradient x layer input": "black",
    "guided_backprop": "tab:blue",
    "rectgrad": "tab:orange",
    "lrp z_plus": "tab:green",
}
IMAGES, SEEDS, CHUNK, CALIBRATION = 32, 3, 8, 128
Signals = list[tuple[str, Tensor, Tensor]]  # name of the layer, its input and what came back, (B, ...) each


def cifar() -> tuple[nn.Module, Tensor]:
    """Return the ResNet-20 and CIFAR-10 test images."""
    images = np.load(DATA / "cifar10_test_lossless.npz")["x"][:CALIBRATION]
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return cifar_resnet(checkpoint=DATA / "cifar10_resnet20.safetensors"), pixels


def photos() -> tuple[nn.Module, Tensor]:
    """Return the SqueezeNet and centre crops of photographs, halved to 112 x 112 pixels."""
    from PIL import Image
    from torchvision.transforms import functional

    net = torchvision_model(name="squeezenet1_0", checkpoint=DATA / "imagenet_squeezenet1_0.safetensors")
    with zipfile.ZipFile(DATA / "imagenet_samples.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[::7][:IMAGES]
        files = [Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in names]
    crops = torch.stack([functional.to_tensor(functional.center_crop(file, [224, 224])) for file in files])
    return net, nn.functional.avg_pool2d(crops, 2)


def digits(folder: Path) -> tuple[nn.Module, Tensor]:
    """Return the package's small CNN, trained, and test digits."""
    data = Digits()
    data.setup()
    net = small_cnn(datamodule=data)
    fit_or_load(net, data, folder, progress=False)
    return net, torch.stack([data.test_set[place][0] for place in range(CALIBRATION)])


def randomised(net: nn.Module, seed: int, images: Tensor) -> nn.Module:
    """Return a copy with normal weights of He's size, no biases, and batch norms that fit these weights."""
    net = copy.deepcopy(net)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
                module.momentum = None  # the plain mean over what it sees
        if any(isinstance(module, nn.BatchNorm2d) for module in net.modules()):
            net.train()(images)
    return net.eval()


def signals(net: nn.Module, images: Tensor, method: str) -> Signals:
    """Return each convolution's input and what comes back there for the logit of the predicted class."""
    kept: dict[int, tuple[str, Tensor]] = {}

    def keep(name: str):
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            kept.setdefault(id(inputs[0]), (name, inputs[0]))  # parallel layers share their input

        return hook

    score = ScoreFunction(net, "logit")
    layers = [(name, module) for name, module in net.named_modules() if isinstance(module, nn.Conv2d)]
    handles = [module.register_forward_pre_hook(keep(name)) for name, module in layers]
    leaf = images.clone().requires_grad_()
    targets = score.logits(images).argmax(1)
    kept.clear()
    composite = None
    try:
        if method == "lrp z_plus":
            lrp = LRP(score, composite="z_plus")
            composite = lrp.hooks(images)
            composite.register(net)
            with Relevance(positive=True):
                logits = net(leaf)
            start = lrp.start(logits.detach(), targets)
        else:
            rule = {"guided_backprop": guided, "rectgrad": RectGrad(score).rule}.get(method, lambda signal, _: signal)
            with Rectifiers(rule, method):
                logits = net(leaf)
            start = nn.functional.one_hot(targets, logits.shape[1]).to(logits)
        names, inputs = zip(*kept.values(), strict=True)
        found = torch.autograd.grad(logits, inputs, start)
    finally:
        if composite is not None:
            composite.remove()
        for handle in handles:
            handle.remove()
    if method == "gradient x layer input":
        found = tuple(signal * values for signal, values in zip(found, inputs, strict=True))
    return [(name, values.detach(), signal) for name, values, signal in zip(names, inputs, found, strict=True)]


def cosine(first: Tensor, second: Tensor, centred: bool = False) -> Tensor:
    """Return the cosine `(B,)` over all units, NaN where a signal is 0."""
    first, second = first.flatten(1).double(), second.flatten(1).double()
    if centred:
        first, second = first - first.mean(1, keepdim=True), second - second.mean(1, keepdim=True)
    return (first * second).sum(1) / (first.norm(dim=1) * second.norm(dim=1))


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Return Spearman's correlation `(B,)` of two maps."""
    ranks = [values.flatten(1).argsort(1).argsort(1).double() for values in (first, second)]
    return cosine(*ranks, centred=True)


def measure(network: str, net: nn.Module, images: Tensor) -> tuple[list[dict], list[dict]]:
    """Return rows of alignment and rows of how alike the maps of trained and random weights are."""
    nets = [("trained", net), *(("random", randomised(net, seed, images)) for seed in range(SEEDS))]
    rows, maps = [], []
    for method in METHODS:
        at_image: dict[str, list[Tensor]] = {"trained": [], "random": []}
        collected: dict[tuple[str, int, str], list[tuple[Tensor, Tensor]]] = {}
        for weights, each in nets:
            parts = []
            for chunk in images[:IMAGES].split(CHUNK):
                found = signals(each, chunk, method)
                for place, (layer, values, signal) in enumerate(found):
                    pair = (cosine(signal, values), cosine(signal, values, centred=True))
                    collected.setdefault((weights, place, layer), []).append(pair)
                parts.append(found[0][2].abs().sum(1))
            at_image[weights].append(torch.cat(parts))
        for (weights, place, layer), pairs in collected.items():
            plain, centred = (torch.cat(values) for values in zip(*pairs, strict=True))
            row = {"network": network, "weights": weights, "method": method, "place": place, "layer": layer}
            values = {"cosine": plain.nanmean().item(), "correlation": centred.nanmean().item()}
            rows.append({**row, **values, "vanished": plain.isnan().double().mean().item()})
        like = torch.cat([rank_correlation(at_image["trained"][0], other) for other in at_image["random"]])
        twins = itertools.combinations(at_image["random"], 2)
        random = torch.cat([rank_correlation(first, second) for first, second in twins])
        maps.append({"network": network, "method": method, "trained_random": like.nanmean().item()})
        maps[-1]["random_random"] = random.nanmean().item()
    return rows, maps


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw cosine and correlation over the layers of each network."""
    networks = list(table["network"].unique())
    figure, axes = plt.subplots(2, len(networks), figsize=(4.2 * len(networks), 5.6), sharey="row", squeeze=False)
    for column, network in enumerate(networks):
        for row, value in enumerate(("cosine", "correlation")):
            axis = axes[row, column]
            axis.axhline(0, color="0.8", lw=0.8)
            for (method, colour), weights in itertools.product(METHODS.items(), ("trained", "random")):
                chosen = (table["network"] == network) & (table["method"] == method) & (table["weights"] == weights)
                kept = table[chosen]
                style = {"ls": "-" if weights == "trained" else "--", "marker": "o", "ms": 2.5, "lw": 1.3}
                axis.plot(kept["place"], kept[value], color=colour, **style)
            axis.spines[["top", "right"]].set_visible(False)
            axis.xaxis.get_major_locator().set_params(integer=True)
        axes[0, column].set_title(network, fontsize=10)
        axes[1, column].set_xlabel("convolution, 0 is given the image", fontsize=9)
    axes[0, 0].set_ylabel("cosine with the layer's input")
    axes[1, 0].set_ylabel("correlation (centred)")
    lines = [plt.Line2D([], [], color=colour, label=method) for method, colour in METHODS.items()]
    lines += [
        plt.Line2D([], [], color="0.3", ls=style, label=name) for style, name in (("-", "trained"), ("--", "random"))
    ]
    figure.legend(handles=lines, loc="lower center", ncol=len(lines), frameon=False, fontsize=8.5)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=110)


def main(folder: Path) -> None:
    """Measure all three networks and write tables and picture."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_flush_denormal(True)
    made = {
        "ResNet-20, CIFAR-10": cifar,
        "small CNN (SiLU), digits": lambda: digits(folder / "weights"),
        "SqueezeNet, photographs": photos,
    }
    rows, maps = [], []
    for network, make in made.items():
        begin = time.perf_counter()
        more, others = measure(network, *make())
        rows, maps = rows + more, maps + others
        print(f"{network}: {time.perf_counter() - begin:.0f} s", flush=True)
    table = pd.DataFrame(rows)
    table.round(4).to_csv(folder / "alignment.csv", index=False)
    pd.DataFrame(maps).round(3).to_csv(folder / "maps.csv", index=False)
    draw(table, folder / "alignment.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
