"""What keeps a comparison fair: equal numbers of paths, every pass counted, reliability, and the source of numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from diffig.evaluation.reliability import rank_reliability
from diffig.report import Comparison, build_report
from diffig.report.provenance import provenance

N_IMAGES = 30
DIFFICULTY = np.random.default_rng(0).normal(0, 0.2, N_IMAGES)


def run(
    root: Path, method: str, means: dict[str, float], environment: dict[str, Any] | None = None, **columns: Any
) -> Path:
    """A run whose metrics are the images' difficulty, shifted to the mean asked for, with little noise of its own."""
    folder = root / f"{method}-{len(list(root.glob('*')))}"
    folder.mkdir(parents=True)
    row = {"dataset": "d", "classifier": "c", "objective": "logit", "baseline": "black", "n_paths": 1, "steps": 16}
    row |= {"seconds": 0.1, "forward_images": 18, "backward_images": 16, "gap": 0.01, "seed": 0, "label": 0}
    row |= {"prediction": 0, "method": method, "status": "ok", "protocol": "diffig", **columns}
    noise = np.random.default_rng([len(method), int(row["n_paths"])]).normal(0, 0.01, N_IMAGES)
    rows = [
        {**row, "metric": metric, "image_index": i, "value": mean + DIFFICULTY[i] + noise[i] - noise.mean()}
        for metric, mean in means.items()
        for i in range(N_IMAGES)
    ]
    pd.DataFrame(rows).to_parquet(folder / "rows.parquet")
    if environment is not None:
        (folder / "environment.json").write_text(json.dumps(environment))
    return folder


def only(root: Path, **options: Any) -> Comparison:
    (comparison,) = build_report(root, n=200, formats=options.pop("formats", []), output=root, **options).comparisons
    return comparison


def test_equal_numbers_of_paths(tmp_path: Path) -> None:
    run(tmp_path, "ig", {"diffid": 0.0})
    for n_paths, (spi, field) in {1: (0.1, 0.2), 4: (0.25, 0.2), 8: (0.3, None)}.items():
        cost = {"n_paths": n_paths, "backward_images": 16 * n_paths, "forward_images": 18 * n_paths}
        run(tmp_path, "spi", {"diffid": spi}, **cost)
        if field is not None:
            run(tmp_path, "diffig_field", {"diffid": field}, **{**cost, "forward_images": 200 * n_paths})
    table = only(tmp_path).equal_paths
    assert table is not None
    lines = [(line["n_paths"], line["setting"], line["first"], line["verdict"]) for line in table.to_dict("records")]
    assert lines == [
        (1, "diffig_field n=1", True, ""),
        (1, "spi n=1", False, "worse"),
        (4, "spi n=4", True, ""),
        (4, "diffig_field n=4", False, "worse"),
    ], "neither ig, which has no second path, nor a number that one method alone has"
    assert table["difference"].tolist() == pytest.approx([0, -0.1, 0, -0.05], abs=1e-9)
    assert (table["gain_low"] <= table["difference"]).all()
    assert table["forward_images"].tolist() == [200, 18, 72, 800]


def test_equal_numbers_of_paths_where_less_is_better(tmp_path: Path) -> None:
    for method, mean in {"spi": 0.3, "diffig_field": 0.2}.items():
        for n_paths in (1, 2):
            run(tmp_path, method, {"deletion": mean}, n_paths=n_paths)
    table = only(tmp_path, headline="deletion").equal_paths
    assert table is not None
    assert table["setting"].tolist()[:2] == ["diffig_field n=1", "spi n=1"]
    assert table["verdict"].tolist() == ["", "worse", "", "worse"]


def test_single_paths_need_no_such_table(tmp_path: Path) -> None:
    for method in ("ig", "spi"):
        run(tmp_path, method, {"diffid": 0.1})
    run(tmp_path, "spi", {"diffid": 0.1}, n_paths=4)
    assert only(tmp_path).equal_paths is None


def test_forward_images_are_not_hidden(tmp_path: Path) -> None:
    run(tmp_path, "ig", {"diffid": 0.1})
    run(tmp_path, "gig", {"diffid": 0.15})
    run(tmp_path, "diffig_field", {"diffid": 0.2}, forward_images=184)
    comparison = only(tmp_path, formats=["html"], pair=("diffig_field", "ig"))
    figure = next(figure for figure in comparison.figures if figure.name == "cost")
    shown = [" ".join(text.split()) for text in re.findall(r"<text[^>]*>([^<]*)</text>", figure.svg)]
    assert "backward images per explained image" in shown
    assert "passes per explained image, forward and backward images together" in shown
    assert "diffig_field scores best at 16 backward images per image." in figure.caption
    assert (
        "it asks for 200 passes, 5.88 times the 34 of ig; at no more passes than ig, gig scores best" in figure.caption
    )
    price = next(sentence for sentence in comparison.sentences if sentence.startswith("Price"))
    assert "16 backward images, 184 forward images" in price
    assert "1.00 times the backward images of `ig` and 10.2 times its forward images" in price
    assert ("forward images per image", "184", "18 for ig") in comparison.facts
    assert (
        "diffig_field 16 backward images, 184 forward images, .100 s; ig 16 backward images, 18" in comparison.duel[-1]
    )


def test_rows_that_do_not_know_forward_images_have_one_panel(tmp_path: Path) -> None:
    for method, mean in {"ig": 0.1, "gig": 0.2}.items():
        run(tmp_path, method, {"diffid": mean}, forward_images=np.nan)
    comparison = only(tmp_path, formats=["html"])
    figure = next(figure for figure in comparison.figures if figure.name == "cost")
    assert "passes" not in figure.svg
    assert "passes" not in figure.caption
    assert "forward" not in " ".join(comparison.sentences)


def test_reliability_of_each_metric(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for place, method in enumerate(("ig", "gig", "spi", "diffig_field")):
        folder = run(tmp_path, method, {"diffid": 0.0, "deletion": 0.0, "diffid_ceiling": 1.0})
        rows = pd.read_parquet(folder / "rows.parquet")
        values = {"diffid": place + rng.normal(0, 2, N_IMAGES), "deletion": -place + rng.normal(0, 0.01, N_IMAGES)}
        for metric, own in values.items():
            rows.loc[rows["metric"] == metric, "value"] = own
        rows.to_parquet(folder / "rows.parquet")
    comparison = only(tmp_path, formats=["html", "md", "csv", "tex"])
    table = comparison.reliability
    assert table is not None
    assert table["metric"].tolist() == ["deletion", "diffid"], "most reliable first; a ceiling judges no method"
    assert table["word"].tolist() == ["reliable", "unreliable"]
    assert table["alpha"].iloc[0] == pytest.approx(1)
    every = pd.concat([pd.read_parquet(file) for file in tmp_path.glob("*/rows.parquet")])
    wide = every[every["metric"] == "diffid"].pivot_table(index="image_index", columns="method", values="value")
    wanted = rank_reliability(wide.to_numpy())
    assert table.iloc[1][["alpha", "of_mean"]].tolist() == pytest.approx([wanted.alpha, wanted.of_mean])
    assert table.iloc[1][["images", "settings"]].tolist() == [N_IMAGES, 4]
    page = (tmp_path / "report.html").read_text()
    assert "How reliable is each metric here?" in page
    assert "in its ordinal form" in page
    assert pd.read_csv(tmp_path / "reliability.csv")["metric"].tolist() == ["deletion", "diffid"]
    assert "| deletion | 1.00 | reliable | 1.00 | 30 | 4 |" in (tmp_path / "reliability.md").read_text()


def test_two_methods_have_no_order_to_agree_on(tmp_path: Path) -> None:
    for method in ("ig", "spi"):
        run(tmp_path, method, {"diffid": 0.1})
    comparison = only(tmp_path, formats=["html", "csv"])
    assert comparison.reliability is None
    assert not (tmp_path / "reliability.csv").exists()


NOW = {"packages": {"diffig": "0.1.0", "torch": "2.15.0"}, "git": {"commit": "abcdef0123", "clean": True}}


def test_every_table_says_protocol_images_budget_and_versions(tmp_path: Path) -> None:
    for method, mean in {"ig": 0.1, "gig": 0.2, "spi": 0.25, "diffig_field": 0.3}.items():
        run(tmp_path, method, {"diffid": mean, "deletion": -mean, "gini": mean}, NOW)
        if method != "ig":
            run(tmp_path, method, {"diffid": mean, "deletion": -mean, "gini": mean}, NOW, n_paths=2)
    comparison = only(tmp_path, formats=["html", "md", "tex"])
    note = "Protocol: diffig. 30 images, 16 steps; diffig 0.1.0 (abcdef0), torch 2.15.0."
    assert comparison.note == note
    page = (tmp_path / "report.html").read_text()
    sections = page[page.index('<section id="s1">') : page.index("</section>")].split("<h2")[1:]
    tabled = [section for section in sections if "<table" in section]
    assert len(tabled) == 7, (
        "ranking, equal paths, glance, families, reliability, paired, disagreements and every image"
    )
    assert all(f". {note}</p>" in section for section in tabled)
    for name in ("ranked", "paired", "reliability"):
        assert note in (tmp_path / f"{name}.md").read_text()
        assert "Protocol: diffig. 30 images" in (tmp_path / f"{name}.tex").read_text()


def test_what_differs_between_runs_is_said(tmp_path: Path) -> None:
    def told(*environments: Any, steps: tuple[int, ...] = (8,)) -> str:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        frames = []
        for place, environment in enumerate(environments):
            folder = root / str(place)
            folder.mkdir(parents=True)
            if isinstance(environment, str):
                (folder / "environment.json").write_text(environment)
            elif environment is not None:
                (folder / "environment.json").write_text(json.dumps(environment))
            rows = {"image_index": range(place + 1), "run": str(folder), "setting": str(place)}
            frames.append(pd.DataFrame({**rows, "steps": float(steps[place % len(steps)])}))
        return provenance(pd.concat(frames))

    dirty = {**NOW, "git": {"commit": "1234567890", "clean": False}}
    other = {"packages": {"diffig": "0.2.0", "torch": "2.16.0"}, "git": None}
    assert told(None) == "1 image, 8 steps"
    assert told("no json", {"python": "3.12", "torch": "2.11.0", "git": "a1"}) == "1 or 2 images, 8 steps; torch 2.11.0"
    assert told(NOW, NOW) == "1 or 2 images, 8 steps; diffig 0.1.0 (abcdef0), torch 2.15.0"
    assert told(NOW, dirty).endswith("diffig 0.1.0 (abcdef0, 1234567 with changes), torch 2.15.0")
    assert told(NOW, other).endswith("diffig 0.1.0 (abcdef0) and 0.2.0, torch 2.15.0 and 2.16.0")
    commits = [{**NOW, "git": {"commit": f"{i}" * 10, "clean": True}} for i in range(5)]
    assert "1 to 5 images, 8 to 64 steps; diffig 0.1.0 (5 commits)" in told(*commits, steps=(8, 16, 32, 64))
