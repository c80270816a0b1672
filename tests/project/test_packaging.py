"""The wheel holds everything a program needs, and works where there is no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY = ("dataset.size=8", "classifier.width=8", "metrics=fast", "trainer=cpu", "steps=70", "limit=4", "batch_size=4")
# What an editable install adds to the path is taken out again, so that only the wheel can be found.
MASKED = """
import sys
sys.path[:] = [place for place in sys.path if not place.rstrip("/").endswith("/src")]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
import diffig
print("IMPORTED", diffig.__file__)
from diffig.cli.evaluate import main
main()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("no checkout to build a wheel from")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    build = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert build.returncode == 0, build.stdout + build.stderr
    (file,) = folder.glob("diffig-*.whl")
    return file


def test_the_wheel_holds_configs_weights_and_the_report_template(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for file in (ROOT / "conf").rglob("*.yaml"):
        assert f"diffig/conf/{file.relative_to(ROOT / 'conf').as_posix()}" in names
    package = ROOT / "src" / "diffig"
    sources = [file for file in package.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    missing = {f"diffig/{file.relative_to(package).as_posix()}" for file in sources} - names
    assert not missing
    assert {
        "diffig/py.typed",
        "diffig/method/field/prior.safetensors",
        "diffig/report/template.html.j2",
    } <= names
    assert not [name for name in names if name.startswith(("tests", "outputs"))]


def test_the_installed_wheel_evaluates(wheel: Path, tmp_path: Path) -> None:
    target, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:  # a pure wheel is installed by unpacking it
        archive.extractall(target)
    environment = {**os.environ, "PYTHONPATH": str(target), "OMP_NUM_THREADS": "1"}

    def call(*words: str) -> str:
        command = [sys.executable, "-c", MASKED, *words]
        done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"IMPORTED {target / 'diffig' / '__init__.py'}" in done.stdout
        return done.stdout

    shown = call("--cfg", "job")
    assert "_target_: diffig.attribution.FieldDiffIG" in shown
    assert not list(elsewhere.iterdir())
    call(*TINY, "method=diffig_field", "hydra.run.dir=run")
    rows = pd.read_parquet(elsewhere / "run" / "rows.parquet")
    assert rows["image_index"].nunique() == 4
    assert (rows["status"] == "ok").all()
