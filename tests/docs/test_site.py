"""The site is built without a network and without a warning, and asks a reader's browser for nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("mkdocs")
pytest.importorskip("material")
if not (ROOT / "mkdocs.yml").is_file():
    pytest.skip("no checkout", allow_module_level=True)


def test_the_site_builds(tmp_path: Path) -> None:
    nowhere = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_MKDOCS_2_WARNING": "1"}
    call = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, **nowhere},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert call.returncode == 0, call.stdout + call.stderr
    pages = {page.stem: page.read_text() for page in (tmp_path / "site").rglob("*.html")}
    sources = {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert sources <= set(pages)
    for notebook in (ROOT / "docs" / "notebooks").glob("*.ipynb"):
        assert "data:image/png;base64" in (tmp_path / "site" / "notebooks" / f"{notebook.stem}.html").read_text()
    for name, text in pages.items():
        fetched = re.findall(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=\"(https?://[^\"]+)", text)
        assert not fetched, name
    assert "Diffusion Integrated Gradients, training-free" in pages["reference"]
    assert "diffig.config.methods" in pages["reference"]
