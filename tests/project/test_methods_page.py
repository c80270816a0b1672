"""docs/methods.md says what configs, classes and tests say today."""

from __future__ import annotations

import pytest

from diffig.config import options_of
from project.methods_page import PAGE, class_of, costs, costs_of, page

AGAIN = "docs/methods.md is out of date: run `python tests/project/methods_page.py`"


def test_the_page_is_what_the_code_says() -> None:
    told = PAGE.read_text()
    assert page(costs_of(told)) == told, AGAIN


def test_the_costs_are_what_is_counted() -> None:
    told = costs_of(PAGE.read_text())
    for method, counted in costs().items():
        assert told[method] == pytest.approx(counted, rel=0.25), (
            f"{method}: {AGAIN}"
        )  # searches stop where rounding says


# Options that share a file with the option it is called like, or are three lines of one idea.
SHARED = {
    "left_ig": "split_ig",
    "samp_pp": "samp",
    "smoothgrad_squared": "smoothgrad",
    **dict.fromkeys(("centre_gaussian", "constant", "input_magnitude", "sobel"), "controls"),
}


@pytest.mark.parametrize("method", options_of("method"))
def test_a_methods_file_is_called_like_its_option(method: str) -> None:
    assert class_of(method).__module__ == f"diffig.attribution.{SHARED.get(method, method)}"
