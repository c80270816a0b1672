"""Fine-tuning: a pretrained body under a new head."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.utils.data import DataLoader

from diffig.classifiers import Classifier, torchvision_model
from diffig.classifiers.body import head_of, load_body
from diffig.classifiers.checkpoint import save_weights
from diffig.classifiers.module import ClassifierModule
from diffig.data import Batch


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a SqueezeNet for 7 classes, as torchvision saves them."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "squeezenet.pt"
    torch.save(torchvision_model(name="squeezenet1_1", num_classes=7).net.state_dict(), file)
    return file


def test_the_body_comes_from_the_file_and_the_head_is_new(pretrained: Path) -> None:
    torch.manual_seed(1)
    own = torchvision_model(name="squeezenet1_1", num_classes=3, pretrained=pretrained)
    theirs = torch.load(pretrained, weights_only=True)
    state = own.net.state_dict()
    assert all(torch.equal(state[name], theirs[name]) for name in state if name.startswith("features"))
    assert state["classifier.1.weight"].shape == (3, 512, 1, 1)
    with torch.no_grad():
        assert own(torch.rand(1, 3, 64, 64)).shape == (1, 3)
    assert own.checkpoint is None  # it is not a trained classifier yet


def test_another_architecture_is_refused_and_nothing_changes(pretrained: Path, tmp_path: Path) -> None:
    network = torchvision_model(name="squeezenet1_0", num_classes=3)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ValueError, match="does not have the body of classifier 'squeezenet1_0'"):
        load_body(network, pretrained)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_body(network, tmp_path / "none.pt")
    broken = torch.load(pretrained, weights_only=True)
    broken["features.0.bias"][3] = torch.nan
    torch.save(broken, tmp_path / "broken.pt")
    with pytest.raises(ValueError, match=r"NaN or infinite values, in features.0.bias"):
        torchvision_model(name="squeezenet1_1", num_classes=3, pretrained=tmp_path / "broken.pt")


@pytest.mark.parametrize(
    ("name", "head"),
    [("resnet18", "fc"), ("mobilenet_v2", "classifier"), ("googlenet", "fc"), ("squeezenet1_1", "classifier")],
)
def test_the_head_is_found(name: str, head: str) -> None:
    assert head_of(torchvision_model(name=name, num_classes=2).net) == head


def test_no_head() -> None:
    with pytest.raises(ValueError, match="no head to train"):
        head_of(nn.Sequential(nn.Flatten(), nn.ReLU()))


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.fc = nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.body(images))


def fit(head_only: bool) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], Classifier]:
    torch.manual_seed(0)
    classifier = Classifier(Small(), (0.5,), (0.5,), "small", 2).eval()
    before = {name: tensor.clone() for name, tensor in classifier.net.state_dict().items()}
    images, labels = torch.rand(16, 1, 8, 8), torch.arange(16) % 2
    batches = [Batch(images, labels, torch.arange(16))] * 3
    module = ClassifierModule(classifier, learning_rate=0.1, head_only=head_only)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    Trainer(max_steps=3, accelerator="cpu", **quiet).fit(module, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    return before, classifier.net.state_dict(), classifier


def test_head_only_leaves_the_body_bitwise() -> None:
    before, after, classifier = fit(head_only=True)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"fc.weight", "fc.bias"}
    assert not any(module.training for module in classifier.modules())
    before, after, _ = fit(head_only=False)
    assert {"body.0.weight", "body.1.running_mean", "fc.weight"} <= {
        n for n in before if not torch.equal(before[n], after[n])
    }


def test_what_was_fine_tuned_is_read_again(tmp_path: Path, pretrained: Path) -> None:
    network = torchvision_model(name="squeezenet1_1", num_classes=3, pretrained=pretrained)
    save_weights(network, tmp_path / "tuned.safetensors")
    again = torchvision_model(
        name="squeezenet1_1", num_classes=3, checkpoint=tmp_path / "tuned.safetensors", pretrained="not looked at"
    )
    with torch.no_grad():
        assert torch.equal(again(images := torch.rand(1, 3, 64, 64)), network(images))


class Wrapped(nn.Module):
    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.model = Small()
        self.model.scale = nn.Parameter(torch.ones(channels))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images)


def test_a_network_that_wraps_another_has_a_body_and_foreign_weights_are_refused(tmp_path: Path) -> None:
    net = Wrapped()
    assert head_of(net) == "model.fc"
    torch.save({"other.weight": torch.ones(3)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="does not have the body"):
        load_body(Classifier(net, (0.5,), (0.5,), "wrapped", 2), tmp_path / "other.pt")
