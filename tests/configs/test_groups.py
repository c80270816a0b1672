"""Every file of every config group composes, names things that exist, and builds an object that works for one step."""

from __future__ import annotations

import gzip
import inspect
import io
import re
import struct
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose as hydra_compose, initialize_config_dir
from hydra.errors import MissingConfigException
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from diffig.arguments import check_arguments
from diffig.baselines import Average, Dataset
from diffig.config import CONF_DIR, build, compose, descriptions_of, from_config
from diffig.data import Batch
from diffig.evaluation.run import fingerprint
from diffig.metrics import Explained
from diffig.randomness import Streams
from diffig.report.families import family_of
from diffig.report.wording import direction_of
from diffig.scores import ScoreFunction

CONF = Path(CONF_DIR)
PROGRAMS = ("evaluate", "explain", "train", "report")
# Groups whose files set keys of several groups instead of building one object.
GLOBAL = ("experiment", "debug", "protocol", "preset", "scale", "scale/training")
# Groups that only diffig-train knows.
TRAINING = ("module", "fields", "latents", "autoencoder", "callbacks", "scale/training")
# Groups that only diffig-explain knows.
EXPLAINING = ("counterfactual",)
# What a program adds to what a file says.
GIVEN = {
    "diffig.classifiers.module.ClassifierModule": {"classifier"},
    "lightning.pytorch.Trainer": {"logger", "callbacks", "enable_progress_bar"},
    "diffig.generative.Autoencoder.small": {"image_channels"},
    "diffig.generative.ImageDiffusion.small": {"image_channels"},
    "diffig.generative.CounterfactualSearch": {"score", "seed"},
    "diffig.method.latent.prior.LatentPrior.new": {"length", "dim"},
    "diffig.method.latent.space.LatentSpace": {"autoencoder"},
    "diffig.method.latent.data.LatentPathData": {"dataset", "space", "baseline"},
    "diffig.method.guidance.path_labels.PathLabels": {"score", "data", "output"},
    "diffig.method.guidance.learned_training.PathScoreTraining": {"length", "dim"},
}
GIVEN_BY_GROUP = {"method": {"score", "baseline", "seed"}, "objective": {"classifier"}, "classifier": {"datamodule"}}
SMALL = ["dataset.size=8", "classifier.width=4", "classifier.num_classes=10", "classifier.in_channels=1"]


def options(group: str) -> list[str]:
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


def groups() -> list[str]:
    folders = (folder for folder in CONF.rglob("*") if folder.is_dir() and any(folder.glob("*.yaml")))
    return sorted(folder.relative_to(CONF).as_posix() for folder in folders)


def program_of(group: str, option: str) -> str:
    """The program a file belongs to: `train` where its comment or `conf/train.yaml` alone knows it."""
    if group in GLOBAL:
        return "train" if "diffig-evaluate" not in (CONF / group / f"{option}.yaml").read_text() else "evaluate"
    if group == "dirs":
        return option
    if group in EXPLAINING:
        return "explain"
    return "train" if group in TRAINING else "evaluate"


@pytest.fixture(autouse=True)
def _a_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFIG_SHARED_DATA", "somewhere")


@cache
def compose_once(program: str, *overrides: str) -> DictConfig:
    return compose(program, list(overrides))


def composed(group: str, option: str, *overrides: str) -> DictConfig:
    """The config with one option, in which every key that a user must set is set."""
    chosen = {group: option}
    if group == "scale/training":  # chosen by two others, and sizes of one module
        chosen = dict(zip(("scale", "module"), option.split("_", 1), strict=True))
    words = [f"{name}={value}" for name, value in chosen.items()]
    cfg = deepcopy(compose_once(program_of(group, option), *words, *overrides))
    cfg.dirs.output, cfg.dirs.cache = "out", "cache"
    if OmegaConf.is_missing(cfg, "image"):
        cfg.image = 0
    for node in (cfg.get("dataset"), cfg.get("prior"), cfg.get("autoencoder")):
        if node and OmegaConf.is_missing(node, "path"):
            node.path = "somewhere"
    return cfg


def every_file() -> list[Any]:
    return [pytest.param(group, option, id=f"{group}-{option}") for group in groups() for option in options(group)]


def targets(node: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield place, node
        for key, value in node.items():
            yield from targets(value, f"{place}.{key}".strip("."))
    elif isinstance(node, list):
        for position, value in enumerate(node):
            yield from targets(value, f"{place}[{position}]")


@pytest.mark.parametrize(("group", "option"), every_file())
def test_composes_and_names_only_what_exists(group: str, option: str) -> None:
    cfg = composed(group, option)
    plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    found = list(targets(plain))
    assert found
    check_arguments(cfg)  # and gives every argument a value of the kind that it declares
    for place, node in found:
        named = get_object(node["_target_"])
        signature = inspect.signature(named)
        keys = {key for key in node if not key.startswith("_")}
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.parameters.values()):
            unknown = keys - set(signature.parameters)
            assert not unknown, f"{place}: {node['_target_']} takes no {sorted(unknown)}"
        given = GIVEN.get(node["_target_"], set()) | GIVEN_BY_GROUP.get(place.split(".")[0], set())
        required = {
            name
            for name, p in signature.parameters.items()
            if p.default is inspect.Parameter.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        }
        assert not required - keys - given, f"{place}: {node['_target_']} also needs {required - keys - given}"


@pytest.mark.parametrize(("group", "option"), every_file())
def test_begins_with_what_it_builds(group: str, option: str) -> None:
    lines = (CONF / group / f"{option}.yaml").read_text().splitlines()
    first = lines[1] if lines[0].startswith("# @package") else lines[0]
    allowed = ("# diffig-",) if group in GLOBAL else ("# Builds ", "# Says ")
    assert first.startswith(allowed), first
    assert all(len(line) <= 130 for line in lines), "a line is too long to read"


@pytest.mark.parametrize("launcher", options("hydra/launcher"))
@pytest.mark.parametrize("compute", options("compute"))
def test_launcher_and_trainer_ask_for_the_same_machine(launcher: str, compute: str) -> None:
    for program in ("evaluate", "train"):
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            words = [f"hydra/launcher={launcher}", f"compute={compute}", "dirs.output=out"]
            cfg = hydra_compose(program, words, return_hydra_config=True)
        asked, trainer = cfg.hydra.launcher, cfg.trainer
        assert asked.tasks_per_node == trainer.devices == cfg.compute.devices
        assert asked.timeout_min == cfg.compute.timeout_min
        assert asked.nodes == trainer.num_nodes
        assert asked.gpus_per_node == (trainer.devices if trainer.accelerator == "gpu" else None)


def test_a_search_makes_its_metric_large() -> None:
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        cfg = hydra_compose("evaluate", ["hydra/sweeper=search", "dirs.output=out"], return_hydra_config=True)
    assert cfg.hydra.sweeper.direction == "maximize"
    assert cfg.search_metric in build(cfg.metrics).names


def test_the_readme_lists_every_group_and_every_option() -> None:
    table = [line for line in (CONF / "README.md").read_text().splitlines() if line.startswith("| `")]
    rows = {line.split("`")[1]: line for line in table}
    assert set(rows) == set(groups())
    for group, line in rows.items():
        for option in options(group):
            assert f"`{option}`" in line, f"conf/README.md: {option} is missing in the line of {group}"


def test_every_group_of_a_program_has_a_folder() -> None:
    for program in PROGRAMS:
        defaults = OmegaConf.load(CONF / f"{program}.yaml").get("defaults", [])
        keys = {str(key) for entry in defaults if not isinstance(entry, str) for key in entry}
        named = {key.removeprefix("optional ") for key in keys if "override" not in key}
        assert named <= set(groups())


@pytest.mark.parametrize("group", [group for group in groups() if group not in TRAINING + EXPLAINING])
def test_an_unknown_option_is_answered_with_the_choices(group: str) -> None:
    with pytest.raises(MissingConfigException) as caught:
        compose("evaluate", [f"{group}=nonsense"])
    for option in options(group):
        assert option in str(caught.value)


# ---- one step of everything -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits() -> Any:
    datamodule = build(compose("evaluate", SMALL).dataset)
    datamodule.setup()
    return datamodule


@pytest.fixture(scope="module")
def batch(digits: Any) -> Batch:
    digits.batch_size = 2
    return next(iter(digits.test_dataloader()))


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(0)
    return build(compose("evaluate", SMALL).classifier, mean=[0.3], std=[0.4])


@pytest.fixture(scope="module")
def own_prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from diffig.diffusion.denoisers.unet import FieldUNet
    from diffig.method.field.prior import FieldPrior

    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    FieldPrior(FieldUNet(channels=(16, 16), layers=1)).save(path)
    return path


@pytest.fixture(scope="module")
def latent_parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained parts of latent DiffIG for grey 8 x 8 images, where `latent.folder` has them."""
    from diffig.generative import Autoencoder, ImageDiffusion
    from diffig.method.latent.prior import LatentPrior

    folder = tmp_path_factory.mktemp("latent")
    Autoencoder.small(1, channels=(8, 8, 8)).save(folder / "autoencoder" / "autoencoder")
    LatentPrior.new(5, 16, width=16, depth=1, heads=2).save(folder / "path_model" / "prior.safetensors")
    ImageDiffusion.small(1, channels=(8, 8)).save(folder / "image_diffusion" / "image_diffusion")
    return folder


@pytest.mark.parametrize("objective", options("objective"))
def test_objective(objective: str, batch: Batch, network: Any) -> None:
    score = build(composed("objective", objective).objective)(network)
    assert score.settled("margin").objective == ("margin" if objective == "own" else objective)
    value, gradient = score.value_and_grad(batch.images, batch.labels)
    assert value.shape == (2,)
    assert gradient.shape == batch.images.shape
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize(
    ("preset", "proposals", "budget"), [("fast", 2, 16), ("default", 4, 32), ("best", 16, 128)], ids=str
)
def test_preset(preset: str, proposals: int, budget: int, batch: Batch, network: Any) -> None:
    method = from_config("diffig_field", network, [f"preset={preset}"])
    assert method.score.objective == "logit"
    assert (method.field.guidance.proposals, method.steps * proposals) == (proposals, budget)
    integral = method.explain(batch.images, target=batch.labels)
    assert method.score.cost.backward_images == budget * len(batch.images)
    assert integral.gap.abs().max() < 1e-4
    if preset == "default":
        bare = from_config("diffig_field", network)
        assert bare.explain(batch.images, target=batch.labels).attribution.equal(integral.attribution)


@pytest.mark.parametrize("baseline", options("baseline"))
def test_baseline(baseline: str, batch: Batch) -> None:
    built = build(composed("baseline", baseline).baseline)
    images = batch.images.expand(-1, 3, -1, -1)
    for part in built.baselines if isinstance(built, Average) else [built]:
        if isinstance(part, Dataset):
            part.bank = images
    references = built.references(images, Streams(0, batch.indices))
    for reference in references:
        assert reference.shape == images.shape
        assert reference.min() >= 0
        assert reference.max() <= 1
    assert built.name == baseline


@pytest.mark.parametrize("guidance", options("guidance"))
@pytest.mark.parametrize("method", options("method"))
def test_method(method: str, guidance: str, batch: Batch, network: Any, latent_parts: Path) -> None:
    cfg = composed("method", method, "latent.sample_steps=4")
    cfg.latent.folder = str(latent_parts)
    if guidance != "default" and "guidance" not in cfg.method:
        pytest.skip("a method without guidance")
    cfg.guidance = composed("guidance", guidance).guidance
    attributor = build(cfg.method)(ScoreFunction(network), seed=cfg.seed)
    if isinstance(getattr(attributor, "references", None), Dataset):
        attributor.references.bank = 1 - batch.images
    assert attributor.name
    attribution = attributor.attribute(batch.images, target=batch.labels)
    assert attribution.shape == batch.images.shape
    assert attribution.isfinite().all()
    assert attribution.abs().sum() > 0


@pytest.mark.parametrize("counterfactual", options("counterfactual"))
def test_counterfactual(counterfactual: str, batch: Batch, network: Any, latent_parts: Path) -> None:
    cfg = composed("counterfactual", counterfactual, "counterfactual.n_particles=4", "counterfactual.n_steps=3")
    cfg.latent.folder = str(latent_parts)
    found = build(cfg.counterfactual)(ScoreFunction(network), seed=0).search(batch.images, 9 - batch.labels)
    assert found.images.shape == batch.images.shape
    assert found.trajectory.shape == (2, 3)


@pytest.mark.parametrize("prior", options("prior"))
def test_prior(prior: str, own_prior: Path) -> None:
    cfg = compose("evaluate", [f"prior={prior}", *([f"prior.path={own_prior}"] if prior == "file" else [])])
    built = build(cfg.prior)
    noise = torch.randn(1, built.n_segments - 1, 8, 8)
    assert built.sample(noise, torch.tensor([10.0]), torch.tensor([2.0]), 2).isfinite().all()


@pytest.mark.parametrize("metrics", options("metrics"))
def test_metrics(metrics: str, batch: Batch, network: Any) -> None:
    suite = build(composed("metrics", metrics).metrics)
    score = ScoreFunction(network)
    baselines = torch.zeros_like(batch.images)
    attributions = (batch.images - baselines) * score.value_and_grad(batch.images, batch.labels)[1]
    explained = Explained(
        images=batch.images,
        attributions=attributions,
        targets=batch.labels,
        labels=batch.labels,
        baselines=baselines,
        score=score,
        indices=batch.indices,
        gap=torch.zeros(2),
        absolute_mass=attributions.abs().flatten(1).sum(1),
        masks=torch.ones(2, 1, 8, 8, dtype=torch.uint8),
        explain=lambda images, targets, indices, *, seed_shift=0, classifier=None: (
            images * ScoreFunction(classifier or network).value_and_grad(images, targets)[1]
        ),
    )
    values = suite(explained)
    assert set(values) == set(suite.names)
    said = re.search(r"(\d+)\s+forwards", descriptions_of("metrics")[metrics])
    assert not said or int(said[1]) == sum(metric.forwards for metric in suite.metrics.values())
    assert all(value.shape == (2,) for value in values.values())


@pytest.mark.parametrize("metrics", options("metrics"))
def test_older_rows_are_read_as_the_metric_says_of_itself_today(metrics: str) -> None:
    for line in build(composed("metrics", metrics).metrics).describe():
        assert direction_of(line.name) == line.direction, line.name
        assert family_of(line.name) == line.family, line.name


@pytest.mark.parametrize("trainer", options("trainer"))
def test_trainer(trainer: str, tmp_path: Path) -> None:
    cfg = composed("trainer", trainer, "trainer.accelerator=cpu")  # a GPU is not everywhere
    cfg.dirs.output = str(tmp_path)
    built = build(cfg.trainer)
    assert built.default_root_dir == str(tmp_path)
    assert built.world_size == cfg.trainer.devices
    assert not built.predict_loop.inference_mode


def test_logger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    assert not compose("evaluate", ["logger=none"]).logger
    cfg = composed("logger", "wandb", "logger.offline=true")
    cfg.dirs.output = str(tmp_path)
    logger = build(cfg.logger)
    assert logger.save_dir == str(tmp_path)


@pytest.mark.parametrize("fields", options("fields"))
def test_fields(fields: str) -> None:
    datamodule = build(compose("train", [f"fields={fields}", "fields.samples=4", "fields.batch_size=2"]).fields)
    fields_batch = next(iter(datamodule.train_dataloader()))
    assert fields_batch["clean"].shape == (2, 15, 8, 8)


def test_networks_for_fields_learn_the_fields_that_the_method_samples() -> None:
    learnt, method = compose("train", ["latents=fields"]).latents.space, compose("evaluate", []).method
    assert (learnt.concentration, learnt.cell_size) == (method.concentration, method.cell_size)
    for key in ("basis", "schedule", "n_segments", "grid"):
        assert learnt.field[key] == method[key], key


def test_callbacks(tmp_path: Path) -> None:
    cfg = composed("callbacks", "default")
    cfg.dirs.output = str(tmp_path)
    assert len([build(node) for node in cfg.callbacks.values()]) == 2


@pytest.mark.parametrize("option", options("debug") + options("experiment"))
def test_debug_and_experiment_change_something(option: str) -> None:
    group = "debug" if option in options("debug") else "experiment"
    program = program_of(group, option)
    assert composed(group, option) != compose_once(program)


# ---- classifiers and datasets, on tiny files --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classifier", "shape", "changes"),
    [
        ("small_cnn", (1, 8, 8), SMALL[1:]),
        ("cifar_resnet", (3, 32, 32), ["classifier.depth=8"]),
        ("mnist_vit", (1, 28, 28), []),
        ("torchvision", (3, 64, 64), ["classifier.name=squeezenet1_1", "classifier.num_classes=7"]),
    ],
)
def test_classifier(classifier: str, shape: tuple[int, int, int], changes: list[str]) -> None:
    cfg = compose("evaluate", [f"classifier={classifier}", *changes])
    given = {"mean": [0.5], "std": [0.5]} if cfg.classifier.get("mean", 0) is None else {}
    network = build(cfg.classifier, **given)
    logits = network(torch.rand(2, *shape))
    assert logits.shape == (2, network.num_classes)
    assert not network.training


def test_every_classifier_is_tested() -> None:
    assert options("classifier") == ["cifar_resnet", "mnist_vit", "small_cnn", "torchvision"]


def jpeg(seed: int, size: int = 12) -> bytes:
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG")
    return content.getvalue()


def idx(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def make_files(dataset: str, folder: Path) -> list[str]:
    """Write the smallest dataset of this format and return the overrides that read it."""
    rng = np.random.default_rng(0)
    labels = np.arange(20) % 2
    if dataset == "digits":
        return ["dataset.size=8"]
    if dataset in ("npz", "cifar10_npz"):
        np.savez(folder / "few.npz", x=rng.integers(0, 256, (20, 6, 6, 3), dtype=np.uint8), y=labels)
        return [f"dataset.path={folder}/few.npz", f"dataset.train_path={folder}/few.npz"]
    if dataset in ("mnist", "fashion_mnist"):
        images = rng.integers(0, 256, (20, 6, 5), dtype=np.uint8)
        (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(labels.astype(np.uint8)))
        return [f"dataset.path={folder}"]
    if dataset == "cifar10":
        import pickle

        for name in ["test_batch", *(f"data_batch_{number}" for number in range(1, 6))]:
            data = rng.integers(0, 256, (20, 3072), dtype=np.uint8)
            (folder / name).write_bytes(pickle.dumps({b"data": data, b"labels": labels.tolist()}, protocol=2))
        return [f"dataset.path={folder}"]
    if dataset == "cifar100":
        import pickle

        for name in ("train", "test"):
            data = rng.integers(0, 256, (20, 3072), dtype=np.uint8)
            (folder / name).write_bytes(pickle.dumps({"data": data, "fine_labels": labels.tolist()}))
        return [f"dataset.path={folder}"]
    if dataset == "flowers102":
        from scipy.io import savemat

        (folder / "jpg").mkdir()
        for seed in range(20):
            (folder / "jpg" / f"image_{seed + 1:05d}.jpg").write_bytes(jpeg(seed))
        savemat(folder / "imagelabels.mat", {"labels": [labels + 1]})
        savemat(folder / "setid.mat", {"trnid": [range(1, 11)], "valid": [range(11, 16)], "tstid": [range(16, 21)]})
        return [f"dataset.path={folder}", "dataset.size=8"]
    if dataset == "imagenet":
        for seed in range(4):
            inner = folder / "val" / f"n0000000{seed % 2}"
            inner.mkdir(parents=True, exist_ok=True)
            (inner / f"{seed}.JPEG").write_bytes(jpeg(seed))
        return [f"dataset.path={folder}", "dataset.size=8", "dataset.resize=10", "dataset.num_classes=2"]
    if dataset == "oxford_pet":
        (folder / "images").mkdir()
        for seed in range(40):
            (folder / "images" / f"{('Bengal', 'beagle')[seed % 2]}_{seed}.jpg").write_bytes(jpeg(seed))
        return [f"dataset.path={folder}", "dataset.size=8", "dataset.test_fraction=0.2"]
    if dataset == "mini_imagenet":
        for seed in range(24):
            inner = folder / ("train", "val", "test")[seed % 3] / f"n0{seed % 6}"
            inner.mkdir(parents=True, exist_ok=True)
            (inner / f"{seed}.jpg").write_bytes(jpeg(seed))
        return [f"dataset.path={folder}", "dataset.size=8", "dataset.test_images=6"]
    if dataset == "coco_instances":
        from oracle.coco import write_coco

        write_coco(folder, count=4)
        return [f"dataset.path={folder}", "dataset.size=8", "dataset.resize=10"]
    for seed in range(4):  # image_folder, imagenet_folder
        (folder / str(seed % 2)).mkdir(exist_ok=True)
        (folder / str(seed % 2) / f"{seed}.jpg").write_bytes(jpeg(seed))
    return [f"dataset.path={folder}", "dataset.size=8", "dataset.resize=10"]


@pytest.mark.parametrize("dataset", options("dataset"))
def test_dataset(dataset: str, tmp_path: Path) -> None:
    cfg = compose("evaluate", [f"dataset={dataset}", *make_files(dataset, tmp_path), "dataset.batch_size=3"])
    datamodule = build(cfg.dataset)
    datamodule.setup()
    batch = next(iter(datamodule.test_dataloader()))
    assert batch.images.shape == (3, *datamodule.image_shape)
    assert batch.images.dtype == torch.float32
    assert 0 <= batch.images.min() <= batch.images.max() <= 1
    assert batch.labels.max() < datamodule.num_classes == len(datamodule.class_names)
    assert len(datamodule.mean) == datamodule.image_shape[0]


# ---- the fingerprint of a configuration ------------------------------------------------------------------------


def mark(*overrides: str) -> str:
    cfg = deepcopy(compose_once("evaluate", *overrides))
    cfg.dirs.output = "anywhere"
    return fingerprint(cfg)


@pytest.mark.parametrize("same", ["batch_size=3", "dataset.num_workers=2", "objective.chunk_size=7", "pictures=1"])
def test_what_does_not_change_rows_does_not_change_the_fingerprint(same: str) -> None:
    assert mark(same) == mark()


@pytest.mark.parametrize(
    "other",
    [
        *("steps=3", "seed=1", "image_seed=1", "skip=1", "limit=3", "baseline=blur", "guidance.absolute_mass=0.3"),
        *("target=prediction", "footprint=0.02", "footprint=[0,0.02]", "trainer.precision=bf16-mixed", "+new_key=1"),
    ],
)
def test_what_changes_rows_changes_the_fingerprint(other: str) -> None:
    assert mark(other) != mark()


@pytest.mark.parametrize(
    "where", ["metrics.metrics.f_fidelity.checkpoint", "classifier.checkpoint"], ids=["judge", "classifier"]
)
def test_weights_count_by_what_is_in_their_file(where: str, tmp_path: Path) -> None:
    file, marks = tmp_path / "weights.safetensors", []
    for content in (b"first", b"second"):
        file.write_bytes(content)
        marks.append(mark("metrics=f_fidelity", f"{where}={file}"))
    assert marks[0] != marks[1]


def test_given_maps_count_by_their_content_and_name_wherever_they_lie(tmp_path: Path) -> None:
    marks = []
    for place, content in (("a/maps", b"first"), ("b/maps", b"first"), ("a/other", b"first"), ("b/maps", b"second")):
        file = tmp_path / f"{place}.npz"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        marks.append(mark(f"attributions={file}"))
    assert marks[0] == marks[1]
    assert len({*marks}) == 3


def test_guidance_counts_only_for_methods_that_use_it() -> None:
    assert mark("method=ig", "guidance.absolute_mass=0.3") == mark("method=ig")
