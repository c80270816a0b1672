"""Networks of other libraries, as small as their own code makes them, at random weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

SIZE, CLASSES = 32, 5


def timm_model(name: str, **options: object) -> nn.Module:
    import timm

    return timm.create_model(name, num_classes=CLASSES, **options)


def swin() -> nn.Module:
    from timm.models.swin_transformer import SwinTransformer

    return SwinTransformer(SIZE, 4, 3, CLASSES, embed_dim=8, depths=(1, 2), num_heads=(2, 2), window_size=4)


def hugging_face(kind: str) -> nn.Module:
    import transformers

    shared = {"num_labels": CLASSES}
    if kind == "vit":
        config = transformers.ViTConfig(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=SIZE,
            patch_size=8,
            **shared,
        )
        return transformers.ViTForImageClassification(config)
    if kind == "resnet":
        config = transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", **shared
        )
        return transformers.ResNetForImageClassification(config)
    config = transformers.ConvNextConfig(num_stages=2, hidden_sizes=[8, 16], depths=[1, 1], **shared)
    return transformers.ConvNextForImageClassification(config)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "timm resnet": lambda: timm_model("test_resnet"),
    "timm convnext": lambda: timm_model("test_convnext"),
    "timm efficientnet": lambda: timm_model("test_efficientnet"),
    "timm mobilenet": lambda: timm_model("mobilenetv3_small_050"),
    "timm vit": lambda: timm_model("test_vit", img_size=SIZE, patch_size=8),
    "timm swin": swin,
    "transformers vit": lambda: hugging_face("vit"),
    "transformers resnet": lambda: hugging_face("resnet"),
    "transformers convnext": lambda: hugging_face("convnext"),
}
OF_TOKENS = ("timm vit", "timm swin", "transformers vit")


def network(name: str) -> nn.Module:
    """Return a network whose weights are the same every time, large enough for a score that depends on the image."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = NETWORKS[name]().eval()
        for parameter in net.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    return net
