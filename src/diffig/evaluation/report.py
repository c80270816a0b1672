"""Folders of runs -> one self-contained report.html, and its tables as files.

Everything is derived from ``rows.parquet`` (and, where a run has them, ``curves.parquet``, ``attributions.png``,
``config.yaml`` and ``environment.json``), so a report can be rebuilt at any time without a GPU.
"""

from __future__ import annotations

import base64
import contextlib
import glob
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffig.evaluation import plots, tables
from diffig.evaluation.tables import cell, count, estimate, lower_is_better, number, p_text

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("md", "csv", "tex", "html", "pdf")
OURS = "diffig"  # methods of this project; every other winner is a competitor
MOST_PICTURES = 12


class Failure(NamedTuple):
    """A job that left a ``.hydra`` folder and no rows."""

    folder: str
    overrides: str
    last_words: str


class Found(NamedTuple):
    """What lies in the searched folders."""

    row_files: list[Path]
    failures: list[Failure]
    searched: list[Path]


@dataclass
class Comparison:
    """All tables, figures and words about one dataset and one classifier."""

    name: str
    metric: str
    metrics: list[str]
    reference: str
    ranked: dict[str, pd.DataFrame]
    paired: dict[str, pd.DataFrame]
    headline: str
    sentences: list[str]
    facts: list[tuple[str, str, str]]
    disagreements: list[dict[str, str]]
    winner: str
    rival: str
    notices: list[str] = field(default_factory=list)
    figures: list[plots.Figure] = field(default_factory=list)
    look: dict[str, plots.Style] = field(default_factory=dict)
    overview: pd.DataFrame | None = None


class Report(NamedTuple):
    """Paths of what was written, and the comparisons it shows."""

    html: Path | None
    files: list[Path]
    comparisons: list[Comparison]
    failures: list[Failure]
    notices: list[str]


def find_runs(runs: str | Path | Sequence[str | Path]) -> Found:
    """Files ``rows.parquet`` below the given paths or globs, and jobs that left none.

    Raises:
        FileNotFoundError: if there is no ``rows.parquet``; says what was searched and how to make one.
    """
    given = [str(path) for path in ([runs] if isinstance(runs, str | Path) else runs)]
    searched = [Path(match) for path in given for match in (sorted(glob.glob(path, recursive=True)) or [path])]
    files = {file for path in searched for file in ([path] if path.is_file() else path.rglob("rows.parquet"))}
    row_files = sorted(file for file in files if file.name == "rows.parquet")
    jobs = sorted({job.parent for path in searched if path.is_dir() for job in path.rglob(".hydra")})
    lost = [job for job in jobs if not any(job in file.parents for file in row_files) and _is_evaluation(job)]
    failures = [Failure(_short(job), _overrides(job), _last_words(job)) for job in lost]
    if not row_files:
        places = ", ".join(f"{path}{'' if path.exists() else ' (does not exist)'}" for path in searched) or "nothing"
        gone = f" {len(lost)} jobs there ended without rows." if lost else ""
        raise FileNotFoundError(
            f"no rows.parquet below: {places}.{gone} Write one with "
            "`diffig-evaluate dataset=... classifier=... method=ig` and give its output folder as runs=..."
        )
    return Found(row_files, failures, searched)


def build_report(
    runs: str | Path | Sequence[str | Path],
    reference: str | None = None,
    headline: str = "diffid",
    output: str | Path | None = None,
    formats: Sequence[str] = ("md", "csv", "tex", "html"),
    n: int = 10_000,
    seed: int = 0,
) -> Report:
    """What was written where, with all tables as data frames.

    Args:
        runs: a folder, a list of folders or a glob, searched recursively for ``rows.parquet``.
        reference: method or setting everything is compared with; a method stands for its best setting.
        headline: the metric that decides the ranking.
        output: folder to write into; by default the searched folder, or ``outputs/report`` if there are several.
        formats: any of ``md csv tex html pdf``.
        n: resamples of bootstrap and permutation test.
        seed: of both.

    Raises:
        FileNotFoundError: no rows.
        ValueError: an unknown format, headline or reference; rows that contradict each other.
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise ValueError(f"formats={unknown} unknown; choose from {', '.join(FORMATS)}.")
    found = find_runs(runs)
    rows, notices = tables.read_rows(found.row_files)
    metrics = sorted(rows["metric"].unique())
    if headline not in metrics:
        raise ValueError(f"headline={headline!r} was not measured in these runs; choose one of: {', '.join(metrics)}.")
    draw = bool({"html", "pdf"} & set(formats))
    curves = _read_curves(found.row_files, rows) if draw else None
    comparisons, refused = [], []
    groups = list(rows.groupby(tables.COMPARISON, sort=True))
    for (dataset, classifier), own in groups:
        name = f"{dataset} · {classifier}"
        if headline not in set(own["metric"]):
            notices.append(f"{name} has no rows of {headline} and is left out.")
            continue
        own = own.assign(setting=tables.label_settings(own))
        own_curves = _of_comparison(curves, own)
        try:
            comparisons.append(_compare(name, own, own_curves, headline, reference, n, seed, draw))
        except LookupError as error:
            refused.append(str(error.args[0]))
            notices.append(f"{name} is left out: {error.args[0]}")
    if not comparisons:
        raise ValueError(refused[0])
    folder = _output_folder(output, found)
    folder.mkdir(parents=True, exist_ok=True)
    files = _write_tables(folder, comparisons, formats)
    html = None
    if "html" in formats:
        html = folder / "report.html"
        html.write_text(render(comparisons, found, rows, notices, n, seed), encoding="utf-8")
        files.append(html)
    return Report(html, files, comparisons, found.failures, notices)


def _compare(
    name: str,
    rows: pd.DataFrame,
    curves: pd.DataFrame | None,
    metric: str,
    wanted: str | None,
    n: int,
    seed: int,
    draw: bool,
) -> Comparison:
    metrics = [metric, *sorted(m for m in rows["metric"].unique() if m != metric)]
    ranked = {m: tables.ranked(rows, m, n, seed) for m in metrics}
    try:
        reference = tables.find_reference(ranked[metric], wanted)
    except ValueError as error:
        raise LookupError(str(error)) from error
    paired = {m: tables.paired(rows, m, reference, n, seed) for m in metrics if reference in set(ranked[m]["setting"])}
    top = ranked[metric]
    look = plots.styles(list(top["method"]))
    best = top[~top["method"].duplicated()]
    winner = top.iloc[0]["setting"]
    rival = reference if reference != winner or len(top) == 1 else top.iloc[1]["setting"]
    title, sentences, facts = _verdict(rows, top, paired[metric], metric, reference, n, seed)
    drawn: list[plots.Figure | None] = []
    if draw:
        drawn = [
            plots.ranked_figure(top, paired[metric], metric, reference, look),
            plots.curves_figure(curves, best, metric, look) if curves is not None else None,
            plots.guidance_figure(rows, top, metric, reference, look),
            plots.cost_figure(top, metric, reference, look),
            plots.gap_figure(rows, best, look),
        ]
    return Comparison(
        name=name,
        metric=metric,
        metrics=metrics,
        reference=reference,
        ranked=ranked,
        paired=paired,
        headline=title,
        sentences=sentences,
        facts=facts,
        disagreements=_disagreements(rows, metric, winner, rival),
        winner=winner,
        rival=rival,
        notices=_notices(rows, top, metric, n),
        figures=[figure for figure in drawn if figure is not None],
        look=look,
        overview=_overview(best, ranked, metrics),
    )


def _verdict(
    rows: pd.DataFrame, top: pd.DataFrame, pairs: pd.DataFrame, metric: str, reference: str, n: int, seed: int
) -> tuple[str, list[str], list[tuple[str, str, str]]]:
    """Title, sentences and facts (name, number, remark) that answer: who wins, by how much, how sure, at what price."""
    best, anchor = top.iloc[0], top[top["setting"] == reference].iloc[0]
    ours = str(best["method"]).startswith(OURS)
    value = estimate(best["mean"], best["low"], best["high"])
    sentences = [f"`{best['setting']}` has the best {metric}: {value} on {best['images']} images."]
    facts = [(f"{metric} of the winner", number(best["mean"]), f"95 % {_span(best['low'], best['high'])}")]
    if best["setting"] == reference:
        title = f"Nothing beats the reference {reference}" if len(top) > 1 else f"{reference} alone, nothing to compare"
        sentences.append("This is the reference itself." if len(top) > 1 else "It is the only setting in these runs.")
    else:
        pair = pairs[pairs["setting"] == best["setting"]].iloc[0]
        sure = pair["verdict"] == "better"
        beaten = anchor["method"] if anchor["method"] != best["method"] else reference
        title = (
            f"{best['method']} beats {beaten} in {metric}" if sure else f"No setting is clearly better than {beaten}"
        )
        sentences.append(
            f"It {plots.against(pair, f'`{reference}`')} "
            f"(better on {cell('win_rate', pair['win_rate'])} of {pair['images']} common images, "
            f"p {_equals(pair['p_holm'])} after Holm's correction for {len(pairs)} comparisons)."
        )
        facts.append(
            (
                f"difference to {reference}",
                number(pair["difference"], signed=True),
                f"95 % {_span(pair['low'], pair['high'], True)}",
            )
        )
        facts.append(("wins image by image", cell("win_rate", pair["win_rate"]), f"of {pair['images']} common images"))
    others = top[top["method"] != best["method"]]
    if len(others) and others.iloc[0]["setting"] != reference:
        second = others.iloc[0]["setting"]
        duel = tables.paired(rows[rows["setting"].isin([best["setting"], second])], metric, second, n, seed).iloc[0]
        sentences.append(f"The best setting of another method is `{second}`; the winner {plots.against(duel, 'it')}.")
    ratio = best["backward_images"] / anchor["backward_images"] if anchor["backward_images"] > 0 else np.nan
    price = f"{count(best['backward_images'])} backward images and {number(best['seconds'])} s per image"
    if np.isfinite(ratio) and best["setting"] != reference:
        price += f", {number(ratio)} times the backward images of `{reference}`"
    sentences.append(f"Price: {price}.")
    remark = f"{count(anchor['backward_images'])} for {reference}" if best["setting"] != reference else "the reference"
    facts.append(("backward images per image", count(best["backward_images"]), remark))
    if not ours:
        own = top[top["method"].str.startswith(OURS)]
        standing = (
            f"the best DiffIG setting, `{own.iloc[0]['setting']}`, is number {own.iloc[0]['rank']} of {len(top)} "
            f"({estimate(own.iloc[0]['mean'], own.iloc[0]['low'], own.iloc[0]['high'])})"
            if len(own)
            else "no DiffIG method was run"
        )
        sentences.append(f"The winner is not a DiffIG method: {standing}.")
    if len(top) > 2:
        sentences.append(
            f"The winner was chosen among {len(top)} settings on these same images, so its lead is optimistic; "
            "confirm it on other images."
        )
    return title, sentences, facts


def _equals(p: float) -> str:
    text = p_text(p)
    return text if text.startswith("<") else f"= {text}"


def _span(low: float, high: float, signed: bool = False) -> str:
    return f"{number(low, signed)} to {number(high, signed)}"


def _notices(rows: pd.DataFrame, top: pd.DataFrame, metric: str, n: int) -> list[str]:
    notices = []
    if (len(top) - 1) / (n + 1) >= 0.05:
        notices.append(
            f"{n} resamples are too few for {len(top) - 1} comparisons: after Holm's correction nothing can be clear. "
            f"Use bootstrap.n={200 * len(top)} or more."
        )
    if top["images"].nunique() > 1:
        notices.append(
            f"Settings were measured on {top['images'].min()} to {top['images'].max()} images: "
            "means are not strictly comparable, the paired table (common images only) is."
        )
    protocols = rows[rows["metric"] == metric]["protocol"].dropna().unique()
    if len(protocols) > 1:
        names = ", ".join(map(str, protocols))
        notices.append(f"{metric} was measured under {len(protocols)} protocols ({names}): compare with care.")
    failed = int(top["failures"].sum())
    if failed:
        worst = top.loc[top["failures"].idxmax()]
        most = f"{worst['setting']} ({worst['failures']})"
        notices.append(f"{failed} values of {metric} are not finite and left out, most in {most}.")
    if rows["seed"].nunique() == 1 and top["method"].str.startswith(OURS).any():
        notices.append("One seed only: the variation between random paths is not in these intervals.")
    return notices


def _overview(best: pd.DataFrame, ranked: dict[str, pd.DataFrame], metrics: list[str]) -> pd.DataFrame | None:
    """Best setting of each method x all metrics: means."""
    import pandas as pd

    if len(metrics) < 2 or len(best) < 2:
        return None
    columns = {metric: ranked[metric].set_index("setting")["mean"] for metric in metrics}
    return pd.DataFrame(columns).reindex(best["setting"])


def _disagreements(rows: pd.DataFrame, metric: str, winner: str, rival: str, most: int = 5) -> list[dict[str, str]]:
    """Images where the winner is furthest ahead of its rival, and furthest behind."""
    values = tables.image_table(rows, metric)
    if winner == rival:
        return []
    difference = (values[winner] - values[rival]).dropna()
    gain = (-difference if lower_is_better(metric) else difference).sort_values(kind="stable")
    picked = [*gain[gain > 0].index[::-1][:most], *gain[gain < 0].index[:most][::-1]]
    about = rows.drop_duplicates("image_index").set_index("image_index")
    return [
        {
            "image": str(image),
            "label": _plain(about.loc[image, "label"]),
            "prediction": _plain(about.loc[image, "prediction"]),
            "winner": number(values.loc[image, winner]),
            "rival": number(values.loc[image, rival]),
            "difference": number(difference.loc[image], signed=True),
            "size": f"{100 * abs(difference.loc[image]) / max(difference.abs().max(), 1e-12):.0f}",
            "ahead": "yes" if gain.loc[image] > 0 else "",
        }
        for image in picked
    ]


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return tables.DASH if np.isnan(value) else f"{value:g}"
    return str(value)


def _read_curves(row_files: list[Path], rows: pd.DataFrame) -> pd.DataFrame | None:
    """All ``curves.parquet`` beside the rows; keys they do not carry are taken from the rows of the same run."""
    import pandas as pd

    frames = []
    for file in row_files:
        path = file.with_name("curves.parquet")
        if not path.exists():
            continue
        curves = pd.read_parquet(path)
        own = rows[rows["run"] == str(file.parent)]
        for key in [*tables.COMPARISON, *tables.SETTING, *tables.guidance_columns(rows)]:
            if key not in curves.columns:
                fallback = 0.0 if key.startswith(tables.GUIDANCE) else np.nan
                first = own.groupby("method")[key].first()
                curves[key] = curves["method"].map(first).fillna(fallback)
            elif key.startswith(tables.GUIDANCE):
                curves[key] = curves[key].fillna(0.0)
        frames.append(curves)
    return pd.concat(frames, ignore_index=True) if frames else None


def _of_comparison(curves: pd.DataFrame | None, rows: pd.DataFrame) -> pd.DataFrame | None:
    """The curves of this dataset and classifier, labelled like the rows."""
    if curves is None:
        return None
    keys = [*tables.COMPARISON, *tables.SETTING, *tables.guidance_columns(rows)]
    settings = rows[[*keys, "setting"]].drop_duplicates()
    typed = curves.astype({key: settings[key].dtype for key in keys})
    matched = typed.merge(settings, on=keys)
    return matched if len(matched) else None


def _write_tables(folder: Path, comparisons: list[Comparison], formats: Sequence[str]) -> list[Path]:
    import pandas as pd

    files: list[Path] = []

    def write(name: str, text: str) -> None:
        files.append(folder / name)
        files[-1].write_text(text, encoding="utf-8")

    kinds = (("ranked", tables.RANKED_TITLES), ("paired", tables.PAIRED_TITLES))
    for kind, titles in kinds:
        parts = [(c, metric, table) for c in comparisons for metric, table in getattr(c, kind).items() if len(table)]
        if not parts:
            continue
        if "csv" in formats:
            long = [table.assign(comparison=c.name, metric=metric) for c, metric, table in parts]
            write(f"{kind}.csv", pd.concat(long, ignore_index=True).to_csv(index=False))
        if "md" in formats:
            write(f"{kind}.md", "\n".join(f"## {c.name}: {m}\n\n{tables.to_markdown(t, titles)}" for c, m, t in parts))
        if "tex" in formats:
            write(f"{kind}.tex", "\n".join(tables.to_latex(t, titles, f"{c.name}: {m}") for c, m, t in parts))
    if "pdf" in formats:
        for i, comparison in enumerate(comparisons, start=1):
            for figure in comparison.figures:
                files.append(folder / (f"{figure.name}.pdf" if len(comparisons) == 1 else f"{figure.name}-{i}.pdf"))
                files[-1].write_bytes(figure.pdf())
    return files


def _output_folder(output: str | Path | None, found: Found) -> Path:
    if output is not None:
        return Path(output)
    only = found.searched[0] if len(found.searched) == 1 else None
    if only is None:
        return Path("outputs/report")
    return only if only.is_dir() else only.parent


def render(
    comparisons: list[Comparison], found: Found, rows: pd.DataFrame, notices: list[str], n: int, seed: int
) -> str:
    """The whole page as one string; nothing in it points outside."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        cell=cell,
        number=number,
        lower=lower_is_better,
        svg=lambda f, i: Markup(_unique_ids(f, i)),
        bar=_bar,
        columns=_columns,
    )
    folders = [file.parent for file in found.row_files]
    page = environment.get_template("template.html.j2").render(
        comparisons=comparisons,
        failures=found.failures,
        notices=notices,
        ranked_titles=tables.RANKED_TITLES,
        paired_titles=tables.PAIRED_TITLES,
        neutral=plots.NEUTRAL,
        series=plots.SERIES,
        pictures=_pictures(folders),
        n_more_pictures=max(0, sum((f / "attributions.png").exists() for f in folders) - MOST_PICTURES),
        runs=[
            {"folder": _short(f), "overrides": _overrides(f), "rows": int((rows["run"] == str(f)).sum())}
            for f in folders
        ],
        configs=_distinct(folders, ["config.yaml", ".hydra/config.yaml"]),
        environments=_distinct(folders, ["environment.json"]),
        n=n,
        seed=seed,
    )
    return str(page)


def _columns(figures: list[plots.Figure]) -> tuple[list[plots.Figure], list[plots.Figure]]:
    """Two columns of about equal height."""
    columns: tuple[list[plots.Figure], list[plots.Figure]] = ([], [])
    heights = [0.0, 0.0]
    for figure in figures:
        shorter = int(heights[1] < heights[0])
        columns[shorter].append(figure)
        heights[shorter] += figure.canvas.get_figheight() + 1.7  # inches of title and caption
    return columns


def _unique_ids(figure: plots.Figure, section: int) -> str:
    start = f"{figure.name}-"
    svg = figure.svg
    for before in ('id="', 'href="#', "url(#"):
        svg = svg.replace(before + start, f"{before}s{section}-{start}")
    return svg


def _bar(low: float, mean: float, high: float, table: pd.DataFrame) -> dict[str, str] | None:
    """Places of a small interval bar in percent of the table's range."""
    left, right = table[["low", "mean" if "mean" in table else "difference"]].min().min(), table["high"].max()
    if not np.isfinite([low, mean, high, left, right]).all() or right <= left:
        return None
    left, right = (min(left, 0.0), max(right, 0.0)) if "difference" in table else (left, right)

    def place(value: float) -> str:
        return f"{100 * (value - left) / (right - left):.1f}%"

    return {
        "low": place(low),
        "mean": place(mean),
        "width": f"{100 * (high - low) / (right - left):.1f}%",
        "zero": place(0.0) if left <= 0 <= right else "",
    }


def _pictures(folders: list[Path]) -> list[tuple[str, str]]:
    """Name and data address of each attribution grid; wide ones are shrunk so that the page stays mailable."""
    pictures = []
    for folder in [f for f in folders if (f / "attributions.png").exists()][:MOST_PICTURES]:
        data = (folder / "attributions.png").read_bytes()
        if len(data) > 400_000:
            data = _shrunk(data)
        address = "data:image/png;base64," if data.startswith(b"\x89PNG") else "data:image/jpeg;base64,"
        pictures.append((_overrides(folder) or _short(folder), address + base64.b64encode(data).decode()))
    return pictures


def _shrunk(data: bytes, width: int = 1600) -> bytes:
    from PIL import Image

    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture.thumbnail((width, 10 * width))
    out = io.BytesIO()
    picture.save(out, format="JPEG", quality=88)
    return out.getvalue()


def _distinct(folders: list[Path], names: list[str]) -> list[tuple[str, str]]:
    """Each different text among the first named file that every folder has, with the folders that share it."""
    shared: dict[str, list[str]] = {}
    for folder in folders:
        file = next((folder / name for name in names if (folder / name).exists()), None)
        if file is not None:
            text = file.read_text(encoding="utf-8", errors="replace").strip()
            if file.suffix == ".json":
                with contextlib.suppress(json.JSONDecodeError):
                    text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
            shared.setdefault(text, []).append(_short(folder))
    return [
        (f"{used[0]}" + (f" and {len(used) - 1} more" if len(used) > 1 else ""), text) for text, used in shared.items()
    ]


def _short(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return "/".join(path.parts[-3:])


def _yaml(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return None


def _overrides(folder: Path) -> str:
    loaded = _yaml(folder / ".hydra" / "overrides.yaml")
    return " ".join(map(str, loaded)) if isinstance(loaded, list) else ""


def _is_evaluation(folder: Path) -> bool:
    """False for folders of other programs (a training run has no rows either)."""
    hydra = (_yaml(folder / ".hydra" / "hydra.yaml") or {}).get("hydra") or {}
    return str((hydra.get("job") or {}).get("config_name") or "evaluate") == "evaluate"


def _last_words(folder: Path) -> str:
    for log in sorted(folder.glob("*.log")):
        lines = [
            line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
        if lines:
            return lines[-1][:300]
    return ""
