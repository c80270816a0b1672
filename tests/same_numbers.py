"""Whether a change left every number as it was: what all methods attribute, and the rows of a small sweep, bit by bit.

    python tests/same_numbers.py save FOLDER     # before the change, and into another folder after it
    python tests/same_numbers.py compare BEFORE AFTER

One thread and fixed seeds: on one machine, with the same versions of torch, two saves of the same code are equal.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch

SMALL = ["dataset.size=8", "classifier.width=8"]
SWEEP = [
    ["method=ig", "baseline=blur", "metrics=full"],
    ["method=diffig_field", "n_paths=2", "aggregation=median", "guidance.absolute_mass=0.3", "steps=48"],
    ["method=spi", "n_paths=2", "objective=margin"],
    ["method=agi", "credit=proportional"],
    ["method=grad_cam", "footprint=[0.1,0.2]"],
]
PASSING = ("seconds", "sweep", "classifier")  # the clock, and what is new in every run


def save(folder: Path) -> None:
    """Write `attributions.pt`, tensors by name, and `rows.parquet`."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch:
        found = {**of_the_configuration(Path(scratch)), **of_the_settings()}
        torch.save(found, folder / "attributions.pt")
        rows = pd.concat([sweep(Path(scratch), words, job) for job, words in enumerate(SWEEP)], ignore_index=True)
    rows.to_parquet(folder / "rows.parquet")
    print(f"{len(found)} tensors and {len(rows)} rows in {folder}")


def of_the_configuration(scratch: Path) -> dict[str, torch.Tensor]:
    """Every file of `conf/method`, float32."""
    from diffig.config import options_of
    from small_methods import small_method, write_latent_parts

    write_latent_parts(scratch)
    found = {}
    for method in options_of("method"):
        attributor, (images, labels, indices) = small_method(method, scratch, 3, "steps=16")
        integral = attributor.explain(images, target=labels, indices=indices)
        found |= {f"conf/{method}/{part}": value for part, value in zip(integral._fields, integral, strict=True)}
    return found


def of_the_settings() -> dict[str, torch.Tensor]:
    """Every setting of the invariance tests, most of them float64."""
    from diffig import ScoreFunction
    from invariance.methods import METHODS, NETS
    from oracle.models import Deep, pictures

    found, images, targets = {}, pictures(2)[0], torch.tensor([0, 3])
    region = torch.zeros_like(images[:, :1])
    region[..., :4] = 1
    for name, make in METHODS.items():
        net = next((net for start, net in NETS.items() if name.startswith(start)), Deep)(dtype=torch.float64)
        method = make(ScoreFunction(net, "probability", 64))
        told = {"region": region} if getattr(method, "guidance_strengths", {}).get("region") else {}
        integral = method.explain(images, target=targets, indices=torch.tensor([11, 3]), **told)
        found |= {f"{name}/{part}": value for part, value in zip(integral._fields, integral, strict=True)}
    return found


def sweep(scratch: Path, words: list[str], job: int) -> pd.DataFrame:
    """The rows of one small evaluation."""
    from diffig.config import compose
    from diffig.evaluation.run import evaluate

    given = [*SMALL, "trainer=cpu", "steps=8", "limit=4", f"dirs.cache={scratch}", f"dirs.output={scratch}/{job}"]
    rows = evaluate(compose("evaluate", [*given, *words]))
    return rows.drop(columns=[column for column in PASSING if column in rows]).assign(job=job)


def compare(before: Path, after: Path) -> list[str]:
    """Return what differs, one line each."""
    old, new = (_tensors(folder) for folder in (before, after))
    lines = [f"{name}: only in one save" for name in sorted(set(old) ^ set(new))]
    for name in sorted(set(old) & set(new)):
        one, other = old[name], new[name]
        if one.dtype != other.dtype or one.shape != other.shape:
            lines.append(f"{name}: {one.dtype} {tuple(one.shape)}, now {other.dtype} {tuple(other.shape)}")
        elif not torch.equal(one.isnan(), other.isnan()) or not torch.equal(one.nan_to_num(), other.nan_to_num()):
            lines.append(f"{name}: differs by up to {(one - other).abs().max().item():g}")
    frames = [_rows(folder) for folder in (before, after)]
    try:
        pd.testing.assert_frame_equal(*frames, check_exact=True)
    except AssertionError as error:
        lines.append(f"rows: {error}")
    print(f"{len(set(old) & set(new))} tensors and {len(frames[0])} rows compared, {len(lines)} differences")
    return lines


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Tensors by name, as they are called today."""
    from diffig.renamed import current_metric

    found = torch.load(folder / "attributions.pt", weights_only=True)
    parts = {name: name.rpartition("/") for name in found}
    return {f"{parts[name][0]}/{current_metric(parts[name][2])}": value for name, value in found.items()}


def _rows(folder: Path) -> pd.DataFrame:
    """Rows by the names of today, in an order that is not that of their names' letters."""
    from diffig.renamed import current_results

    rows = current_results(pd.read_parquet(folder / "rows.parquet"))
    return rows.sort_values(["job", "image_index", "metric"], ignore_index=True).sort_index(axis=1)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "save":
        save(Path(sys.argv[2]))
    elif len(sys.argv) == 4 and sys.argv[1] == "compare":
        differences = compare(Path(sys.argv[2]), Path(sys.argv[3]))
        sys.exit("\n".join(differences) or None)
    else:
        sys.exit(__doc__)
