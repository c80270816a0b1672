"""Whatever a stranger's run is called, its pages run nothing and its files are read, not built."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
from PIL import Image

Program = Callable[..., int]
TINY = ("dataset=digits", "dataset.size=8", "classifier.width=8")
EVIL = """x</script><script>alert(1)</script><img src=x onerror="alert(1)">'\\"><svg/onload=alert(1)>"""


class Seen(HTMLParser):
    """Tags, and the attributes that run something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.handlers += [key for key, _ in attrs if key.startswith("on")]
        self.handlers += [value for _, value in attrs if (value or "").strip().startswith("javascript:")]


def test_a_report_of_a_run_that_is_evil_all_over(program: Program, cache: Path, tmp_path: Path) -> None:
    words = (*TINY, "metrics=fast", "trainer=cpu", "limit=4", "steps=4", f"dirs.cache={cache}")
    for method in ("ig", "gradient"):
        assert program("evaluate", *words, f"method={method}", f"hydra.run.dir=runs/{method}") == 0
    report = ("runs=runs", "output=report", "bootstrap.n=100", "formats=[md,csv,tex,html]")
    assert program("report", *report) == 0
    page = tmp_path / "report" / "report.html"
    before = Seen(page.read_text())
    for folder in sorted((tmp_path / "runs").iterdir()):
        rows = pd.read_parquet(folder / "rows.parquet")
        for name in ("dataset", "classifier", "objective", "baseline", "protocol", "variant", "credit", "sweep"):
            rows[name] = EVIL
        rows["method"] += EVIL
        rows.to_parquet(folder / "rows.parquet")
        if (folder / "curves.parquet").is_file():
            (folder / "curves.parquet").unlink()
        (folder / "classes.json").write_text(json.dumps([EVIL] * 10))
        (folder / "environment.json").write_text(json.dumps({"python": EVIL, "device": EVIL}))
        (folder / "config.yaml").write_text(f"_target_: os.mkdir\n_args_: [ran]\nname: {json.dumps(EVIL)}\n")
        (folder / ".hydra" / "config.yaml").write_text(f"!!python/object/apply:os.mkdir [ran]\n# {EVIL}\n")
        (folder / ".hydra" / "overrides.yaml").write_text(json.dumps([EVIL, "!!python/object/apply:os.mkdir [ran]"]))
        folder.rename(folder.with_name(folder.name + "<script>alert(1)<img src=x onerror=alert(1)>"))
    lost = tmp_path / "runs" / "lost<script>"  # a job that has left no rows, killed while its first files were written
    (lost / ".hydra").mkdir(parents=True)
    (lost / ".hydra" / "hydra.yaml").write_text("hyd")
    (lost / ".hydra" / "overrides.yaml").write_text("!!python/object/apply:os.mkdir [ran]")
    (lost / "evaluate.log").write_text(EVIL)
    assert program("report", *report) == 0
    after = Seen(page.read_text())
    assert EVIL[1:10] not in "".join(page.read_text().split("<script")[:1])
    assert after.tags["script"] == before.tags["script"]
    assert not after.handlers
    assert set(after.tags) <= {*before.tags, "li", "ul", "pre", "details", "summary", "code", "strong"}
    assert not (tmp_path / "ran").exists()


def test_pages_of_explained_images_with_evil_names(program: Program, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a<script>alert(1)<", "b'\"><img src=x onerror=alert(1)>"):
        Image.new("L", (8, 8), 99).save(tmp_path / "photos" / f"{name}.png")
    (tmp_path / "photos" / "c<script>.png").write_bytes(b"nothing")
    words = (*TINY, "image=photos", "method=gradient", "films=false", f"dirs.cache={cache}", "hydra.run.dir=run")
    assert program("explain", *words) == 0
    pages = sorted((tmp_path / "run").rglob("index.html"))
    assert len(pages) == 3
    for page in pages:
        seen = Seen(page.read_text())
        assert not seen.tags["script"]
        assert not seen.handlers
