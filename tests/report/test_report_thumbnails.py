"""Thumbnails on the page: an image has its own, the budget is kept, and names of classes are harmless."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from diffig.evaluation.thumbnails import UNKNOWN, Thumbnails, _save
from diffig.report import build_report
from diffig.report.browser import IMAGES, ContactSheets, contact_sheets
from diffig.report.page import thumbnails_of
from diffig.report.runs import class_names, named
from diffig.report.sprite import STEPS, map_cell, map_sprite

SIDE = 16
INDICES = [7, 3, 110, 42, 5, 68, 9, 21, 33, 54, 12]


def picture(index: int, channels: int = 1, side: int = SIDE) -> np.ndarray:
    """An image that no other index has."""
    draw = np.random.default_rng(index)
    return np.kron(draw.integers(0, 255, (side // 4, side // 4, channels)), np.ones((4, 4, 1))).astype(np.uint8)


def heat_map(method: str, index: int, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng([index, len(method)]).integers(-127, 128, (side, side)).astype(np.int8)


def run(
    root: Path,
    method: str,
    values: dict[int, float],
    names: list[str] | None = None,
    channels: int = 1,
    side: int = SIDE,
    kept: list[int] | None = None,
    **columns: Any,
) -> Path:
    """A run's folder with rows, and with thumbnails of the images `kept`, of all by default."""
    folder = root / f"{method}{columns.get('seed', 0)}"
    folder.mkdir(parents=True)
    row = {"dataset": "d", "classifier": "c", "objective": "logit", "baseline": "black", "n_paths": 1, "steps": 8}
    row |= {"seconds": 0.1, "forward_images": 10, "backward_images": 8, "gap": 0.01, "seed": 0, "metric": "diffid"}
    row |= {"method": method, "status": "ok", **columns}
    rows = [
        {"label": i % 4, "prediction": i % 4, **row, "image_index": i, "value": value} for i, value in values.items()
    ]
    pd.DataFrame(rows).to_parquet(folder / "rows.parquet")
    own = sorted(values if kept is None else kept)
    if own:
        images = np.stack([picture(i, channels, side) for i in own])
        maps = np.stack([heat_map(method, i + 1000 * int(columns.get("seed", 0)), side) for i in own])
        _save(Thumbnails(np.array(own), images, maps), folder / "thumbnails.safetensors")
    if names is not None:
        (folder / "classes.json").write_text(json.dumps(names))
    return folder


def ordered(shift: float = 0.0) -> dict[int, float]:
    return {index: shift + 0.01 * place for place, index in enumerate(INDICES)}


def sprite(address: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).convert("RGB"))


def cut(page: str, section: int, sheet: int, place: str) -> np.ndarray:
    """What a browser shows of a sheet at a place, at the thumbnail's own size: the page's CSS, read as it stands."""
    pixels = sprite(re.search(rf"\.s{section}k{sheet} {{ background-image: url\((data:[^)]*)\)", page).group(1))  # type: ignore[union-attr]
    size = re.search(rf"#s{section} {{ --tw: (\d+)px; --th: (\d+)px; --bw: (\d+)px; --bh: (\d+)px", page)
    assert size is not None
    wide, high, whole_wide, whole_high = map(int, size.groups())
    scale = whole_wide // pixels.shape[1]
    assert (scale * pixels.shape[1], scale * pixels.shape[0]) == (whole_wide, whole_high), "no pixel is stretched"
    x, y = (-int(number) for number in re.findall(r"(-?\d+)px", place))
    shown = pixels.repeat(scale, 0).repeat(scale, 1)[y : y + high, x : x + wide]
    return shown[::scale, ::scale]


def colours(levels: np.ndarray) -> np.ndarray:
    from matplotlib import colormaps

    steps = np.rint(levels.astype(float) / 127 * STEPS)
    return colormaps["RdBu_r"]((steps / STEPS + 1) / 2, bytes=True)[..., :3]


def lines_of(page: str, table: str) -> dict[int, tuple[str, dict[str, int]]]:
    """Of each line of a table: its place, and the number of the sheet in the cell of each title."""
    start = page.index(table)
    content = page[start : page.index("</table>", start)]
    head = [re.sub("<[^>]*>", "", cell) for cell in re.findall(r"<th [^>]*>.*?</th>", content.split("</thead>")[0])]
    found = {}
    for line in re.findall(r"<tr[^>]*style=\"--p: ([^\"]*)\"[^>]*>(.*?)</tr>", content):
        cells = re.findall(r"<t[hd][^>]*>.*?</t[hd]>", line[1])
        sheets = {
            title: int(number.group(1))
            for title, cell in zip(head, cells, strict=True)
            if (number := re.search(r'class="th s\d+k(\d+)"', cell))
        }
        index = re.search(r'data-v="(\d+)"', cells[0])
        assert index is not None
        found[int(index.group(1))] = (line[0], sheets)
    return found


@pytest.mark.parametrize("table", ['id="s1-images"', 'id="s1-disagreements"'])
def test_the_thumbnail_of_an_image_is_the_images(tmp_path: Path, table: str) -> None:
    run(tmp_path, "ig", ordered(), kept=INDICES[::-1])
    run(tmp_path, "spi", {index: (-1) ** place * 0.5 for place, index in enumerate(INDICES)}, seed=0)
    run(tmp_path, "spi", {index: (-1) ** place * 0.4 for place, index in enumerate(INDICES)}, seed=1)
    run(tmp_path, "diffig_field", ordered(0.1))
    report = build_report(tmp_path, n=50, formats=["html"])
    assert report.html is not None
    page = report.html.read_text()
    lines = lines_of(page, table)
    if "images" in table:
        assert set(lines) == set(INDICES)
    else:
        assert set(lines) == {int(row["image"]) for row in report.comparisons[0].disagreements}
    assert len({place for place, _ in lines.values()}) == len(lines)
    for index, (place, sheets) in lines.items():
        names = {"Image"} | ({"ig", "spi", "diffig_field"} if "images" in table else {"ig", "diffig_field"})
        assert set(sheets) == names
        np.testing.assert_array_equal(cut(page, 1, sheets["Image"], place), picture(index).repeat(3, 2))
        for method in names - {"Image"}:  # of two seeds the first
            np.testing.assert_array_equal(cut(page, 1, sheets[method], place), colours(heat_map(method, index)))


def test_every_comparison_has_sheets_of_its_own(tmp_path: Path) -> None:
    for protocol in ("a", "b"):
        for method in ("ig", "spi"):
            columns = {"protocol": protocol, "seed": ord(protocol)}
            run(tmp_path, method, ordered(0.1 if method == "ig" else 0.0), **columns)
    report = build_report(tmp_path, n=50, formats=["html"])
    assert report.html is not None
    page = report.html.read_text()
    for section, protocol in ((1, "a"), (2, "b")):
        index, (place, sheets) = next(iter(lines_of(page, f'id="s{section}-images"').items()))
        shown = cut(page, section, sheets["ig"], place)
        np.testing.assert_array_equal(shown, colours(heat_map("ig", index + 1000 * ord(protocol))))


def test_photographs_are_close_and_do_not_bleed(tmp_path: Path) -> None:
    folder = run(tmp_path, "ig", dict.fromkeys(range(30), 0.0), channels=3, side=28)
    sheets = contact_sheets({"ig": [str(folder)]}, list(range(29, -1, -1)), 3_000_000)
    assert sheets is not None
    pixels = sprite(sheets.addresses[IMAGES])
    scale = sheets.cell[0] // 28
    for index in range(30):
        x, y = (-int(number) // scale for number in re.findall(r"(-?\d+)px", sheets.places[index]))
        difference = np.abs(pixels[y : y + 28, x : x + 28].astype(int) - picture(index, 3, 28))
        assert difference.mean() < 12, "JPEG"


def test_what_is_missing_is_blank_and_what_is_not_finite_is_grey() -> None:
    broken = np.zeros((8, 8), np.int8)
    broken[2, 3] = UNKNOWN
    address = map_sprite([map_cell(None, (8, 8)), map_cell(broken, (8, 8))])
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).convert("RGBA"))
    assert not pixels[:, :8, 3].any(), "transparent"
    assert tuple(pixels[2, 11]) == (150, 150, 150, 255)
    np.testing.assert_array_equal(pixels[0, 8, :3], colours(np.zeros(1))[0])


def many(root: Path, methods: int = 4, images: int = 200) -> dict[str, list[str]]:
    return {
        f"method{'x' * i}": [str(run(root, f"method{'x' * i}", dict.fromkeys(range(images), 0.0), channels=3))]
        for i in range(methods)
    }


def test_the_budget_is_kept_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    folders, order = many(tmp_path), list(range(199, -1, -1))
    whole = contact_sheets(folders, order, 10_000_000)
    assert whole is not None
    assert whole.said == ""
    assert set(whole.places) == set(order)
    half = contact_sheets(folders, order, whole.weight // 2)
    assert half is not None
    assert half.weight <= whole.weight // 2
    assert 60 <= len(half.places) < 120
    assert set(half.places) == set(order[: len(half.places)]), "the first of the order stay"
    assert (
        f"Thumbnails are shown of {len(half.places)} of 200 images, those that settings disagree on most" in half.said
    )
    assert "thumbnails.safetensors" in half.said
    little = contact_sheets(folders, order, whole.weight // 12)
    assert little is not None
    assert little.weight <= whole.weight // 12
    assert list(little.addresses)[:3] == [IMAGES, "method", "methodx"]
    assert "without the maps of methodxx" in little.said
    assert contact_sheets(folders, order, 200) is None


def test_comparisons_share_the_budget(tmp_path: Path) -> None:
    for protocol in ("a", "b"):
        for method in ("ig", "spi"):
            values = dict.fromkeys(range(150), 0.1)
            run(tmp_path, method, values, channels=3, protocol=protocol, seed=ord(protocol))
    comparisons = build_report(tmp_path, n=50, formats=[], output=tmp_path).comparisons
    found = thumbnails_of(comparisons, 100_000)
    assert all(isinstance(sheets, ContactSheets) and sheets.said for sheets in found)
    assert 60_000 < sum(sheets.weight for sheets in found if sheets) <= 100_000


def test_runs_without_thumbnails_still_make_a_report(tmp_path: Path) -> None:
    run(tmp_path, "ig", ordered(), kept=[])
    run(tmp_path, "spi", ordered(0.1), kept=[])
    report = build_report(tmp_path, n=50, formats=["html"])
    assert report.html is not None
    page = report.html.read_text()
    assert "Every image" in page
    assert 'class="th ' not in page
    assert "red speaks for" not in page
    run(tmp_path, "gig", ordered(0.2), kept=INDICES[:4])
    newer = build_report(tmp_path, n=50, formats=["html"]).html
    assert newer is not None
    assert "No thumbnails were kept of ig, spi." in newer.read_text()
    assert len(lines_of(newer.read_text(), 'id="s1-images"')) == 4


def test_names_of_classes_stand_beside_their_numbers_and_are_harmless(tmp_path: Path) -> None:
    evil = ["cat", "<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "2"]
    for method, shift in (("ig", 0.0), ("spi", 0.1)):
        run(tmp_path, method, ordered(shift), names=evil)
    report = build_report(tmp_path, n=50, formats=["html"])
    assert report.html is not None
    page = report.html.read_text()
    assert "1 &lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert '<option value="0">0 cat</option>' in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert page.count("<script>") == 1


def test_names_are_used_where_runs_agree(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert class_names([tmp_path / "a"]) == []
    (tmp_path / "a" / "classes.json").write_text('["cat", "dog"]')
    assert class_names([tmp_path / "a", tmp_path / "b"]) == ["cat", "dog"]
    (tmp_path / "b" / "classes.json").write_text('["dog", "cat"]')
    assert class_names([tmp_path / "a", tmp_path / "b"]) == []
    (tmp_path / "b" / "classes.json").write_text("{")
    assert class_names([tmp_path / "a", tmp_path / "b"]) == ["cat", "dog"]
    assert [named(["cat", "1"], label) for label in ("0", "1", "2", "<i>", "-1")] == ["0 cat", "1", "2", "<i>", "-1"]


def test_filters_and_the_sentence_on_losses(tmp_path: Path) -> None:
    values = {index: 0.02 * place for place, index in enumerate(range(40))}
    run(tmp_path, "ig", dict.fromkeys(range(40), 0.3), names=["a", "b", "c", "d"])
    run(tmp_path, "diffig_field", {i: v + (0.2 if i >= 15 else 0.0) for i, v in values.items()})
    report = build_report(tmp_path, n=50, formats=["html"])
    (comparison,) = report.comparisons
    assert comparison.losses == (
        "The winner loses too: diffig_field is behind ig on 15 of the 40 images that both have, furthest on image 0"
        " (class 0 a), with 0 against .300."
    )
    assert report.html is not None
    page = report.html.read_text()
    assert comparison.losses in page
    assert page.count('data-behind="1"') == 15
    assert page.count('data-top="1"') == 20
    assert page.count('data-odd="1"') == 0
    options = re.findall(r'<option value="(\d+)">', page)
    assert options == ["0", "1", "2", "3"]


def test_a_winner_that_never_loses_is_said_to(tmp_path: Path) -> None:
    run(tmp_path, "ig", ordered())
    run(tmp_path, "spi", ordered(0.1))
    (comparison,) = build_report(tmp_path, n=50, formats=[], output=tmp_path).comparisons
    assert comparison.losses == "spi is behind ig on none of the 11 images that both have."


def test_methods_stand_side_by_side_and_open_large(tmp_path: Path) -> None:
    """One line for each image and one column for each method, instead of a card for each run with the same images."""
    from diffig.report.browser import ROWS, ContactSheets

    sheets = ContactSheets(dict.fromkeys(range(20), "0px 0px"), {"": "a", "ig": "b", "gig": "c"}, (8, 8), (8, 8), "")
    assert sheets.settings == ["ig", "gig"]
    assert sheets.side_by_side == list(range(ROWS))
    assert sheets._replace(addresses={"": "a"}).side_by_side == []
