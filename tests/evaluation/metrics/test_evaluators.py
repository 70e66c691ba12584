"""The fast evaluator against the judge: the same numbers to the last digit, many times sooner."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpose.data.annotations import load_detections, load_pose_file, parse_pose_file
from sharpose.evaluation.metrics.coco_ap import box_ap, coco_ap, load_results, truth_of
from sharpose.evaluation.metrics.evaluators import check_evaluator, match
from sharpose.pose.skeleton import COCO_CATEGORY
from sharpose.runtime.errors import InputError

Rows = list[dict[str, Any]]


def people_and_results(
    seed: int, images: int, people: int, detections: int, *, ties: bool = False
) -> tuple[dict[str, Any], Rows]:
    """A COCO file and results on it: crowds, people without keypoints or against their own labels, false alarms."""
    rng = np.random.default_rng(seed)
    where = rng.integers(0, images, people)
    sides = np.exp(rng.normal(4.3, 0.9, (people, 2)))
    corners = rng.uniform(0, 500, (people, 2))
    points = corners[:, None] + rng.uniform(0, 1, (people, 17, 2)) * sides[:, None]
    labels = rng.integers(0, 3, (people, 17)) * (rng.random((people, 1)) > 0.3)
    crowd = rng.random(people) < 0.04
    annotations = [
        {
            "id": n,
            "image_id": int(where[n]),
            "category_id": 1,
            "iscrowd": int(crowd[n]),
            "bbox": [*corners[n].tolist(), *sides[n].tolist()],
            "area": float(sides[n].prod() * 0.6),
            "keypoints": np.column_stack([points[n], labels[n]]).ravel().tolist(),
            # now and then a count that the labels do not bear out
            "num_keypoints": int((labels[n] > 0).sum()) * int(rng.random() > 0.05),
        }
        for n in range(people)
    ]
    seen = rng.integers(0, people, detections)
    spread = rng.random(detections) * rng.choice([0.02, 0.1, 1.0], detections) * np.sqrt(sides[seen].prod(axis=1))
    found = points[seen] + rng.normal(0, 1, (detections, 17, 2)) * spread[:, None, None]
    scores = rng.random(detections).round(1 if ties else 9)
    results = [
        {
            "image_id": int(where[person]),
            "category_id": 1,
            "keypoints": np.column_stack([found[n], np.ones(17)]).ravel().tolist(),
            "score": float(scores[n]),
        }
        for n, person in enumerate(seen)
    ]
    rows = [{"id": n, "file_name": f"{n}.jpg", "height": 480, "width": 640} for n in range(images)]
    return {"images": rows, "annotations": annotations, "categories": [COCO_CATEGORY]}, results


def assert_the_same(truth: Any, results: Rows, **options: Any) -> None:
    judge, fast = (coco_ap(truth, results, evaluator=name, **options) for name in ("pycocotools", "hotcoco"))
    assert judge.values() == fast.values()
    assert (judge.num_people, judge.num_results) == (fast.num_people, fast.num_results)
    assert (judge.bootstrap is None) == (fast.bootstrap is None)
    if judge.bootstrap is not None and fast.bootstrap is not None:
        assert judge.bootstrap.image_ids == fast.bootstrap.image_ids
        assert np.array_equal(judge.bootstrap.replicates, fast.bootstrap.replicates, equal_nan=True)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 20), st.integers(1, 40), st.integers(0, 160), st.booleans())
def test_equal_to_the_judge_on_random_sets(seed: int, images: int, people: int, detections: int, ties: bool) -> None:
    truth, results = people_and_results(seed, images, people, detections, ties=ties)
    assert_the_same(truth, results, resamples=20)
    others = [{**COCO_CATEGORY, "sigmas": [0.05] * 17}]
    assert_the_same({**truth, "categories": others}, results, resamples=0)


def test_more_results_than_count_are_cut_alike() -> None:
    assert_the_same(*people_and_results(0, 2, 6, 120, ties=True), resamples=20)


def test_equal_to_the_judge_on_real_sets(shared: Path) -> None:
    folder = shared / "data" / "evaluators"
    assert_the_same(folder / "oks_ground_truth.json", load_results(folder / "oks_predictions.json"))
    val = shared / "data" / "coco_mini" / "annotations" / "person_keypoints_val2017.json"
    rng = np.random.default_rng(0)
    results = [
        {
            "image_id": row["image_id"],
            "keypoints": (np.asarray(row["keypoints"]) + rng.normal(0, 0.03 * row["bbox"][3], 51)).tolist(),
            "score": float(rng.random()),
        }
        for row in load_pose_file(val).annotations
        if row.get("num_keypoints")
    ]
    assert len(results) == 73
    assert_the_same(val, results)


def test_nobody_and_nothing() -> None:
    truth, results = people_and_results(0, 4, 5, 6)
    assert_the_same(truth, [], resamples=5)
    assert_the_same({**truth, "annotations": []}, results, resamples=5)
    assert_the_same({**truth, "annotations": []}, [], resamples=5)


def test_unknown_evaluator_names_the_known() -> None:
    with pytest.raises(InputError, match="'fastest'; there are pycocotools, hotcoco"):
        check_evaluator("fastest")


def test_missing_evaluator_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "hotcoco", None)
    with pytest.raises(InputError, match=r"hotcoco is not installed; pip install 'sharpose\[fast\]'"):
        coco_ap(*people_and_results(0, 4, 5, 6), evaluator="hotcoco")


def test_box_ap_of_perfect_boxes_is_one_and_of_shifted_ones_known() -> None:
    truth, _ = people_and_results(3, 30, 20, 0)
    pose_file = parse_pose_file(truth, Path("truth.json"))
    boxes = [
        {"image_id": row["image_id"], "bbox": row["bbox"], "score": 0.5}
        for row in truth["annotations"]
        if not row["iscrowd"]
    ]
    assert box_ap(pose_file, boxes) == pytest.approx(1.0)
    # an overlap of 3/4 of the width is an IoU of .6: right at .50, .55 and .60
    for row in boxes:
        x, y, width, height = row["bbox"]
        row["bbox"] = [x + width * 0.2499, y, width, height]
    assert box_ap(pose_file, boxes) == pytest.approx(0.3, abs=0.05)
    assert box_ap(pose_file, []) == 0.0


def test_box_ap_of_the_real_detections(shared: Path) -> None:
    folder = shared / "data" / "coco_mini" / "annotations"
    pose_file = load_pose_file(folder / "person_keypoints_val2017.json")
    rows = [row for _, row in load_detections(folder / "detections_val2017_AP_H_56.json", pose_file)]
    assert len(rows) == 118
    ours = box_ap(pose_file, rows)
    assert ours == match("hotcoco", "bbox", truth_of(pose_file), rows, sorted(pose_file.images)).stats[0]
    assert ours is not None and 0 < ours < 0.5, "118 boxes on four of 35 images"


@pytest.mark.slow
def test_many_times_sooner_at_the_size_of_coco_val(capsys: pytest.CaptureFixture[str]) -> None:
    truth, results = people_and_results(0, 5_000, 11_004, 104_000)
    pose_file = parse_pose_file(truth, Path("truth.json"))
    seconds: dict[str, list[float]] = {"pycocotools": [], "hotcoco": []}
    metrics = {}
    for _ in range(2):
        for name, spent in seconds.items():
            began = time.perf_counter()
            metrics[name] = coco_ap(pose_file, results, resamples=0, evaluator=name)  # type: ignore[arg-type]
            spent.append(time.perf_counter() - began)
    ratio = min(seconds["pycocotools"]) / min(seconds["hotcoco"])
    with capsys.disabled():
        best = ", ".join(f"{name} {min(spent):.2f} s" for name, spent in seconds.items())
        print(f"\n5,000 images, 104,000 detections: {best}: {ratio:.1f} times sooner")
    assert metrics["pycocotools"] == metrics["hotcoco"]
    assert ratio >= 5
