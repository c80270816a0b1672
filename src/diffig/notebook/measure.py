"""How good attributions are, from whatever library they come, by the judges of `diffig-evaluate`."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from diffig.attribution.base import Attributor
from diffig.attribution.held import At, Held, like_images
from diffig.baselines import Constant
from diffig.config import build, compose, options_of
from diffig.data import Batch
from diffig.evaluation.explainer import Explainer as Judge
from diffig.evaluation.metric_info import told
from diffig.evaluation.rows import COLUMNS
from diffig.metrics import MetricSuite
from diffig.notebook.explainer import Explainer
from diffig.notebook.kept import Keeper
from diffig.report.of_rows import method_folders
from diffig.scores import Objective

if TYPE_CHECKING:
    import pandas as pd


def evaluate(
    model: nn.Module | Explainer,
    images: Any,
    attributions: Any,
    targets: Any = None,
    metrics: str | MetricSuite = "default",
    *,
    preprocess: Any = None,
    objective: Objective = "probability",
    baselines: Tensor | float = 0.0,
    masks: Tensor | None = None,
    indices: Tensor | None = None,
    dataset: str = "given",
    output: str | Path | None = None,
) -> pd.DataFrame:
    """Return one row for each image, method and metric, with the columns of `diffig-evaluate` that apply.

    `diffig.report` makes a page of it; how it has to read the metrics is in the table's `attrs`.

    Args:
        model: what was explained; an `Explainer` brings its preprocessing, objective and categories.
        images: as `attribute` takes them.
        attributions: one for each image, or several by name. A method in their place (an `Explainer` or an
            `Attributor`) is asked for them, and measured by the metrics that ask again, too.
        targets: the classes that were explained; the predicted ones otherwise.
        metrics: a name in `conf/metrics`, or a suite.
        preprocess: as in `Explainer`.
        objective: what was explained, for the completeness of tensors.
        baselines: where their paths began, likewise.
        masks: `(B, 1, H, W)` uint8, where the objects are, for localisation.
        indices: `(B,)` keys of the breaking of ties; 0 ... B - 1 otherwise.
        dataset: what rows call the images.
        output: a folder for what `diffig-evaluate` leaves of a run, curves and small pictures among it; each method
            has its own below it, and `diffig.report(output)` shows them all.
    """
    import pandas as pd

    explain = model if isinstance(model, Explainer) else Explainer("ig", model, preprocess, objective=objective)
    subject = explain.subject
    batch = subject.read(images).batch
    classes = subject.targets(targets, batch)
    keys = torch.arange(len(batch)) if indices is None else indices
    named = attributions if isinstance(attributions, Mapping) else {_name(attributions): attributions}
    if not named:
        raise ValueError("there are no attributions to judge; give {name: attributions}")
    suite, rows = suite_of(metrics), []
    folders = method_folders(named, Path(output)) if output is not None else {}
    for name, given in named.items():
        method = _method(given, explain, batch, keys, baselines, name)
        columns = _columns(method, explain, name, dataset)
        judges = _without_asking(suite, name) if isinstance(method, Held) else suite
        keeper = Keeper(folders[name], judges, subject.categories or ()) if folders else None
        for part in subject.parts(classes):
            method.score = method.score.like(part.classifier)
            judge = Judge(method, judges, columns, "label", _masks(masks, keys))
            some = Batch(batch[part.rows], part.targets, keys.to(part.rows.device)[part.rows])
            labels = dict(zip(some.indices.tolist(), classes[part.rows].tolist(), strict=True))
            unsaid = {"prediction": None} if subject.multi_label else {}
            outcome = judge.predict_step(some, 0)
            own = [{**row, **unsaid, "label": labels[row["image_index"]]} for row in outcome.rows]
            rows += own
            if keeper:
                keeper.add(some.images, outcome._replace(rows=own))
        if keeper:
            keeper.finish()
    table = pd.DataFrame(rows).dropna(axis="columns", how="all")
    table = table[[column for column in COLUMNS if column in table]]
    table.attrs = {"metrics": told(suite.describe())}
    return table


def suite_of(metrics: str | MetricSuite) -> MetricSuite:
    """Return a suite, or the one of `conf/metrics/<metrics>.yaml`.

    Raises:
        ValueError: there is no such file.
    """
    if isinstance(metrics, MetricSuite):
        return metrics
    names = options_of("metrics")
    if metrics not in names:
        raise ValueError(f"metrics={metrics!r} is unknown; choose one of {', '.join(names)}, or give a MetricSuite")
    suite: MetricSuite = build(compose("evaluate", [f"metrics={metrics}"]).metrics)
    return suite


def _method(
    given: Any, explain: Explainer, batch: Tensor, keys: Tensor, baselines: Tensor | float, name: str
) -> Attributor:
    """What stands for attributions: the method that makes them, or one that holds them."""
    if isinstance(given, Explainer):
        return given.method(batch)
    if isinstance(given, Attributor):
        return copy.copy(given)
    maps = like_images(given, batch, name)
    start = At(baselines.expand_as(maps), keys) if isinstance(baselines, Tensor) else Constant(float(baselines))
    return Held(explain.method(batch).score, maps, keys, start, name)


def _without_asking(suite: MetricSuite, name: str) -> MetricSuite:
    """The metrics that need no method, only its maps; which are left out is said."""
    kept, left_out = suite.of_maps_alone()
    if left_out:
        warnings.warn(
            f"{', '.join(left_out)} explain images again, and {name!r} is only a tensor; give the explainer in its "
            "place to have them too",
            stacklevel=3,
        )
    return kept


def _columns(method: Attributor, explain: Explainer, name: str, dataset: str) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "dataset": dataset,
        "classifier": explain.subject.classifier.name,
        "objective": method.score.objective,
        "baseline": method.baseline.name,
        "method": name,
    }
    if not isinstance(method, Held):
        columns |= {"n_paths": method.n_paths, "steps": getattr(method, "steps", None), "seed": method.seed}
    return columns


def _masks(masks: Tensor | None, keys: Tensor) -> Callable[[Sequence[int]], Tensor | None] | None:
    if masks is None:
        return None
    places = {int(key): place for place, key in enumerate(keys)}
    return lambda wanted: masks[[places[key] for key in wanted]]


def _name(attributions: Any) -> str:
    return attributions.name if isinstance(attributions, Explainer | Attributor) else "given"
