"""diffig-explain: one image in, a picture, the attribution and a summary out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

Program = Callable[..., int]
SMALL = ("dataset.size=8", "classifier.width=8", "steps=48", "hydra.run.dir=run", "films=false")


@pytest.fixture
def explain(program: Program, cache: Path) -> Callable[..., int]:
    """`explain("image=3", ...)` is a small `diffig-explain` with the classifier of all tests."""
    return lambda *words: program("explain", *SMALL, f"dirs.cache={cache}", *words)


def test_an_image_of_the_dataset(explain: Program, tmp_path: Path) -> None:
    assert explain("image=3", "method=diffig_field", "objective=probability") == 0
    run = tmp_path / "run"
    summary = json.loads((run / "summary.json").read_text())
    kept = load_file(run / "attribution.safetensors")
    assert kept["attribution"].shape == kept["image"].shape == (1, 8, 8)
    assert summary["method"] == "diffig_field"
    assert summary["backward_images"] == 48
    assert summary["top"][0][0] == summary["target"]
    picture = Image.open(run / "attribution.png").convert("L")
    assert picture.width > 2 * picture.height
    assert picture.getextrema()[0] < 60 < 200 < picture.getextrema()[1]
    start = float(kept["attribution"].sum()) - summary["gap"]
    assert start == pytest.approx(summary["probability"], abs=0.2)  # a black digit explains little of the score


def test_a_file_a_region_and_a_named_target(explain: Program, tmp_path: Path) -> None:
    pixels = torch.zeros(30, 40, dtype=torch.uint8)
    pixels[5:25, 15:25] = 255
    Image.fromarray(pixels.numpy()).save(tmp_path / "bar.png")
    Image.fromarray(pixels.numpy()).save(tmp_path / "mask.png")
    words = ("image=bar.png", 'target="1"', "region=mask.png")
    assert explain(*words, "guidance.region=0.3", "method=ig,diffig_field", "films=true", "frames=2") == 0
    assert Image.open(tmp_path / "run" / "path.gif").n_frames == 2
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["target"], summary["target_index"]) == ("1", 1)
    assert [line["method"] for line in summary["methods"]] == ["ig", "diffig_field"]
    assert [line["objective"] for line in summary["methods"]] == ["probability", "logit"]
    page = (tmp_path / "run" / "index.html").read_text()
    assert "<td>probability</td>" in page
    assert "<td>logit</td>" in page


def test_a_region_is_refused_where_no_method_takes_it(
    explain: Program, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (12, 12), 90).save(tmp_path / "mask.png")
    assert explain("image=3", "region=mask.png", "method=ig") == 1
    assert "method=ig takes none" in "".join(capfd.readouterr())


def test_several_methods_beside_each_other_with_films(explain: Program, tmp_path: Path) -> None:
    assert explain("image=3", "method=ig,gig,gradient_x_input", "films=true", "frames=6") == 0
    run = tmp_path / "run"
    summary = json.loads((run / "summary.json").read_text())
    assert [line["method"] for line in summary["methods"]] == ["ig", "gig", "gradient_x_input"]
    assert [line["backward_images"] for line in summary["methods"]] == [48, 48, 1]
    kept = load_file(run / "attribution.safetensors")
    assert set(kept) == {"image", "attribution", "attribution.ig", "attribution.gig", "attribution.gradient_x_input"}
    assert torch.equal(kept["attribution"], kept["attribution.ig"])
    assert not torch.equal(kept["attribution.ig"], kept["attribution.gig"])
    for name in ("path", "removal"):
        film = Image.open(run / f"{name}.gif")
        assert film.n_frames == 6
        first = film.convert("RGB").tobytes()
        film.seek(5)
        assert film.convert("RGB").tobytes() != first
        assert Image.open(run / f"{name}.png").width > 600
    page = (run / "index.html").read_text()
    assert all(f'src="{name}"' in page for name in ("attribution.png", "path.gif", "path.png", "removal.gif"))
    assert "http" not in page
    assert page.count('<th scope="row">') == 3


def test_a_folder_of_images(explain: Program, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pixels = torch.zeros(12, 12, dtype=torch.uint8)
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for number, name in enumerate(("a.png", "more/b & c.png")):
        pixels[3:9, 4 + 3 * number] = 255
        Image.fromarray(pixels.numpy()).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no image")
    assert explain("image=photos", "method=ig") == 0
    assert "2 images explained, 1 left out" in "".join(capfd.readouterr())
    run = tmp_path / "run"
    assert {folder.name for folder in run.iterdir() if (folder / "summary.json").exists()} == {"a", "more_b & c"}
    page = (run / "index.html").read_text()
    assert "more_b%20%26%20c/attribution.png" in page
    assert "broken.jpg is not a readable image" in page


def test_files_of_one_name_keep_their_own_folders(explain: Program, tmp_path: Path) -> None:
    (tmp_path / "photos" / "a").mkdir(parents=True)
    for name in ("cat.png", "cat.bmp", "a/b.png", "a_b.png"):
        Image.new("L", (12, 12), 90).save(tmp_path / "photos" / name)
    assert explain("image=photos", "method=gradient") == 0
    summaries = [json.loads(file.read_text()) for file in (tmp_path / "run").glob("*/summary.json")]
    assert len({summary["image"] for summary in summaries}) == 4
    assert (tmp_path / "run" / "cat.bmp" / "attribution.png").exists()


def test_a_folder_of_which_nothing_can_be_explained(
    explain: Program, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "photos" / name).write_bytes(b"no image")
    assert explain("image=photos", "method=gradient") == 1
    assert "none of the 2 images of photos could be explained" in "".join(capfd.readouterr())


def test_methods_with_reference_images_take_those_of_the_dataset(explain: Program, tmp_path: Path) -> None:
    assert explain("image=3", "method=expected_gradients,ig2,lpi", "steps=4") == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [line["method"] for line in summary["methods"]] == ["expected_gradients", "ig2", "lpi"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["image=missing.jpg"], "no image at missing.jpg"),
        (["image=100000"], "choose 0 to"),
        (["image=."], "no image below ."),
        (["image=3", "method=ig,nonsense"], "nonsense"),
        (["image=3", "target=77"], "target=77 is no class; choose 0 to 9"),
        (["image=3", "target=sevenn"], "target='sevenn' is no class name"),
        (["image=3", "guidance.region=1"], "no region is given"),
        (["image=3", "films=true", "frames=1"], "frames=1 must be a whole number of at least 2"),
        ([], "image is not set; give it on the command line, image=..."),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) and value else "",
)
def test_mistakes(explain: Program, capfd: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert explain(*words) == 1
    assert message in "".join(capfd.readouterr())


def test_a_counterfactual(explain: Program, tmp_path: Path) -> None:
    from diffig.generative import ImageDiffusion

    torch.manual_seed(0)
    ImageDiffusion.small(1, channels=(8, 8), levels=50).save(
        tmp_path / "latent" / "image_diffusion" / "image_diffusion"
    )
    words = ("task=counterfactual", "image=3", "latent.folder=latent")
    small = ("counterfactual.n_particles=4", "counterfactual.n_steps=5")
    assert explain(*words, *small) == 0
    run = tmp_path / "run"
    summary = json.loads((run / "summary.json").read_text())
    kept = load_file(run / "counterfactual.safetensors")
    assert kept["counterfactual"].shape == kept["image"].shape == (1, 8, 8)
    difference = kept["counterfactual"] - kept["image"]
    assert summary["l1"] == pytest.approx(float(difference.abs().mean()), rel=1e-5)
    assert summary["l2"] == pytest.approx(float(difference.square().mean().sqrt()), rel=1e-5)
    assert summary["target"] != summary["predicted"]
    assert summary["flipped"] == (summary["sees_now"] == summary["target"])
    assert (summary["forward_images"], summary["backward_images"]) == (4 * 5 + 2, 0)
    assert len(summary["trajectory"]) == 5
    picture = Image.open(run / "counterfactual.png").convert("L")
    assert picture.width > 4 * picture.height
    assert picture.getextrema()[0] < 60 < 200 < picture.getextrema()[1]


def test_mistakes_of_counterfactuals(explain: Program, capfd: pytest.CaptureFixture[str]) -> None:
    assert explain("task=counterfactual", "image=3", "latent.folder=nowhere") == 1
    assert "module=image_diffusion" in "".join(capfd.readouterr())
    assert explain("task=nonsense", "image=3") == 1
    assert "task=nonsense is unknown; choose attribution or counterfactual" in "".join(capfd.readouterr())


def test_random_methods_say_what_the_evaluation_says(explain: Program, cache: Path, tmp_path: Path) -> None:
    from diffig.config import compose
    from diffig.evaluation.preparation import explain_with, prepare

    assert explain("image=3", "method=spi") == 0
    found = load_file(tmp_path / "run" / "attribution.safetensors")
    cfg = compose("explain", [*SMALL[:3], "image=3", "method=spi", f"dirs.cache={cache}"])
    datamodule, classifier = prepare(cfg)
    index = torch.tensor([int(datamodule.test_set[3][2])])
    assert int(index) != 0
    target = json.loads((tmp_path / "run" / "summary.json").read_text())["target_index"]
    method = explain_with(cfg, datamodule, classifier)
    wanted = method.attribute(found["image"][None], target=target, indices=index)[0]
    assert torch.equal(found["attribution"], wanted)
