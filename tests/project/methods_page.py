"""docs/methods.md, made from configs, classes and tests: `python tests/project/methods_page.py` writes it anew."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from hydra.utils import get_object  # noqa: E402 (after the helpers' folder is known)

from diffig.attribution import LRP, Attributor  # noqa: E402
from diffig.config import options_of  # noqa: E402
from diffig.paths import PathGenerator  # noqa: E402
from invariance.methods import NETS, SECOND_ORDER  # noqa: E402
from small_methods import small_method, write_latent_parts  # noqa: E402

NOTHING = "-"
PAGE = ROOT / "docs" / "methods.md"
TITLES = ("method", "what it is", "files", "backward", "forward", "needs", "baseline", "credit", "checked in")
HEAD = """# Methods

Made by `python tests/project/methods_page.py` from configs, classes and tests; a test says when it is out of date.

* **method**: the option of `method=...`; its defaults are in `conf/method/<method>.yaml`.
* **backward**, **forward**: images through the classifier for one explained image at the defaults (`steps=32`),
  counted on an 8 x 8 digit and an untrained network. Methods that stop by themselves differ from image to image.
* **baseline**: whether `baseline=...` plays a part, or the method has its own start: {baselines}.
* **credit**: whether `credit=...` plays a part: {credits} ([credit.md](credit.md)).
* **checked in**: tests against a second implementation (`tests/oracle`) or known answers (`tests/analytic`).

"""
# What a key of a method's config asks for.
KEYS = {
    "autoencoder": "an autoencoder",
    "diffusion": "a diffusion model of images",
    "references": "training images",
    "prior": "a prior of paths",
}
# What a method asks of the classifier, by the network that the invariance tests must take.
OF_NETWORK = {"ReLUNet": "a network of known layers"}


def options_file(method: str) -> dict[str, Any]:
    """What `conf/method/<method>.yaml` says."""
    said: dict[str, Any] = yaml.safe_load((ROOT / "conf" / "method" / f"{method}.yaml").read_text())
    return said


def class_of(method: str) -> type[Attributor]:
    """The class that an option builds."""
    found = get_object(options_file(method)["_target_"])
    assert inspect.isclass(found)
    return found


def files_of(kind: type) -> list[str]:
    """The file of the class, and those of the paths that it names."""
    module = sys.modules[kind.__module__]
    paths = {value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, PathGenerator)}
    own = sorted(path.__module__ for path in paths if path is not PathGenerator)
    return [name.removeprefix("diffig.").replace(".", "/") + ".py" for name in dict.fromkeys([kind.__module__, *own])]


def needs_of(method: str, kind: type) -> list[str]:
    """What must be there besides images and a classifier."""
    keys = set(options_file(method))
    needs = [text for key, text in KEYS.items() if key in keys]
    if issubclass(kind, LRP):
        needs.append("`diffig[lrp]`")
    needs += [OF_NETWORK[net.__name__] for start, net in NETS.items() if method == start]
    return needs + ["second derivatives"] * method.startswith(SECOND_ORDER)


def asks_baseline(kind: type[Attributor]) -> bool:
    """Whether a method takes part in the choice of a baseline: it says so, and reads the images that it is given."""
    return bool(kind.asks_baseline) and inspect.getsource(kind._explain).count("baselines") > 1


def tests_of(kind: type) -> list[str]:
    """The tests with an answer of their own that name the class."""
    files = [file for folder in ("analytic", "oracle") for file in (ROOT / "tests" / folder).glob("test_*.py")]
    return sorted(
        file.stem.removeprefix("test_") for file in files if re.search(rf"\b{kind.__name__}\b", file.read_text())
    )


def costs() -> dict[str, tuple[int, int]]:
    """Backward and forward images of each method for one image."""
    counted = {}
    with TemporaryDirectory() as scratch:
        write_latent_parts(Path(scratch))
        for method in options_of("method"):
            attributor, (images, labels, indices) = small_method(method, Path(scratch), 1)
            attributor.explain(images, target=labels, indices=indices)
            counted[method] = (attributor.score.cost.backward_images, attributor.score.cost.forward_images)
    return counted


def costs_of(page: str) -> dict[str, tuple[int, int]]:
    """The costs that a page states."""
    lines = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    return {line[0].strip("| `"): (int(line[3]), int(line[4])) for line in lines}


def page(counted: dict[str, tuple[int, int]]) -> str:
    """The whole page, given what each method costs."""
    told = {"baselines": "baseline", "credits": "credit"}
    lines = [HEAD.format(**{key: ", ".join(f"`{o}`" for o in options_of(group)) for key, group in told.items()})]
    lines += [f"| {' | '.join(TITLES)} |\n", f"|{'---|' * len(TITLES)}\n"]
    for method in options_of("method"):
        kind, text = class_of(method), (ROOT / "conf" / "method" / f"{method}.yaml").read_text()
        what = re.split(r"; change|; meant|; the paper", text.splitlines()[0].removeprefix("# Builds "))[0].rstrip(".")
        asked = "yes" if asks_baseline(kind) else "own" if "${credit}" in text else NOTHING
        cells = (
            *(f"`{method}`", what, " ".join(f"`{file}`" for file in files_of(kind))),
            *(str(number) for number in counted.get(method, (0, 0))),
            *(", ".join(needs_of(method, kind)) or NOTHING, asked, "yes" if "${credit}" in text else NOTHING),
            ", ".join(tests_of(kind)) or NOTHING,
        )
        lines.append(f"| {' | '.join(cells)} |\n")
    return "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(costs()))
