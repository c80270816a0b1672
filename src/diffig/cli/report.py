"""diffig-report: tables and one HTML page from the rows of finished runs.

diffig-report runs=outputs/evaluate
diffig-report runs=outputs/sweeps compare=diffig_field,ig        # is it better, by how much, how sure
diffig-report runs=outputs/sweeps/mine logger=wandb logger.offline=true   # also as one run on a dashboard
diffig-report 'runs=[outputs/a,outputs/b]' reference=guided_ig headline=insertion_minus_deletion formats=[html,pdf]
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from diffig.cli.help import answers
from diffig.cli.interrupt import interruptible
from diffig.cli.launch import one_line, quiet
from diffig.cli.values import check_values
from diffig.config import CONF_DIR

if TYPE_CHECKING:
    from rich.table import Table

    from diffig.report import Comparison


@interruptible
@answers
@hydra.main(version_base="1.3", config_path=CONF_DIR, config_name="report")
def main(cfg: DictConfig) -> None:
    """Write the report of `cfg.runs` and print the ranking."""
    if OmegaConf.is_missing(cfg, "runs"):
        raise SystemExit("diffig-report: runs is not set; say which results to read, for example runs=outputs/evaluate")
    from rich.console import Console

    from diffig.report import build_report

    try:
        check_values(cfg, but=("dirs.output",))
        runs = OmegaConf.to_container(cfg.runs) if OmegaConf.is_list(cfg.runs) else cfg.runs
        report = build_report(
            runs,  # type: ignore[arg-type]
            reference=cfg.reference,
            headline=cfg.headline,
            output=cfg.output,
            formats=list(cfg.formats),
            n=cfg.bootstrap.n,
            seed=cfg.seed,
            pair=None if cfg.compare is None else [str(name) for name in cfg.compare],
        )
    except OmegaConfBaseException as error:
        raise SystemExit(f"diffig-report: {one_line(error, cfg)}") from None
    except (OSError, ValueError) as error:
        raise SystemExit(f"diffig-report: {error}") from None
    console = Console(width=None if sys.stdout.isatty() else 120)  # a log file has no width of its own
    for comparison in report.comparisons:
        console.print(terminal_table(comparison))
        console.print(" ".join(comparison.sentences), markup=False, highlight=False)
        for sentence in comparison.duel:
            console.print(f"  {sentence}", markup=False, highlight=False)
    for notice in [*report.notices, *(notice for c in report.comparisons for notice in c.notices)]:
        console.print(f"Note: {notice}", style="yellow", markup=False, highlight=False)
    if report.failures:
        folders = ", ".join(failure.folder for failure in report.failures[:5])
        console.print(
            f"{len(report.failures)} jobs left no rows: {folders}", style="red", markup=False, highlight=False
        )
    for path in [report.html] if report.html else report.files:
        print(path)
    if cfg.logger:
        from diffig.report.dashboard import send_report

        quiet()
        cfg.dirs.output = str(report.folder)
        send_report(cfg, report)


def terminal_table(comparison: Comparison, most: int = 20) -> Table:
    """Return the ranking by the headline metric, its best lines."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from diffig.report.wording import cell, estimate

    ranked = comparison.ranked[comparison.metric]
    arrow = comparison.arrows[comparison.metric]
    hidden = f", best {most} of {len(ranked)}" if len(ranked) > most else ""
    table = Table(title=escape(f"{comparison.name}: {comparison.metric}{arrow}{hidden}"), box=box.SIMPLE_HEAD)
    columns = ("images", "backward_images", "seconds", "gap", "failures")
    for title in ("#", "setting", "mean [95 %]", "images", "backward", "s / image", "|gap|", "failures"):
        if title == "setting":
            table.add_column(title, overflow="fold", min_width=28)
        else:
            table.add_column(title, justify="right", no_wrap=True)
    for _, row in ranked.head(most).iterrows():
        mark = " (reference)" if row["setting"] == comparison.reference else ""
        table.add_row(
            str(row["rank"]),
            escape(row["setting"] + mark),
            escape(estimate(row["mean"], row["low"], row["high"])),
            *(cell(name, row[name]) for name in columns),
            style="bold" if row["rank"] == 1 else None,
        )
    return table


def program() -> None:
    """Run `main`; `compare=a,b` means the list `compare=[a,b]`, for hydra would take it for a sweep."""
    sys.argv[1:] = [
        f"compare=[{given.removeprefix('compare=')}]"
        if given.startswith("compare=") and "[" not in given and given not in ("compare=null", "compare=???")
        else given
        for given in sys.argv[1:]
    ]
    main()


if __name__ == "__main__":
    program()
