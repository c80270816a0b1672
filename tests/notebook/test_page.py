"""What the page on notebooks shows can be run, block after block."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image

from oracle.models import SoftplusNet


def test_the_page_runs(tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torchvision.models, "mobilenet_v2", lambda weights: SoftplusNet(classes=1000))
    pixels = np.random.default_rng(0).integers(0, 256, (230, 240, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("cat.jpg")
    blocks = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[2] / "docs" / "notebook.md").read_text(), re.S)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert names["heatmap"].shape == names["image"].shape == (3, 224, 224)
    assert "1 image: " in capsys.readouterr().out
    assert (tmp_path / "maps.png").is_file()
    assert set(names["rows"]["method"]) == {"DiffIG", "GIG"}
