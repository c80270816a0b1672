"""All comparisons of the runs found, written as files and as one page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from diffig.evaluation.metric_info import read_metric_info
from diffig.io import write_text
from diffig.renamed import current_metric, tell
from diffig.report.comparison import Comparison, compare
from diffig.report.contents import contents_of
from diffig.report.files import output_folder, write_tables
from diffig.report.page import render
from diffig.report.reading import once_each, read_rows
from diffig.report.runs import Failure, Found, find_runs
from diffig.report.settings import label_settings
from diffig.report.wording import HEADLINES, as_said, judges_methods

FORMATS = ("md", "csv", "tex", "html", "pdf")


class Report(NamedTuple):
    """Paths of what was written, the comparisons it shows, and the names of the sweeps that its rows are from."""

    html: Path | None
    files: list[Path]
    comparisons: list[Comparison]
    failures: list[Failure]
    notices: list[str]
    folder: Path
    sweeps: list[str]

    def __repr__(self) -> str:
        return f"Report({'; '.join(c.headline for c in self.comparisons)}: {self.html or self.folder})"

    def _repr_html_(self) -> str:
        """The verdicts and the way to the page, in a notebook."""
        import re
        from html import escape

        said = [f"<p><b>{escape(c.headline)}</b>. {escape(' '.join(c.sentences))}</p>" for c in self.comparisons]
        said = [re.sub("`([^`]+)`", r"<code>\1</code>", sentence) for sentence in said]
        page = escape(str(self.html or self.folder))
        return "".join([*said, f'<p><a href="{page}">{page}</a></p>'])


def build_report(
    runs: str | Path | Sequence[str | Path],
    reference: str | None = None,
    headline: str | None = None,
    output: str | Path | None = None,
    formats: Sequence[str] = ("md", "csv", "tex", "html"),
    n: int = 10_000,
    seed: int = 0,
    pair: Sequence[str] | None = None,
) -> Report:
    """Return what was written where, with all tables as data frames.

    Args:
        runs: a folder, a list of folders or a glob, searched recursively for `rows.parquet`.
        reference: method or setting everything is compared with; a method stands for its best setting.
        headline: the metric that decides the ranking; by default `diffid`, and where rows have none (as under the
            authors' protocol) `diffid_normalised`.
        output: folder to write into; by default the searched folder, or `outputs/report` if there are several.
        formats: any of `md csv tex html pdf`.
        n: resamples of bootstrap and permutation test.
        seed: of both.
        pair: two methods or settings to compare in every metric.

    Raises:
        FileNotFoundError: no rows.
        ValueError: an unknown format, headline or reference; rows that contradict each other.
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise ValueError(f"formats={unknown} unknown; choose from {', '.join(FORMATS)}.")
    if pair is not None and len(pair) != 2:
        raise ValueError(f"compare={list(pair)} must name two methods or settings, as in compare=spi,ig.")
    if headline is not None and current_metric(headline) != headline:
        tell(f"metric {headline}", headline := current_metric(headline))
    found = find_runs(runs)
    with as_said(read_metric_info(file.parent for file in found.row_files)):
        return _build(found, reference, headline, output, formats, n, seed, pair)


def _build(
    found: Found,
    reference: str | None,
    headline: str | None,
    output: str | Path | None,
    formats: Sequence[str],
    n: int,
    seed: int,
    pair: Sequence[str] | None,
) -> Report:
    """The report of the runs found, their metrics read as they say."""
    contents, notices = contents_of(found.row_files), []
    metrics = contents.metrics
    if headline is not None and headline not in metrics:
        raise ValueError(f"headline={headline!r} was not measured in these runs; choose one of: {', '.join(metrics)}.")
    if headline is not None and not judges_methods(headline):
        raise ValueError(f"headline={headline!r} describes images or classifier and ranks no methods; choose another.")
    if headline is None and not set(HEADLINES) & set(metrics):
        raise ValueError(f"{HEADLINES[0]} was not measured; set headline=... to one of: {', '.join(metrics)}.")
    if len(contents.protocols) > 1:
        named = ", ".join(protocol or "unnamed" for protocol in contents.protocols)
        notices.append(
            f"These runs follow {len(contents.protocols)} protocols ({named}). Each has tables of its own: images,"
            " quadrature and metrics differ, so numbers of one do not compare with numbers of another."
        )
    draw = bool({"html", "pdf"} & set(formats))
    comparisons, refused = [], []
    counts: Counter[str] = Counter()
    for key, files in contents.files.items():
        dataset, classifier, protocol = key
        name = f"{dataset} · {classifier}" + (f" · protocol {protocol}" if protocol else "")
        own, said = read_rows(files, key)
        notices += said
        counts.update(own["run"].value_counts().to_dict())
        measured = set(own["metric"])
        metric = headline or next((known for known in HEADLINES if known in measured), HEADLINES[0])
        if metric not in measured:
            notices.append(f"{name} has no rows of {metric} and is left out.")
            continue
        own, once = once_each(own, metric)
        if once:
            notices.append(f"{name}: {', '.join(once)} gave the same with several baselines and count once.")
        own = own.assign(setting=label_settings(own))
        try:
            comparisons.append(
                compare(name, own, files, metric, reference, n, seed, draw, (pair[0], pair[1]) if pair else None)
            )
        except LookupError as error:
            refused.append(str(error.args[0]))
            notices.append(f"{name} is left out: {error.args[0]}")
    if not comparisons:
        raise ValueError(refused[0] if refused else " ".join(notices))
    folder = output_folder(output, found)
    written = write_tables(folder, comparisons, formats)
    html = None
    if "html" in formats:
        html = folder / "report.html"
        write_text(html, render(comparisons, found, counts, notices, n, seed))
        written.append(html)
    return Report(html, written, comparisons, found.failures, notices, folder, contents.sweeps)
