"""What the pages show can be run: Python is run, commands are composed, pictures and links are there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
import torchvision
from omegaconf import OmegaConf

from diffig.config import compose, options_of
from oracle.models import SoftplusNet

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "mkdocs.yml").is_file():
    pytest.skip("no checkout", allow_module_level=True)
PAGES = sorted((ROOT / "docs").glob("*.md"))
TEXTS = {
    page.relative_to(ROOT).as_posix(): page.read_text()
    for page in [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
}
ANSWERED = ("--help", "--version", "--info", "-sc")
PLAIN = ("pip install ", "wandb ", "pre-commit ")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> Iterator[list[str]]:
    """The words of every command in the shell's blocks."""
    for block in blocks(text, "bash"):
        names: dict[str, str] = {}
        for line in block.replace("\\\n", " ").splitlines():
            for name, value in names.items():
                line = line.replace(f"${name}", value)
            line = re.sub(r"^eval \"\$\((.+)\)\"$", r"\1", line)
            words = shlex.split(line, comments=True)
            if words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                names |= dict([words[0].split("=", 1)])
                words = words[1:]
            if words:
                yield words


@pytest.mark.parametrize("page", TEXTS)
def test_commands_are_right(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in commands(TEXTS[page]):
        program, *words = command
        if program == "make":
            assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), command
        elif program.startswith("diffig-"):
            check(program.removeprefix("diffig-"), words)
        elif program.endswith(".sh"):
            assert (ROOT / program).is_file(), command
        else:
            assert " ".join(command).startswith(PLAIN) or (ROOT / words[0]).is_file(), command


def check(program: str, words: list[str]) -> None:
    """Compose what the command would run; of a sweep its first and its last job."""
    if any(word in ANSWERED for word in words):
        asked = words[words.index("--info") + 1] if "--info" in words else "method"
        assert options_of(asked), words
        return
    if "--config-dir" in words:
        return  # run as a whole by the page that shows it
    given = [word for word in words if "=" in word and not word.startswith(("hydra.", "hydra/sweeper"))]
    given += [word for word in words if word.startswith("hydra.launcher.")]
    for place in (0, -1):
        job = [one_of(word, place) if "-m" in words or word.startswith("method=") else word for word in given]
        if program == "report":
            job = [re.sub(r"^compare=([^\[]+)$", r"compare=[\1]", word) for word in job]
        cfg = compose(program, [re.sub(r"<[^>]+>", "name", word).replace("runs=outputs/*", "runs=a") for word in job])
        assert OmegaConf.is_dict(cfg)


def one_of(word: str, place: int) -> str:
    key, value = word.split("=", 1)
    value = re.sub(r"^interval\((.+)\)$", r"\1", value)
    return word if value.startswith("[") else f"{key}={value.split(',')[place]}"


def test_there_are_commands_to_check() -> None:
    assert sum(len([*commands(text)]) for text in TEXTS.values()) > 50


@pytest.mark.parametrize("page", ["tutorial", "judge"])
def test_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`judge` stands on the rows of a run, of which only the images' indices are read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs" / "ig").mkdir(parents=True)
    pd.DataFrame({"image_index": [12, 12, 5, 7, 13]}).to_parquet(tmp_path / "outputs" / "ig" / "rows.parquet")
    if page == "judge":
        from diffig.data.digits import Digits

        digits = Digits(size=16)
        indices = [int(digits.test_set[place][2]) for place in range(5)]
        pd.DataFrame({"image_index": indices}).to_parquet(tmp_path / "outputs" / "ig" / "rows.parquet")
    names: dict[str, object] = {}
    for block in blocks(TEXTS[f"docs/{page}.md"], "python"):
        exec(block, names)
    if page == "tutorial":
        assert names["heatmap"].shape == (1, 16, 16)
    else:
        from diffig.evaluation.given import read_given

        assert read_given(tmp_path / "theirs.npz").indices.tolist() == sorted(indices)
        assert set(names["table"]["method"]) == {"theirs", "ig"}
        assert names["page"].html == Path("outputs/judged/report.html")


@pytest.fixture
def beside_a_cat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder with the photograph that pages speak of, of nothing."""
    import numpy as np
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (230, 240, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("cat.jpg")


@pytest.mark.usefixtures("beside_a_cat")
def test_the_readme_runs() -> None:
    """Every block, with a network, weights and images under the names that it takes as given."""
    names: dict[str, object] = {
        "model": SoftplusNet(classes=1000),
        "weights": torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1,
        "net": SoftplusNet(),
        "images": torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0)),
        "labels": torch.tensor([1, 2]),
    }
    found = blocks(TEXTS["README.md"], "python")
    for block in found:
        exec(block, names)
    assert len(found) == 2
    assert names["heatmap"].shape == (3, 224, 224)
    assert names["attribution"].shape == (2, 3, 12, 12)
    assert names["gap"].abs().max() < 1e-3, "it adds up to the change exactly, says the text"


@pytest.mark.usefixtures("beside_a_cat")
def test_the_notebook_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torchvision.models, "mobilenet_v2", lambda weights: SoftplusNet(classes=1000))
    names: dict[str, object] = {}
    for block in blocks(TEXTS["docs/notebook.md"], "python"):
        exec(block, names)
    assert names["heatmap"].shape == names["image"].shape == (3, 224, 224)
    assert "1 image: " in capsys.readouterr().out
    assert (tmp_path / "maps.png").is_file()
    for folder in ("report", "judged"):
        assert (tmp_path / "outputs" / folder / "report.html").is_file()


def test_no_page_has_python_that_nobody_runs() -> None:
    shown = {page for page, text in TEXTS.items() if blocks(text, "python")}
    assert shown == {"README.md", *(f"docs/{page}.md" for page in ("tutorial", "judge", "notebook", "extend"))}


@pytest.mark.parametrize("page", TEXTS)
def test_links_and_pictures_are_there(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]):
        if not target.startswith(("http", "#")):
            assert (ROOT / page).parent.joinpath(target.split("#")[0]).exists(), target
