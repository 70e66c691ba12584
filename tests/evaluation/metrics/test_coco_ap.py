"""COCO AP and its bootstrap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpose.data.annotations import parse_pose_file
from sharpose.evaluation.metrics.coco_ap import coco_ap, load_results, truth_of
from sharpose.evaluation.metrics.evaluators import match
from sharpose.evaluation.metrics.matches import Matches
from sharpose.pose.skeleton import COCO_CATEGORY
from sharpose.runtime.errors import InputError

Rows = list[dict[str, Any]]


def random_set(seed: int, images: int, noise: float) -> tuple[dict[str, Any], Rows]:
    """People, crowds, misses and false alarms; scores without ties."""
    rng = np.random.default_rng(seed)
    people: Rows = []
    results: Rows = []
    for image_id in range(images):
        for _ in range(rng.integers(0, 4)):
            width, height = rng.uniform(20, 300, 2)
            points = rng.uniform(0, 1, (17, 2)) * [width, height] + rng.uniform(0, 300, 2)
            labels = rng.integers(0, 3, (17, 1))
            row = np.concatenate([points, labels], axis=1).ravel().tolist()
            box = [float(points[:, 0].min()), float(points[:, 1].min()), float(width), float(height)]
            crowd, area = int(rng.random() < 0.05), float(width * height * 0.6)
            person = {"id": len(people), "image_id": image_id, "category_id": 1, "iscrowd": crowd, "bbox": box}
            people.append({**person, "area": area, "keypoints": row, "num_keypoints": int((labels > 0).sum())})
            moved = points + rng.normal(0, noise * rng.random() * np.sqrt(width * height), (17, 2))
            results.append(result(image_id, moved, rng.random()))
        for _ in range(rng.integers(0, 3)):
            results.append(result(image_id, rng.uniform(0, 400, (17, 2)), rng.random()))
    rows = [{"id": image_id, "file_name": f"{image_id}.jpg", "height": 480, "width": 640} for image_id in range(images)]
    return {"images": rows, "annotations": people, "categories": [COCO_CATEGORY]}, results


def result(image_id: int, points: np.ndarray, score: float) -> dict[str, Any]:
    keypoints = np.concatenate([points, np.ones((17, 1))], axis=1).ravel().tolist()
    return {"image_id": image_id, "category_id": 1, "keypoints": keypoints, "score": float(score)}


def matches_of(truth: dict[str, Any], results: Rows) -> tuple[Matches, float]:
    pose_file = parse_pose_file(truth, Path("truth.json"))
    images, sigmas = sorted(pose_file.images), pose_file.skeleton.sigmas
    evaluation = match("pycocotools", "keypoints", truth_of(pose_file), results, images, sigmas)
    return Matches.from_evaluation(evaluation), float(evaluation.stats[0])


def test_the_stored_predictions_give_the_published_values(shared: Path) -> None:
    folder = shared / "data" / "evaluators"
    metrics = coco_ap(folder / "oks_ground_truth.json", load_results(folder / "oks_predictions.json"))
    rounded = {name: round(value, 4) for name, value in metrics.values().items() if value is not None}
    expected = {"ap": 0.8609, "ap50": 0.9931, "ap75": 0.9109, "ap_m": 0.7756, "ap_l": 0.9373, "ar": 0.875}
    assert {name: rounded[name] for name in expected} == expected
    assert metrics.num_images == 4 and metrics.num_results == 73


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 0.2))
def test_our_ranking_equals_pycocotools_to_the_last_bit(seed: int, noise: float) -> None:
    matches, expected = matches_of(*random_set(seed, 12, noise))
    ours = matches.ap(np.ones((1, len(matches.image_ids))))[0]
    assert ours == expected or (np.isnan(ours) and expected == -1)


def test_a_replicate_equals_evaluating_the_repeated_images() -> None:
    truth, results = random_set(3, 25, 0.06)
    matches, _ = matches_of(truth, results)
    counts = np.random.default_rng(0).multinomial(25, np.full(len(matches.image_ids), 1 / len(matches.image_ids)))
    images: Rows = []
    people: Rows = []
    repeated: Rows = []
    for image_id, count in zip(matches.image_ids, counts, strict=True):
        for _ in range(count):
            new = {"image_id": len(images)}
            people += [{**row, **new} for row in truth["annotations"] if row["image_id"] == image_id]
            repeated += [{**row, **new} for row in results if row["image_id"] == image_id]
            images.append({"id": len(images), "file_name": "x.jpg"})
    for number, row in enumerate(people):
        row["id"] = number
    ap = coco_ap({**truth, "images": images, "annotations": people}, repeated, resamples=0).ap
    assert matches.ap(counts[None].astype(np.float64))[0] == pytest.approx(ap, abs=1e-12)


def test_a_match_with_annotation_zero_counts() -> None:
    truth, _ = random_set(0, 1, 0.0)
    person = next(row for row in random_set(1, 5, 0.0)[0]["annotations"] if row["num_keypoints"])
    truth["annotations"] = [{**person, "id": 0, "image_id": 0, "iscrowd": 0}]
    points = np.asarray(person["keypoints"]).reshape(17, 3)[:, :2]
    metrics = coco_ap(truth, [result(0, points, 0.5)], resamples=10)
    assert metrics.ap == pytest.approx(1.0)
    assert metrics.bootstrap is not None and metrics.bootstrap.interval() == pytest.approx((1.0, 1.0))


def test_the_bootstrap_is_deterministic_and_paired() -> None:
    truth, results = random_set(0, 60, 0.05)
    worse = [{**row, "keypoints": [value + 3 for value in row["keypoints"]]} for row in results]
    first, again, second = coco_ap(truth, results), coco_ap(truth, results), coco_ap(truth, worse)
    assert first.bootstrap is not None and again.bootstrap is not None
    assert np.array_equal(first.bootstrap.replicates, again.bootstrap.replicates)
    low, high = first.bootstrap.interval()
    assert first.ap is not None and second.ap is not None and low < first.ap < high
    assert second.bootstrap is not None and second.bootstrap.image_ids == first.bootstrap.image_ids
    # resample by resample, the worse one is worse: far apart where the two intervals overlap
    apart = second.bootstrap.replicates - first.bootstrap.replicates
    assert (apart < 0).all() and apart.std() < first.bootstrap.replicates.std()


def test_replicates_are_those_of_their_seed() -> None:
    """Records keep them and are paired by seed, so another order of draws would mix what does not match."""
    truth, results = random_set(0, 60, 0.05)
    bootstrap = coco_ap(truth, results, resamples=5).bootstrap
    assert bootstrap is not None and bootstrap.seed == 0
    expected = [0.414716164414883, 0.449029700451522, 0.455775088886917, 0.463619878604671, 0.440759916219118]
    assert bootstrap.replicates.tolist() == pytest.approx(expected, abs=1e-12)


def test_no_results_score_zero_and_no_people_score_nothing() -> None:
    truth, _ = random_set(0, 20, 0.05)
    metrics = coco_ap(truth, [], resamples=5)
    assert metrics.ap == 0.0 and metrics.num_results == 0
    nobody = {**truth, "annotations": []}
    metrics = coco_ap(nobody, [], resamples=5)
    assert metrics.ap is None and metrics.bootstrap is None


def test_own_sigmas_change_the_score() -> None:
    truth, results = random_set(0, 20, 0.05)
    (category,) = truth["categories"]
    strict, loose = (
        coco_ap({**truth, "categories": [{**category, "sigmas": [sigma] * 17}]}, results, resamples=0)
        for sigma in (0.01, 0.2)
    )
    assert strict.ap is not None and loose.ap is not None and strict.ap < loose.ap


def test_evaluation_leaves_its_inputs_alone() -> None:
    truth, results = random_set(0, 5, 0.05)
    before = [dict(row) for row in results], [dict(row) for row in truth["annotations"]]
    coco_ap(truth, results, resamples=0)
    assert (results, truth["annotations"]) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 999}, r"results\[0\].image_id 999"),
        ({"keypoints": [1.0, 2.0]}, r"results\[0\].keypoints must be 51"),
        ({"keypoints": [float("nan")] * 51}, "finite"),
        ({"score": None}, r"results\[0\].score"),
    ],
)
def test_broken_results_are_named(change: dict[str, Any], message: str) -> None:
    truth, results = random_set(0, 5, 0.05)
    with pytest.raises(InputError, match=message):
        coco_ap(truth, [{**results[0], **change}])


def test_one_resample_of_every_image_once_gives_cocos_own_figures() -> None:
    truth, results = random_set(0, 12, 0.05)
    pose_file = parse_pose_file(truth, Path("truth.json"))
    images, sigmas = sorted(pose_file.images), pose_file.skeleton.sigmas
    evaluation = match("pycocotools", "keypoints", truth_of(pose_file), results, images, sigmas)
    names = ("ap", "ap50", "ap75", "ap_m", "ap_l", "ar")
    wanted = dict(zip(names, evaluation.stats[:6], strict=True))
    every, medium, large = (Matches.from_evaluation(evaluation, size) for size in range(3))
    once = np.ones((1, len(every.image_ids)))
    found = {name: values[0] for name, values in every.scores(once).items()}
    found |= {"ap_m": medium.ap(once)[0], "ap_l": large.ap(once)[0]}
    assert all(value > 0 for value in wanted.values())
    assert found == pytest.approx(wanted, abs=1e-12)
