"""Tables and figures as files: Markdown, CSV, LaTeX and PDF."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from diffig.io import write_bytes, write_text
from diffig.report.ranking import PAIRED_TITLES, RANKED_TITLES
from diffig.report.reliability import RELIABILITY_TITLES
from diffig.report.wording import DASH, MINUS, cell

if TYPE_CHECKING:
    import pandas as pd

    from diffig.report.comparison import Comparison
    from diffig.report.runs import Found


def write_tables(folder: Path, comparisons: list[Comparison], formats: Sequence[str]) -> list[Path]:
    """Return the files written: all tables of a kind as one file of each format, and figures as PDF."""
    files: list[Path] = []

    def write(name: str, text: str) -> None:
        files.append(folder / name)
        write_text(files[-1], text)

    kinds = (("ranked", RANKED_TITLES), ("paired", PAIRED_TITLES), ("reliability", RELIABILITY_TITLES))
    for kind, titles in kinds:
        parts = [(c, name, table) for c in comparisons for name, table in tables_of(c, kind).items() if len(table)]
        if not parts:
            continue
        if "csv" in formats:
            write(f"{kind}.csv", long_table(comparisons, kind).to_csv(index=False))
        if "md" in formats:
            write(
                f"{kind}.md",
                "\n".join(f"## {c.name}: {m}\n\n{_said_of(c)}\n\n{to_markdown(t, titles)}" for c, m, t in parts),
            )
        if "tex" in formats:
            write(f"{kind}.tex", "\n".join(to_latex(t, titles, f"{c.name}: {m}. {_said_of(c)}") for c, m, t in parts))
    if "pdf" in formats:
        for i, comparison in enumerate(comparisons, start=1):
            for figure in comparison.figures:
                files.append(folder / (f"{figure.name}.pdf" if len(comparisons) == 1 else f"{figure.name}-{i}.pdf"))
                write_bytes(files[-1], figure.pdf())
    return files


def _said_of(comparison: Comparison) -> str:
    """What stands with a table on its own: what its settings share, and where it comes from."""
    return f"{comparison.common}. {comparison.note}" if comparison.common else comparison.note


def tables_of(comparison: Comparison, kind: str) -> dict[str, pd.DataFrame]:
    """Return the tables of one kind, `ranked`, `paired` or `reliability`, by metric or, where one says all, by kind."""
    found = getattr(comparison, kind)
    return found if isinstance(found, dict) else {} if found is None else {kind: found}


def long_table(comparisons: list[Comparison], kind: str) -> pd.DataFrame:
    """Return all tables of one kind as one, with the columns `comparison` and `metric`."""
    import pandas as pd

    parts = [
        table.assign(comparison=c.name, **({} if "metric" in table else {"metric": name}))
        for c in comparisons
        for name, table in tables_of(c, kind).items()
        if len(table)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def output_folder(output: str | Path | None, found: Found) -> Path:
    """Return where a report goes: what was asked for, else the one folder of its runs, else `outputs/report`."""
    if output is not None:
        return Path(output)
    only = found.searched[0] if len(found.searched) == 1 else None
    if only is None:
        return Path("outputs/report")
    return only if only.is_dir() else only.parent


def to_markdown(table: pd.DataFrame, titles: dict[str, str]) -> str:
    """Return a GitHub table; numbers right-aligned."""
    lines = [_markdown_line(titles.values())]
    lines.append("|" + "|".join("---" if _is_text(table, name) else "---:" for name in titles) + "|")
    lines += [_markdown_line(cell(name, row[name]) for name in titles) for row in table.to_dict("records")]
    return "\n".join(lines) + "\n"


def to_latex(table: pd.DataFrame, titles: dict[str, str], caption: str) -> str:
    """Return a `booktabs` table float."""
    columns = "".join("l" if _is_text(table, name) else "r" for name in titles)
    body = [_latex_line(cell(name, row[name]) for name in titles) for row in table.to_dict("records")]
    parts = [r"\begin{table}", r"\centering", rf"\caption{{{_latex(caption)}}}", rf"\begin{{tabular}}{{{columns}}}"]
    parts += [r"\toprule", _latex_line(titles.values()), r"\midrule", *body, r"\bottomrule"]
    return "\n".join([*parts, r"\end{tabular}", r"\end{table}", ""])


def _is_text(table: pd.DataFrame, column: str) -> bool:
    return bool(len(table)) and isinstance(table[column].iloc[0], str)


def _markdown_line(cells: Iterable[str]) -> str:
    return _line(cells, "| ", " | ", " |", lambda text: text.replace("|", "\\|"))


def _latex_line(cells: Iterable[str]) -> str:
    return _line(cells, "", " & ", r" \\", _latex)


def _line(cells: Iterable[str], start: str, between: str, end: str, escape: Callable[[str], str]) -> str:
    return start + between.join(escape(text) for text in cells) + end


def _latex(text: str) -> str:
    special = {c: "\\" + c for c in "&%$#_{}"}
    special |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {MINUS: "$-$", DASH: "--", "<": "$<$", ">": "$>$", "|": "$|$", "±": r"$\pm$"}
    return "".join(special.get(character, character) for character in text)
