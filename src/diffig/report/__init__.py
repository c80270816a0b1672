"""Folders of runs -> one self-contained report.html, and its tables as files.

Everything is derived from `rows.parquet` (and, where a run has them, `curves.parquet`, `attributions.png`,
`config.yaml` and `environment.json`), so a report can be rebuilt at any time without a GPU.

The room is called like its function, and stands for it: `diffig.report(rows)`.
"""

import sys
from inspect import signature
from types import ModuleType

from diffig.report.build import FORMATS, Report, build_report
from diffig.report.comparison import Comparison
from diffig.report.of_rows import report
from diffig.report.runs import Failure, Found, find_runs

__all__ = ["FORMATS", "Comparison", "Failure", "Found", "Report", "build_report", "find_runs", "report"]


class _Room(ModuleType):
    __call__ = staticmethod(report)
    __signature__ = signature(report)


sys.modules[__name__].__class__ = _Room
