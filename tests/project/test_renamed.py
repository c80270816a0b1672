"""Old names of keys, arguments, attributes, metrics and columns work and warn; old results stand beside new ones."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

import diffig
from diffig.config import compose, from_config, with_current_keys
from diffig.diffusion.denoisers.unet import FieldUNet
from diffig.evaluation.metric_info import read_metric_info
from diffig.evaluation.rows import read_table
from diffig.integration import soft_insertion_deletion
from diffig.method import Guidance
from diffig.method.field.prior import FieldPrior
from diffig.method.field.space import FieldSpace
from diffig.method.guidance.learned_training import PathScoreTraining
from diffig.metrics import AbsoluteMass, DiffID
from diffig.moved import UNTIL
from diffig.renamed import KEYS, current_key, current_metric, current_variant, current_words
from diffig.report import build_report

MODULES = [[f"module={name}"] for name in ("path_score", "image_diffusion", "latent_diffusion")]
PROGRAMS = {
    "evaluate": ([], ["metrics=suite"], ["method=mig"], ["method=diffig_latent"]),
    "train": ([], *MODULES, ["latents=fields"]),
}


def has(node: object, parts: list[str]) -> bool:
    """Whether a config has a key, a pattern in each part; a node that is taken from elsewhere has all."""
    if not parts or (isinstance(node, str) and node.startswith("${")):
        return True
    below = node if isinstance(node, dict) else {}
    return any(fnmatchcase(str(key), parts[0]) and has(value, parts[1:]) for key, value in below.items())


def test_every_key_of_the_table_leads_to_one_that_is_there() -> None:
    there = [OmegaConf.to_container(compose(program, words)) for program, many in PROGRAMS.items() for words in many]
    for old in KEYS:
        new = current_key(old)
        assert new != old
        assert any(has(cfg, new.split(".")) for cfg in there), new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("draw=3", "image_seed=3"),
        ("guidance.waste=0.1,0.3", "guidance.absolute_mass=0.1,0.3"),
        ("++guidance.nodes=1", "++guidance.gradients=1"),
        ("+method.n_knots=4", "+method.n_segments=4"),
        ("~metrics.metrics.waste", "~metrics.metrics.absolute_mass"),
        ("~metrics.metrics.diffid_grain", "~metrics.metrics.diffid_rank_blur"),
        ("metrics.metrics.diffid_grain.grain=0.1", "metrics.metrics.diffid_rank_blur.rank_blur=0.1"),
        ("metrics.metrics.mine.grain=0.1", "metrics.metrics.mine.rank_blur=0.1"),
        ("module.prior.noise.shift=2", "module.prior.noise_schedule.shift=2"),
        ("module.lr=1e-3", "module.learning_rate=1e-3"),
        ("guidance={waste: 0.2, nodes: 1}", "guidance={absolute_mass: 0.2, gradients: 1}"),
        ("searched=diffid_pixel_grain", "search_metric=diffid_pixel_rank_blur"),
        ("headline=waste_excess", "headline=cancelled_mass"),
    ],
)
def test_a_word_of_the_command_line(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match="now; the old name goes") as told:
        assert current_words([old]) == [new]
    assert [str(warning.message) for warning in told] == [f"{old} is {new} now; the old name goes with diffig {UNTIL}"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert current_words([new]) == [new]


@pytest.mark.parametrize(
    "word",
    [
        *(
            "nodes=score",
            "compute.nodes=2",
            "method.nodes=uniform",
            "metrics.metrics.road.noise=0.1",
            "method.noise=0.5",
        ),
        *("--info", "-m", "draw", "runs=[draw=1,waste]", "method=ig,gig", "~logger", "classifier.name='a draw=1'"),
    ],
)
def test_what_is_no_old_key_stays(word: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert current_words([word]) == [word]


OLD = ["draw=3", "searched=waste", "guidance.waste=0.2", "guidance.nodes=1", "method.n_knots=16"]
OLD += ["~metrics.metrics.waste"]
NEW = ["image_seed=3", "search_metric=absolute_mass", "guidance.absolute_mass=0.2", "guidance.gradients=1"]
NEW += ["method.n_segments=16", "~metrics.metrics.absolute_mass"]


def test_a_config_of_old_words_is_that_of_the_new_ones() -> None:
    assert compose("evaluate", ["method=diffig_field", *OLD]) == compose("evaluate", ["method=diffig_field", *NEW])
    words = ["guidance.waste=0.2", "guidance.nodes=3", "guidance.proposals=1"]
    method = from_config("diffig_field", torch.nn.Flatten(), words)
    assert method.guidance_strengths["absolute_mass"] == 0.2


def test_a_program_says_it_and_goes_on() -> None:
    words = ["--cfg", "job", "method=diffig_field", *OLD]
    call = [sys.executable, "-m", "diffig.cli.evaluate", *words]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300, check=True)
    cfg = OmegaConf.create(done.stdout)
    assert (cfg.image_seed, cfg.guidance.absolute_mass, "absolute_mass" in cfg.metrics.metrics) == (3, 0.2, False)
    assert done.stderr.count("draw=3 is image_seed=3 now") == 1
    assert done.stderr.count("DeprecationWarning") == len(OLD)


def test_a_file_of_the_users_with_old_keys() -> None:
    cfg = compose("evaluate", ["metrics=suite", "image_seed=5"])
    theirs = {"draw": 2, "guidance": {"waste": 0.4}, "metrics": {"metrics": {"diffid_grain": {"grain": 0.2}}}}
    with pytest.warns(DeprecationWarning, match="guidance.waste is guidance.absolute_mass now"):
        found = with_current_keys(
            OmegaConf.merge(OmegaConf.create(OmegaConf.to_container(cfg)), theirs), ["image_seed=5"]
        )
    assert (found.image_seed, found.guidance.absolute_mass) == (5, 0.4)  # what is typed goes before what files say
    assert found.metrics.metrics.diffid_rank_blur.rank_blur == 0.2
    assert not {"draw", "waste"} & {*found, *found.guidance}
    assert "diffid_grain" not in found.metrics.metrics


def test_arguments_and_attributes() -> None:
    with pytest.warns(DeprecationWarning, match=f"argument waste of Guidance is absolute_mass now; .* diffig {UNTIL}"):
        guidance = Guidance(waste=0.2, nodes=3)  # type: ignore[call-arg]
    assert (guidance.strengths["absolute_mass"], guidance.gradients, guidance.nodes) == (0.2, 3, 3)
    with pytest.raises(TypeError, match="given waste and absolute_mass, which are one; give absolute_mass"):
        Guidance(waste=0.2, absolute_mass=0.2)  # type: ignore[call-arg]
    assert DiffID(units=["pixel"], readouts=["hard"], grain=0.1).names == ("diffid_pixel_rank_blur",)  # type: ignore[call-arg]
    prior = FieldPrior(FieldUNet(channels=(16, 16), layers=1), facts={"steps": 3})  # type: ignore[call-arg]
    assert prior.facts == prior.training_metadata == {"steps": 3}
    space = FieldSpace(n_knots=4)  # type: ignore[call-arg]
    assert space.n_segments == space.n_knots == 4
    zero = torch.zeros(1)
    integral = diffig.Integral(zero, zero, waste=zero)  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning, match="Integral.waste is absolute_mass now"):
        assert integral.waste is integral.absolute_mass is zero


def test_what_a_checkpoint_says_of_a_training_by_old_names() -> None:
    module = PathScoreTraining(5, 8, lr=1e-3, width=8, depth=1, heads=1)  # type: ignore[call-arg]
    assert (module.learning_rate, module.hparams["learning_rate"], "lr" in module.hparams) == (1e-3, 1e-3, False)


def test_names_of_modules() -> None:
    with pytest.warns(DeprecationWarning, match="diffig.metrics.Waste is AbsoluteMass now"):
        assert diffig.metrics.Waste is AbsoluteMass
    assert soft_insertion_deletion.retention is soft_insertion_deletion.soft_insertion_deletion
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = diffig.metrics.nothing


def test_a_prior_of_before_loads_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        assert FieldPrior.load().n_segments == 16


def test_names_of_metrics_and_variants() -> None:
    assert current_metric("diffid_signed_grain_soft_insertion") == "diffid_signed_rank_blur_soft_insertion"
    assert current_metric("fine_grain") == "fine_grain"
    assert current_variant("n_knots=8 guidance.nodes=1 target=prediction") == (
        "n_segments=8 guidance.gradients=1 target=prediction"
    )


def run(folder: Path, method: str, names: dict[str, str], shift: float) -> None:
    """A finished run whose metrics and columns have these names."""
    folder.mkdir()
    rows = [
        {
            **{
                "dataset": "digits",
                "image_index": image,
                "classifier": "net",
                "objective": "logit",
                "baseline": "black",
            },
            **{"method": method, "n_paths": 1, "steps": 8, "seed": 0, "status": "ok", "protocol": "diffig"},
            **{"variant": names["variant"], names["column"]: 0.0, "backward_images": 8, "gap": 0.1},
            **{"metric": names.get(metric, metric), "value": shift + 0.01 * (image % 5)},
        }
        for image in range(12)
        for metric in ("diffid", "waste", "waste_excess", "diffid_pixel_grain")
    ]
    pd.DataFrame(rows).to_parquet(folder / "rows.parquet")
    said = {"direction": "lower", "family": "axioms and path", "range": [0, None], "wording": "mass"}
    (folder / "metrics.json").write_text(json.dumps({"metrics": {names.get("waste", "waste"): said}}))


def test_old_and_new_rows_stand_side_by_side(tmp_path: Path) -> None:
    old = {"column": "guidance.waste", "variant": "n_knots=8"}
    new = {"column": "guidance.absolute_mass", "variant": "n_segments=8", "waste": "absolute_mass"}
    new |= {"waste_excess": "cancelled_mass", "diffid_pixel_grain": "diffid_pixel_rank_blur"}
    run(tmp_path / "old", "ig", old, 0.2)
    run(tmp_path / "new", "gig", new, 0.3)
    table = read_table(tmp_path / "old" / "rows.parquet")
    assert set(table["metric"]) == {"diffid", "absolute_mass", "cancelled_mass", "diffid_pixel_rank_blur"}
    assert set(table["variant"]) == {"n_segments=8"}
    assert "guidance.waste" not in table
    assert set(read_metric_info([tmp_path / "old"])) == {"absolute_mass"}
    with pytest.warns(DeprecationWarning, match="metric waste is absolute_mass now"):
        report = build_report(
            [tmp_path / "old", tmp_path / "new"], headline="waste", output=tmp_path / "out", formats=["md"]
        )
    (comparison,) = report.comparisons
    assert comparison.metric == "absolute_mass"
    assert list(comparison.ranked["absolute_mass"]["method"]) == ["ig", "gig"]
    assert set(comparison.ranked) == {"diffid", "absolute_mass", "cancelled_mass", "diffid_pixel_rank_blur"}
