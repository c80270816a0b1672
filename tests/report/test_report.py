"""Tables, figures and the page, on synthetic runs whose answers are known."""

from __future__ import annotations

import io
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from diffig.report import Report, build_report, find_runs, wording  # noqa: E402
from diffig.report.figures.canvas import SERIES  # noqa: E402
from diffig.report.figures.cost import pareto  # noqa: E402
from diffig.report.files import to_latex  # noqa: E402
from diffig.report.provenance import pictures_of  # noqa: E402
from diffig.report.ranking import PAIRED_TITLES  # noqa: E402
from diffig.report.settings import label_settings  # noqa: E402

# method -> mean diffid, backward images, seconds, size of the gap
METHODS = {
    "ig": (0.075, 64, 0.08, 0.02),
    "guided_ig": (0.11, 200, 0.4, 0.05),
    "blur_ig": (0.05, 100, 0.12, 0.08),
    "gradient_x_input": (0.03, 1, 0.002, 0.5),
    "random": (0.0, 0, 0.0004, 1.0),
    "diffig_field": (0.09, 134, 0.31, 0.008),
}
STRENGTHS = {"faithfulness": (0.05, 0.1, 0.2, 0.4, 0.8), "absolute_mass": (0.1, 0.3)}


def synthetic_runs(root: Path, n_images: int = 120, curves: bool = True, spread: float = 0.22) -> Path:
    """Folders as a sweep of diffig-evaluate leaves them: six methods, two baselines, guidance, three seeds of ours."""
    rng = np.random.default_rng(0)
    difficulty = rng.normal(0, spread, n_images)
    labels = rng.integers(0, 10, n_images)
    settings: list[tuple[str, str, dict[str, float]]] = []
    for baseline in ("black", "blur"):
        settings += [(method, baseline, {}) for method in METHODS if method != "diffig_field"]
        settings.append(("diffig_field", baseline, {"faithfulness": 0.0, "absolute_mass": 0.0}))
        for energy, values in STRENGTHS.items():
            settings += [
                ("diffig_field", baseline, {"faithfulness": 0.0, "absolute_mass": 0.0, energy: value})
                for value in values
            ]
    for number, (method, baseline, strengths) in enumerate(settings):
        mean, backward, seconds, gap = METHODS[method]
        push = strengths.get("faithfulness", 0.0)
        mean += 0.42 * push * np.exp(-2.2 * push) + 0.08 * strengths.get("absolute_mass", 0.0) ** 0.5
        mean -= 0.02 if baseline == "blur" else 0.0
        rows = []
        for seed in range(3 if method == "diffig_field" else 1):
            own = mean + difficulty * (method != "random") + rng.normal(0, 0.1, n_images)
            measured = {
                "diffid": own,
                "diffid_soft": 0.9 * own + rng.normal(0, 0.03, n_images),
                "insertion": 0.5 + 0.5 * own,
                "deletion": 0.35 - 0.4 * own,
                "absolute_mass": np.abs(rng.normal(90 - 300 * mean, 8, n_images)),
            }
            gaps = rng.normal(0, gap * (1 + 3 * push), n_images)
            for metric, values in measured.items():
                for i in range(n_images):
                    lost = method == "guided_ig" and metric == "diffid" and i in (3, 17)
                    rows.append(
                        {
                            **{"dataset": "cifar10", "image_index": i, "label": labels[i], "prediction": labels[i]},
                            **{"classifier": "resnet20", "objective": "probability", "baseline": baseline},
                            **{"method": method, "n_paths": 1, "steps": 64, "seed": seed, "metric": metric},
                            **{"value": np.nan if lost else values[i], "seconds": seconds * rng.uniform(0.9, 1.1)},
                            **{"forward_images": backward + 2, "backward_images": backward + 70 * (push > 0)},
                            **{
                                "gap": gaps[i],
                                "status": "nonfinite" if lost else "ok",
                                "protocol": "element/keep-mean",
                            },
                            **{f"guidance.{name}": value for name, value in strengths.items()},
                        }
                    )
        folder = root / str(number)
        _job(folder, [f"method={method}", f"baseline={baseline}", *(f"guidance.{k}={v}" for k, v in strengths.items())])
        pd.DataFrame(rows).to_parquet(folder / "rows.parquet")
        if curves and (baseline == "black"):
            _curves(folder, method, baseline, strengths, mean + difficulty, rng)
        if number < 2:
            _picture(folder / "attributions.png", rng)
    _job(root / "99", ["method=agi", "baseline=black"])
    (root / "99" / "evaluate.log").write_text("start\ntorch.OutOfMemoryError: <b>tried</b> to allocate 2.3 GiB\n")
    return root


def _job(folder: Path, overrides: list[str]) -> None:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("".join(f"- {override}\n" for override in overrides))
    (folder / ".hydra" / "hydra.yaml").write_text("hydra:\n  job:\n    config_name: evaluate\n")
    (folder / "config.yaml").write_text(
        "seed: 0\nlimit: 120\n" + "".join(o.replace("=", ": ") + "\n" for o in overrides)
    )
    (folder / "environment.json").write_text('{"python": "3.12.4", "torch": "2.15.0", "git": "a1b2c3d"}')


def _curves(folder: Path, method: str, baseline: str, strengths: dict[str, float], quality: Any, rng: Any) -> None:
    x = np.linspace(0.0, 1.0, 11)
    parts = []
    for curve, sign in (("insertion", 1), ("deletion", -1)):
        shape = x if sign > 0 else 1 - x
        power = np.exp(-sign * 2.5 * quality)[:, None]
        values = np.clip(0.9 * shape[None] ** power + rng.normal(0, 0.03, (len(quality), 11)), 0, 1)
        parts.append(
            pd.DataFrame(
                {
                    **{"image_index": np.repeat(np.arange(len(quality)), 11), "method": method, "baseline": baseline},
                    **{f"guidance.{name}": value for name, value in strengths.items()},
                    **{"curve": curve, "x": np.tile(x, len(quality)), "value": values.ravel()},
                }
            )
        )
    pd.concat(parts).to_parquet(folder / "curves.parquet")


def _picture(path: Path, rng: Any) -> None:
    from PIL import Image

    grid = np.kron(rng.integers(60, 230, (8, 24, 3)), np.ones((30, 30, 1))).astype(np.uint8)
    Image.fromarray(grid).save(path)


def tiny(root: Path, values: dict[str, list[float]], metric: str = "diffid", **columns: Any) -> Path:
    """One folder per method with the given values per image."""
    for method, of_images in values.items():
        folder = root / method.replace("/", "_").replace("<", "_")
        folder.mkdir(parents=True, exist_ok=True)
        row = {"dataset": "d", "classifier": "c", "objective": "logit", "baseline": "black", "n_paths": 1, "steps": 8}
        row |= {"label": 0, "prediction": 0, "seconds": 0.1, "forward_images": 1, "backward_images": 8, "gap": 0.01}
        row |= {"method": method, "seed": 0, "metric": metric, "status": "ok", **columns}
        frame = pd.DataFrame([{**row, "image_index": i, "value": value} for i, value in enumerate(of_images)])
        frame.to_parquet(folder / "rows.parquet")
    return root


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    root = synthetic_runs(tmp_path_factory.mktemp("sweep"), n_images=40)
    return root, build_report(root, n=500)


class Page(HTMLParser):
    """Counts tags, checks nesting, and collects everything that would reach outside the page."""

    VOID = frozenset({"meta", "img", "br", "hr", "link", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: dict[str, int] = {}
        self.ids: list[str] = []
        self.outside: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("src", "href", "xlink:href") and not (value or "").startswith(("#", "data:")):
                self.outside.append(f"{tag} {name}={value}")
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack.pop() != tag:
            self.unbalanced.append(tag)


def test_labels_name_only_what_varies(sweep: tuple[Path, Report]) -> None:
    labels = set(sweep[1].comparisons[0].ranked["diffid"]["setting"])
    assert len(labels) == 26
    assert {"ig black", "diffig_field faithfulness=0.2 blur"} < labels
    assert "diffig_field unguided black" in labels
    frame = pd.DataFrame(
        {
            **{"objective": "logit", "baseline": "black", "method": ["ig", "diffig_field", "diffig_field"]},
            **{
                "aggregation": ["", "mean", "mean"],
                "variant": ["", "grid=[4,4]", "grid=[8,8]"],
                "n_paths": [1.0, 1.0, 4.0],
                "steps": [50.0, 8.0, 8.0],
                "guidance.region": [0.0, 0.3, 0.3],
            },
        }
    )
    assert list(label_settings(frame)) == [
        "ig",
        "diffig_field n=1 grid=[4,4]",
        "diffig_field n=4 grid=[8,8]",
    ]
    frame["variant"] = ""
    assert list(label_settings(frame)) == ["ig", "diffig_field n=1", "diffig_field n=4"]
    frame["aggregation"], frame["n_paths"] = ["", "mean", "median"], 4.0
    assert list(label_settings(frame))[1:] == [
        "diffig_field aggregation=mean",
        "diffig_field aggregation=median",
    ]


def test_ranking_numbers_are_those_of_the_rows(sweep: tuple[Path, Report]) -> None:
    root, report = sweep
    table = report.comparisons[0].ranked["diffid"].set_index("setting")
    own = pd.read_parquet(root / "0" / "rows.parquet").query("metric == 'diffid'")
    line = table.loc["ig black"]
    assert line["mean"] == pytest.approx(own["value"].mean())
    assert line["low"] < line["mean"] < line["high"]
    assert (line["images"], line["seeds"], line["backward_images"]) == (40, 1, 64)
    assert line["gap"] == pytest.approx(own["gap"].abs().median())
    assert table.loc["guided_ig black", ["images", "failures"]].tolist() == [38, 2]
    assert table.loc["diffig_field unguided blur", "seeds"] == 3
    assert table["mean"].is_monotonic_decreasing
    assert report.comparisons[0].ranked["deletion"]["mean"].is_monotonic_increasing


def test_winner_reference_and_verdict_are_the_planted_ones(sweep: tuple[Path, Report]) -> None:
    comparison = sweep[1].comparisons[0]
    assert comparison.reference == "ig black"
    assert comparison.winner.startswith("diffig_field faithfulness=")
    assert comparison.headline == "diffig_field beats ig in diffid"
    pairs = comparison.paired["diffid"].set_index("setting")
    assert pairs.loc[comparison.winner, "verdict"] == "better"
    assert pairs.loc["random blur", "win_rate"] < 0.5
    assert pairs.loc["guided_ig black", ["images", "dropped"]].tolist() == [38, 2]
    assert (pairs["p_holm"] >= pairs["p"]).all()
    assert any("chosen among 26 settings" in sentence for sentence in comparison.sentences)


def test_seeds_of_one_image_are_one_observation(tmp_path: Path) -> None:
    first = tiny(tmp_path / "a", {"ig": [0.0, 1.0, 2.0, 3.0], "diffig_field": [1.0, 2.0, 3.0, 4.0]}, seed=0)
    second = tiny(tmp_path / "b", {"diffig_field": [3.0, 4.0, 5.0, 6.0]}, seed=1)
    comparison = build_report([first, second], n=200, formats=[], output=tmp_path).comparisons[0]
    top = comparison.ranked["diffid"].iloc[0]
    assert (top["setting"], top["mean"], top["images"], top["seeds"]) == ("diffig_field", 3.5, 4, 2)
    assert comparison.paired["diffid"]["difference"].tolist() == [2.0]


def test_competitor_and_ties_are_said_plainly(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 1, (2, 30))
    root = tiny(tmp_path, {"ig": list(noise[0]), "guided_ig": list(noise[0] + 0.001 + 0.5 * noise[1])})
    tiny(tmp_path, {"diffig_field": list(noise[0] - 1.0)})
    comparison = build_report(root, n=300, formats=[]).comparisons[0]
    text = " ".join(comparison.sentences)
    assert "cannot be told from" in text
    assert "includes 0" in text
    assert "The winner is not a DiffIG method: the best DiffIG setting, `diffig_field`, is number 3 of 3" in text
    assert comparison.headline == "No setting is clearly better than ig" or comparison.winner == "ig"


def test_reference_on_top_is_said_plainly(tmp_path: Path) -> None:
    comparison = build_report(tiny(tmp_path, {"ig": [1.0, 2.0], "x": [0.0, 1.0]}), n=50, formats=[]).comparisons[0]
    assert comparison.headline == "Nothing beats the reference ig"


def test_too_few_resamples_for_so_many_comparisons_are_noticed(tmp_path: Path) -> None:
    root = tiny(tmp_path, {name: [1.0, 2.0, 3.0] for name in "abcd"})
    assert "20 resamples are too few for 3" in build_report(root, n=20, formats=[]).comparisons[0].notices[0]
    assert not build_report(root, n=200, formats=[]).comparisons[0].notices


def test_lower_is_better_turns_ranking_wins_and_verdict(tmp_path: Path) -> None:
    root = tiny(tmp_path, {"ig": list(np.arange(20.0)), "x": list(np.arange(20.0) - 0.5)}, metric="deletion")
    comparison = build_report(root, headline="deletion", n=500, formats=["html"]).comparisons[0]
    line = comparison.paired["deletion"].iloc[0]
    assert comparison.winner == "x"
    assert (line["difference"], line["win_rate"], line["verdict"]) == (-0.5, 1.0, "better")
    assert comparison.disagreements[0]["ahead"] == "yes"
    expected = {
        "insertion_minus_deletion": False,
        "deletion": True,
        "absolute_mass": True,
        "gap_abs": True,
        "gini": False,
    }
    assert {name: wording.lower_is_better(name) for name in expected} == expected
    assert not any(wording.lower_is_better(name) for name in ("diffid", "diffid_pixel", "diffid_soft", "insertion"))


def test_page_is_whole_and_reaches_nothing_outside(sweep: tuple[Path, Report]) -> None:
    html = sweep[1].html
    assert html is not None
    assert html.parent == sweep[0]
    text = html.read_text()
    page = Page(text)
    assert not page.outside
    assert not page.unbalanced
    assert not page.stack
    assert len(page.ids) == len(set(page.ids))
    assert page.tags["svg"] == 8
    assert page.tags["img"] == 2
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert "@import" not in text
    assert not re.search(r"url\(\s*['\"]?(?!#)", text)
    assert "Failed or unfinished jobs (1)" in text
    assert "method=agi baseline=black" in text
    assert "a1b2c3d" in text


def test_page_escapes_what_runs_say(tmp_path: Path, sweep: tuple[Path, Report]) -> None:
    assert sweep[1].html is not None
    assert "&lt;b&gt;tried&lt;/b&gt;" in sweep[1].html.read_text()
    evil = "x<script>alert(1)</script>"
    root = tiny(tmp_path, {evil: [1.0, 2.0, 3.0], "ig": [0.0, 1.0, 1.0]}, label="<i>cat</i>")
    report = build_report(root, n=50, formats=["html", "tex", "md"])
    assert report.html is not None
    text = report.html.read_text()
    assert Page(text).tags["script"] == 1
    assert "<i>cat" not in text
    assert "alert" in text


def test_pictures_are_called_by_what_tells_their_runs_apart(sweep: tuple[Path, Report]) -> None:
    both = [sweep[0] / "0", sweep[0] / "1"]
    assert [name for name, _, _ in pictures_of(both)] == ["method=ig", "method=guided_ig"]
    ((name, address, wide),) = pictures_of(both[:1])
    assert name == "method=ig baseline=black"
    assert address.startswith("data:image/png;base64,")
    assert wide, "three times as wide as high"


def test_figures_share_colours_and_captions_state_findings(sweep: tuple[Path, Report]) -> None:
    comparison = sweep[1].comparisons[0]
    captions = {figure.name: figure.caption for figure in comparison.figures}
    assert set(captions) == {
        "ranked",
        "mean-ranks",
        "agreement",
        "curves",
        "guidance",
        "factor-baseline",
        "cost",
        "gap",
    }
    assert "is above ig black by ." in captions["ranked"]
    assert "faithfulness: best at 0." in captions["guidance"]
    assert "lowest mean deletion curve" in captions["curves"]
    assert captions["gap"].startswith("ig black has the smallest gap")
    ours = f"var(--c{comparison.look['diffig_field'].number})"
    assert all(ours in figure.svg for figure in comparison.figures)
    assert not any(colour in figure.svg for figure in comparison.figures for colour in SERIES)
    assert comparison.figures[0].pdf().startswith(b"%PDF")


def test_pareto_keeps_what_nothing_cheaper_beats() -> None:
    cost, quality = np.array([1.0, 2.0, 2.0, 3.0, 4.0]), np.array([0.1, 0.3, 0.2, 0.3, 0.5])
    assert pareto(cost, quality) == {0, 1, 4}


def test_files_hold_the_tables(sweep: tuple[Path, Report]) -> None:
    root, report = sweep
    ranked = pd.read_csv(root / "ranked.csv")
    assert len(ranked) == 26 * 5
    assert {"metric", "comparison", "low", "high"} < set(ranked.columns)
    markdown = (root / "paired.md").read_text()
    widths = {line.count("|") for line in markdown.splitlines() if line.startswith("|")}
    assert widths == {len(PAIRED_TITLES) + 1}
    latex = (root / "ranked.tex").read_text()
    assert r"diffig\_field" in latex
    assert latex.count(r"\begin{tabular}") == 5
    assert all(path.exists() for path in report.files)


def test_report_is_the_same_twice(tmp_path: Path) -> None:
    root = tiny(tmp_path / "runs", {"ig": [1.0, 2.0, 3.0], "diffig_field": [1.5, 2.6, 3.4]})
    first, second = (build_report(root, n=100, output=tmp_path / k, formats=["html"]).html for k in "ab")
    assert first is not None
    assert second is not None
    assert first.read_bytes() == second.read_bytes()


def test_equal_duplicates_count_once_and_conflicts_are_refused(tmp_path: Path) -> None:
    tiny(tmp_path / "one", {"ig": [1.0, 2.0]})
    tiny(tmp_path / "two", {"ig": [1.0, 2.0]}, seconds=9.0)
    report = build_report(tmp_path, n=50, formats=[])
    assert "2 rows occur more than once with equal values" in report.notices[0]
    assert report.comparisons[0].ranked["diffid"]["images"].tolist() == [2]
    for file in (tmp_path / "one").rglob("rows.parquet"):  # the first by name: what is kept is not what is told
        (file.parent / "taken_over.json").write_text("{}")
    report = build_report(tmp_path, n=50, formats=[])
    assert not [notice for notice in report.notices if "more than once" in notice], "a job has taken these over"
    assert report.comparisons[0].ranked["diffid"]["images"].tolist() == [2]
    tiny(tmp_path / "two", {"ig": [1.0, 2.0 + 1e-5]})  # as another batch size rounds
    (tmp_path / "two").rename(tmp_path / "three")
    for file in (tmp_path / "one").rglob("taken_over.json"):
        file.unlink()
    report = build_report(tmp_path, n=50, formats=[])
    assert "2 rows occur more than once with values within 1.0e-05 of each other" in report.notices[0]
    assert report.comparisons[0].ranked["diffid"]["images"].tolist() == [2]
    (tmp_path / "three").rename(tmp_path / "two")
    tiny(tmp_path / "two", {"ig": [1.0, 2.0 + 1e-4]})
    with pytest.raises(ValueError, match=r"share a key but not a value.*image_index=1.*pass only one of these runs"):
        build_report(tmp_path, n=50)
    tiny(tmp_path / "two", {"ig": [1.0, np.nan]})
    with pytest.raises(ValueError, match="share a key but not a value"):
        build_report(tmp_path, n=50)


def test_datasets_are_never_pooled(tmp_path: Path) -> None:
    tiny(tmp_path / "a", {"ig": [0.0, 0.1, 0.2], "x": [1.0, 1.1, 1.3]}, dataset="cats")
    tiny(tmp_path / "b", {"ig": [5.0, 5.1, 5.2], "y": [1.0, 1.1, 1.3]}, dataset="dogs")
    report = build_report(tmp_path, n=50, formats=["html"])
    assert [c.name for c in report.comparisons] == ["cats · c", "dogs · c"]
    assert [c.winner for c in report.comparisons] == ["x", "ig"]
    assert report.html is not None
    page = Page(report.html.read_text())
    assert len(page.ids) == len(set(page.ids))
    only_dogs = build_report(tmp_path, n=50, formats=[], reference="y")
    assert [c.name for c in only_dogs.comparisons] == ["dogs · c"]
    assert "cats" in only_dogs.notices[0]


def test_one_method_one_image_still_gives_a_page(tmp_path: Path) -> None:
    report = build_report(tiny(tmp_path, {"ig": [0.4]}), n=50, formats=["html", "pdf"])
    assert report.comparisons[0].headline == "ig alone, nothing to compare"
    assert (tmp_path / "cost.pdf").exists()
    assert report.html is not None
    assert not Page(report.html.read_text()).unbalanced


def test_failed_jobs_are_those_of_evaluate_without_rows(tmp_path: Path) -> None:
    tiny(tmp_path / "good", {"ig": [1.0, 2.0]})
    _job(tmp_path / "bad", ["method=agi"])
    _job(tmp_path / "training", ["module=classifier"])
    (tmp_path / "training" / ".hydra" / "hydra.yaml").write_text("hydra:\n  job:\n    config_name: train\n")
    failures = find_runs(tmp_path).failures
    assert [failure.overrides for failure in failures] == ["method=agi"]
    assert find_runs(str(tmp_path / "g*")).failures == []


def test_errors_say_what_to_do_next(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere \(does not exist\).*diffig-evaluate"):
        build_report(tmp_path / "nowhere")
    _job(tmp_path / "lost", ["method=ig"])
    with pytest.raises(FileNotFoundError, match="1 jobs there ended without rows"):
        build_report(tmp_path)
    root = tiny(tmp_path / "runs", {"ig": [1.0, 2.0], "x": [0.0, 1.0]})
    with pytest.raises(ValueError, match="neither a method nor a setting; choose one of: ig, x"):
        build_report(root, reference="gig", n=50)
    with pytest.raises(ValueError, match=r"headline='diffig'.*choose one of: diffid"):
        build_report(root, headline="diffig")
    with pytest.raises(ValueError, match=r"formats=\['docx'\]"):
        build_report(root, formats=["docx"])
    pd.DataFrame({"value": [1.0]}).to_parquet(root / "ig" / "rows.parquet")
    with pytest.raises(ValueError, match="lacks the columns"):
        build_report(root)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.1342, ".134"), (-0.06, "\N{MINUS SIGN}.060"), (0, "0"), (1.5, "1.50"), (0.9999, "1.000"), (1240, "1,240")),
        *((3.1e-5, "3.1e-05"), (float("nan"), "\N{EN DASH}"), (64.25, "64.2"), (9.999, "10.00")),
    ],
)
def test_numbers_read_well(value: float, text: str) -> None:
    assert wording.number(value) == text
    assert wording.number(0.06, signed=True) == "+.060"


def test_latex_escapes_what_would_break_it() -> None:
    frame = pd.DataFrame({"setting": ["a_b & 50 % {x}\\"], "mean": [-0.5]})
    text = to_latex(frame, {"setting": "Setting", "mean": "Mean"}, "c_1")
    assert r"a\_b \& 50 \% \{x\}\textbackslash{} & $-$.500 \\" in text
    assert r"\caption{c\_1}" in text


def test_command_line_prints_the_ranking_and_its_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("diffig.config")
    from diffig.cli.report import program as main

    root = tiny(tmp_path / "runs", {"ig": [1.0, 2.0, 3.0], "diffig_field": [1.5, 2.6, 3.4]})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["diffig-report", f"runs={root}", "bootstrap.n=100"])
    main()
    out = capsys.readouterr().out
    assert "diffig_field" in out
    assert "report.html" in out
    assert (root / "report.html").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]  # Hydra leaves nothing behind
    monkeypatch.setattr(sys, "argv", ["diffig-report", f"runs={root}", "bootstrap.n=100", "compare=diffig_field,ig"])
    main()
    out = " ".join(capsys.readouterr().out.split())
    assert (
        "diffid: diffig_field and ig cannot be told apart, difference +.500 [+.400, +.600], better on 100 % of 3" in out
    )
    assert "Price for one image: diffig_field 8 backward images" in out
    assert "cannot be told apart" in (root / "report.html").read_text()
    for arguments, message in (
        (["runs=none"], "no rows.parquet below: none"),
        ([], "runs is not set"),
        ([f"runs={root}", "compare=ig"], "must name two"),
        ([f"runs={root}", "compare=ig,gig"], "'gig' is neither"),
    ):
        monkeypatch.setattr(sys, "argv", ["diffig-report", *arguments])
        with pytest.raises(SystemExit, match=message):
            main()


def test_terminal_table_shows_labels_with_brackets(sweep: tuple[Path, Report]) -> None:
    pytest.importorskip("diffig.config")
    from rich.console import Console

    from diffig.cli.report import terminal_table

    console = Console(file=io.StringIO(), width=160)
    console.print(terminal_table(sweep[1].comparisons[0]))
    assert isinstance(console.file, io.StringIO)
    assert "(reference)" in console.file.getvalue()
    assert "best 20 of 26" in console.file.getvalue()
