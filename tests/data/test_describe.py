"""Figures of a keypoint file, each worked out by hand on people made for it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from sharpose.data.describe import describe, table
from sharpose.runtime.errors import InputError

NAMES = ["left_shoulder", "right_shoulder", "left_hip", "right_hip"]


def person(number: int, image: int, box: list[float], points: list[tuple[float, float, int]], **more: Any) -> Any:
    keypoints = [value for point in points for value in point]
    return {"id": number, "image_id": image, "category_id": 1, "bbox": box, "keypoints": keypoints, **more}


def upright(x: float, y: float, flip: bool = False) -> list[tuple[float, float, int]]:
    """Shoulders 10 above hips; seen from the front unless `flip`."""
    near, far = (x, x + 4) if flip else (x + 4, x)
    return [(near, y, 2), (far, y, 2), (near, y + 10, 2), (far, y + 10, 2)]


def write(folder: Path, rows: list[Any], names: list[str] = NAMES) -> Path:
    content = {
        "images": [{"id": at, "file_name": f"{at}.jpg", "width": 200, "height": 100} for at in (1, 2)],
        "annotations": rows,
        "categories": [{"id": 1, "name": "person", "keypoints": names}],
    }
    path = folder / "people.json"
    path.write_text(json.dumps(content))
    return path


def test_figures(tmp_path: Path) -> None:
    lying = [(60.0, 50.0, 2), (60.0, 54.0, 1), (50.0, 50.0, 1), (50.0, 54.0, 0)]
    rows = [
        person(1, 1, [0, 10, 20, 20], upright(2, 12), area=96**2 + 1),
        # covers a quarter of the first, half of whose box is not enough to be mentioned twice
        person(2, 1, [10, 10, 10, 10], upright(12, 12, flip=True), area=96**2),
        person(3, 2, [40, 40, 30, 20], lying, area=5.0),
        person(4, 2, [0, 0, 9, 9], [(0, 0, 0)] * 4, area=5.0),
        person(5, 2, [0, 0, 200, 100], [(0, 0, 0)] * 4, area=5.0, iscrowd=1),
    ]
    found = describe(write(tmp_path, rows))
    assert (found.images, found.people, found.labelled) == (2, 3, pytest.approx(11 / 3))
    # of the third the shoulders lie above each other: the left one is not right of the right one
    assert found.frontal == pytest.approx(1 / 3)
    assert found.hidden == pytest.approx(2 / 11)
    # all of the second lies in the first's box, a quarter of the first in the second's
    assert found.overlapped == pytest.approx(1 / 3)
    assert found.large == pytest.approx(1 / 3)
    # the first touches the left border
    assert found.cut == pytest.approx(1 / 3)
    assert found.tilt_p90 == pytest.approx(0.0)


def test_tilt_counts_from_upright_to_upside_down(tmp_path: Path) -> None:
    for hips, degrees in (((50, 60), 0.0), ((40, 50), 90.0), ((60, 60), 45.0), ((50, 40), 180.0)):
        points = [(52, 50, 2), (48, 50, 2), (hips[0] + 2, hips[1], 2), (hips[0] - 2, hips[1], 2)]
        assert describe(write(tmp_path, [person(1, 1, [30, 30, 40, 40], points)])).tilt_p90 == pytest.approx(degrees)


def test_spread_is_the_distance_from_a_keypoints_mean_place(tmp_path: Path) -> None:
    places = [(10.0, 20.0), (50.0, 60.0)]
    rows = [person(at + 1, 1, [0, 0, 100, 100], [(x, y, 2)] * 4) for at, (x, y) in enumerate(places)]
    assert describe(write(tmp_path, rows)).spread == pytest.approx(math.hypot(0.2, 0.2))


def test_what_a_file_cannot_say_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, [person(1, 1, [5, 5, 9, 9], [(6, 6, 2)])], ["nose"])
    found = describe(path)
    assert math.isnan(found.frontal) and math.isnan(found.tilt_p90) and found.large == 0
    assert found.facts()["frontal"] is None and found.facts()["people"] == 1
    lines = table([found]).splitlines()
    assert lines[0] == f"|  | {path} |" and "| frontal: left shoulder right of the right one | - |" in lines


def test_a_file_without_people_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [person(1, 1, [5, 5, 9, 9], [(0, 0, 0)] * 4)])
    with pytest.raises(InputError, match="nobody in it has a labelled keypoint") as refusal:
        describe(path)
    assert str(path) in str(refusal.value)


def test_photographs_have_the_published_figures(shared: Path) -> None:
    found = describe(shared / "data" / "coco_mini" / "annotations" / "person_keypoints_val2017.json")
    assert found.people == 73
    assert found.frontal == pytest.approx(0.75, abs=0.005) and found.tilt_p90 == pytest.approx(30, abs=0.5)
    assert found.hidden == pytest.approx(0.141, abs=5e-4) and found.large == pytest.approx(0.466, abs=5e-4)
