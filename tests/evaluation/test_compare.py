"""Results files compared: differences, kinds of errors, and what a protocol is worth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sharpose.cli.compare import short_names
from sharpose.data.annotations import load_pose_file
from sharpose.evaluation.compare import compare
from sharpose.evaluation.error_kinds import count_errors
from sharpose.evaluation.protocol import file_effects
from sharpose.pose.skeleton import COCO, COCO_CATEGORY
from sharpose.runtime.errors import InputError
from tests.command_line import call

IMAGES = 40


def figure(rng: np.random.Generator, left: float) -> np.ndarray:
    """Seventeen points 20 pixels and more apart, in a box of 100x200."""
    grid = np.array([[left + 25 * (k % 4), 30 + 40 * (k // 4)] for k in range(17)], dtype=float)
    return grid + rng.uniform(-2, 2, grid.shape)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    rng, rows = np.random.default_rng(1), []
    for image in range(1, IMAGES + 1):
        for person, left in enumerate((20.0, 320.0)):
            points = np.column_stack([figure(rng, left), np.full(17, 2)])
            row = {"id": 2 * image + person, "image_id": image, "category_id": 1, "bbox": [left, 20, 100, 200]}
            rows.append({**row, "area": 8000, "iscrowd": 0, "num_keypoints": 17, "keypoints": points.ravel().tolist()})
    images = [{"id": n, "file_name": f"{n}.png", "height": 300, "width": 500} for n in range(1, IMAGES + 1)]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"images": images, "annotations": rows, "categories": [COCO_CATEGORY]}))
    return path


def results(truth: Path, noise: float, seed: int = 0) -> list[dict[str, Any]]:
    rng, rows = np.random.default_rng(seed), []
    for row in json.loads(truth.read_text())["annotations"]:
        points = np.array(row["keypoints"]).reshape(17, 3)
        points[:, :2] += rng.normal(0, noise, (17, 2))
        points[:, 2] = 0.9
        common = {"image_id": row["image_id"], "category_id": 1, "score": float(rng.uniform(0.5, 1))}
        rows.append({**common, "keypoints": points.ravel().tolist()})
    return rows


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(rows))
    return path


def test_a_worse_file_is_lower_and_the_same_one_equivalent(truth: Path, tmp_path: Path) -> None:
    good = write(tmp_path / "good.json", results(truth, 2))
    same = write(tmp_path / "same.json", results(truth, 2))
    bad = write(tmp_path / "bad.json", results(truth, 9))
    done = compare([good, same, bad], truth, resamples=200)
    equal, lower = done.comparisons
    assert equal.value == 0 and equal.verdict == "equivalent" and equal.p == 1
    assert lower.verdict == "lower" and lower.high < 0 and lower.p < 0.05
    first, _, last = done.scored
    assert lower.value == pytest.approx(last.metrics.ap - first.metrics.ap)
    # small keypoints lose more of their AP by the same noise than large ones
    assert last.keypoint_ap["left_eye"] < last.keypoint_ap["left_hip"]
    assert sum(first.errors.values()) == 2 * IMAGES * 17 and first.errors["good"] > last.errors["good"]


def test_every_kind_of_error_is_told(truth: Path, tmp_path: Path) -> None:
    rows = results(truth, 0)
    places = {name: k for k, name in enumerate(COCO.keypoint_names)}
    points = np.array(rows[0]["keypoints"]).reshape(17, 3)
    other = np.array(rows[1]["keypoints"]).reshape(17, 3)
    left, right = places["left_wrist"], places["right_wrist"]
    points[[left, right]] = points[[right, left]]
    points[places["nose"], :2] = other[places["nose"], :2]
    points[places["left_knee"], 1] += 11
    points[places["left_ankle"], :2] = (5, 290)
    rows[0]["keypoints"] = points.ravel().tolist()
    errors, by_keypoint = count_errors(load_pose_file(truth), rows)
    assert errors == {"good": 2 * IMAGES * 17 - 5, "jitter": 1, "inversion": 2, "swap": 1, "miss": 1}
    assert by_keypoint["left_knee"]["jitter"] == by_keypoint["nose"]["swap"] == by_keypoint["left_ankle"]["miss"] == 1


def test_the_score_rule_alone_moves_ap(truth: Path, tmp_path: Path) -> None:
    rows = results(truth, 0)
    # every person twice, the second time badly but with the better score
    worse = [{**row, "score": row["score"] + 1} for row in results(truth, 40, seed=3)]
    for row in worse:
        row["keypoints"][2::3] = [0.1] * 17
    effects = file_effects(write(tmp_path / "two.json", rows + worse), truth, resamples=100)
    given, by_keypoints = effects["as given"], effects["score: mean of the keypoints'"]
    assert given.metrics.ap is not None and by_keypoints.metrics.ap is not None and by_keypoints.metrics.ap > 0.95
    assert given.moved is not None and (given.moved.value, given.moved.low, given.moved.high) == (0, 0, 0)
    moved = by_keypoints.moved
    assert moved is not None and moved.value == by_keypoints.metrics.ap - given.metrics.ap and moved.low > 0.1
    # the paired interval is that of the two files compared
    two = compare(
        [write(tmp_path / f"{n}.json", one) for n, one in enumerate(ranked(rows + worse))], truth, resamples=100
    )
    assert moved == replace(two.comparisons[0], p=moved.p)


def ranked(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Results as they are, and by the mean of the keypoints' scores."""
    return [rows, [{**row, "score": float(np.mean(row["keypoints"][2::3]))} for row in rows]]


def test_files_with_results_on_other_images_stay_paired(truth: Path, tmp_path: Path) -> None:
    content = json.loads(truth.read_text())
    content["images"].append({**content["images"][0], "id": IMAGES + 1})
    truth.write_text(json.dumps(content))
    rows = results(truth, 9)
    # behind all others, where nobody is: it moves AP of no resample
    stray = {**rows[0], "image_id": IMAGES + 1, "score": 0.01}
    first, second = write(tmp_path / "first.json", rows), write(tmp_path / "second.json", [*rows, stray])
    (same,) = compare([first, second], truth, resamples=100).comparisons
    assert (same.value, same.low, same.high, same.verdict) == (0, 0, 0, "equivalent")


def test_the_commands_print_tables_and_json(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(write(tmp_path / f"{name}.json", results(truth, noise))) for name, noise in (("a", 2), ("b_c", 3))]
    on = ("--data", str(truth))
    code, out, _ = call(capsys, "compare", *files, *on, "--format", "latex", "--figure", str(tmp_path / "f.png"))
    assert code == 0 and r"b\_c.json" in out and r"\toprule" in out
    assert (tmp_path / "f.png").stat().st_size > 1000
    found = json.loads(call(capsys, "compare", *files, *on, "--json")[1])
    assert [one["ap"] > 0.5 for one in found["files"]] == [True, True] and len(found["comparisons"]) == 1
    found = json.loads(call(capsys, "protocol", files[0], *on, "--json")[1])
    assert found["results"] == files[0] and found["choices"]["as given"]["moved_low"] == 0
    assert "OKS-NMS above 0.9" in found["choices"]
    rows = [{"image_id": 1, "score": 1}]
    code, _, wrong = call(capsys, "protocol", str(write(tmp_path / "odd.json", rows)), *on)
    assert code == 2 and "odd.json: results[0].keypoints must be 51 finite numbers" in wrong
    code, _, wrong = call(capsys, "compare", str(truth), *on)
    assert code == 2 and "must be a list of results" in wrong


def test_files_of_one_name_are_told_apart_by_their_folders() -> None:
    names = short_names(["runs/a/keypoints.json", "runs/b/keypoints.json", "other/mine.json"])
    assert list(names.values()) == ["a/keypoints.json", "b/keypoints.json", "mine.json"]


def test_results_of_other_images_are_refused_by_name(truth: Path, tmp_path: Path) -> None:
    rows = results(truth, 1)
    rows[0]["image_id"] = 999
    with pytest.raises(InputError, match=r"odd\.json: results\[0\]\.image_id 999"):
        compare([write(tmp_path / "odd.json", rows)], truth)
