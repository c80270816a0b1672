"""A result is named by its resolved configuration, and its label by what tells it from the others of a report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file

from diffig.config import build, build_method, compose
from diffig.evaluation.run_columns import run_columns, variant
from diffig.report.settings import in_common, label_settings

NETWORK = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
NETWORK.name = "network"  # type: ignore[assignment]


def columns(*words: str, **written: object) -> dict[str, object]:
    """The columns of a run with words of the command line, and with what a file sets."""
    cfg = compose("evaluate", list(words))
    for key, value in written.items():
        OmegaConf.update(cfg, key.replace("__", "."), value, force_add=True)
    attributor = build_method(cfg, build(cfg.objective)(NETWORK), build(cfg.baseline))
    return run_columns(cfg, attributor, "digits")


@pytest.mark.parametrize(
    ("words", "written", "name"),
    [
        (["method.concentration=5"], {"method__concentration": 5.0}, "concentration=5"),
        (["guidance.units=[pixel]"], {"guidance__units": ["pixel"]}, "guidance.units=[pixel]"),
        (["baseline.value=0.25"], {"baseline__value": 0.25}, "baseline.value=0.25"),
        (["target=prediction"], {"target": "prediction"}, "target=prediction"),
        (["footprint=[0,0.03]"], {"footprint": [0.0, 0.03]}, "footprint=[0,0.03]"),
        (["footprint=0.03"], {"footprint": 0.03}, "footprint=0.03"),
        (["method.concentration=[1,5]"], {"method__concentration": [1.0, 5]}, "concentration=[1,5]"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_typed_or_written_a_setting_has_one_name(words: list[str], written: dict[str, object], name: str) -> None:
    typed = columns("method=diffig_field", *words)
    assert typed == columns("method=diffig_field", **written)
    assert typed["variant"] == name


def test_what_a_default_is_told_again_changes_no_name() -> None:
    plain = columns("method=diffig_field")
    assert plain["variant"] == ""
    assert columns("method=diffig_field", "method.concentration=2.0", "method.grid=[8,8]", "target=label") == plain


def test_what_has_a_column_is_in_it_wherever_it_was_said() -> None:
    inside, above = columns("method=ig", "method.steps=3"), columns("method=ig", "steps=3")
    assert inside == above
    assert (inside["steps"], inside["variant"]) == (3, "")
    guided = columns("method=diffig_field", "guidance.absolute_mass=0.2", "steps=64", "n_paths=2", "credit=idgi")
    assert (guided["guidance.absolute_mass"], guided["n_paths"], guided["variant"]) == (0.2, 2, "")


def test_options_that_build_one_method_are_told_from_its_own_defaults() -> None:
    squared = columns("method=smoothgrad_squared")
    assert squared == columns("method=smoothgrad", "method.squared=true")
    assert squared["method"] == "smoothgrad_squared"


def test_files_go_by_what_is_in_them(tmp_path: Path) -> None:
    names = []
    for folder, value in (("a", 1.0), ("b", 2.0), ("elsewhere", 1.0)):
        (tmp_path / folder).mkdir()
        save_file({"w": torch.tensor([value])}, tmp_path / folder / "prior.safetensors")
        cfg = compose("evaluate", ["method=diffig_field"])
        attributor = build_method(cfg, build(cfg.objective)(NETWORK), build(cfg.baseline))
        cfg.prior = {"path": str(tmp_path / folder / "prior.safetensors")}
        names.append(variant(cfg, attributor))
    assert all("prior.path=prior.safetensors@" in name for name in names)
    assert names[0] == names[2]
    assert names[0] != names[1], "two networks are two settings, though their files have one name"
    assert str(tmp_path) not in names[0]


def test_a_study_may_name_its_trained_parts() -> None:
    cfg = compose("evaluate", ["method=diffig_latent", "latent.name=wide", "latent.folder=outputs/wide"])
    attributor = build_method(compose("evaluate", ["method=ig"]), build(cfg.objective)(NETWORK), build(cfg.baseline))
    attributor.name = "diffig_latent"
    assert variant(cfg, attributor) == "latent.name=wide"
    cfg.latent.name = None
    assert "autoencoder.path=outputs/wide/autoencoder/autoencoder" in variant(cfg, attributor).split(" ")


def settings(**columns: list[object]) -> pd.DataFrame:
    many = len(columns["method"])
    usual = {"objective": "probability", "baseline": "black", "n_paths": 1.0, "steps": 32.0, "variant": ""}
    return pd.DataFrame({**{key: [value] * many for key, value in usual.items()}, **columns})


def test_labels_say_what_distinguishes_and_the_header_what_is_shared() -> None:
    rows = settings(
        method=["ig", "gig", "diffig_field", "diffig_field"],
        objective=["probability", "probability", "logit", "logit"],
        variant=["target=prediction"] * 2 + ["grid=[4,4] target=prediction", "target=prediction"],
    )
    assert list(label_settings(rows)) == ["ig", "gig", "diffig_field grid=[4,4]", "diffig_field"]
    assert in_common(rows) == (
        "score probability (diffig_field: logit) · baseline black · 1 path · 32 steps · target=prediction"
    )


def test_what_varies_inside_a_method_is_in_its_labels() -> None:
    rows = settings(method=["ig", "ig", "gig"], objective=["probability", "logit", "logit"], variant=["", "", "k=2"])
    assert list(label_settings(rows)) == ["ig probability", "ig logit", "gig"]
    assert in_common(rows) == "gig: score logit · baseline black · 1 path · 32 steps · gig: k=2"


def test_one_setting_has_nothing_but_its_name() -> None:
    assert list(label_settings(settings(method=["ig"]))) == ["ig"]
