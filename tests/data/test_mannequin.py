"""The generated people: same files for the same request, and annotations that agree with the pictures."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from sharpose.data.mannequin import (
    MannequinParameters,
    annotations_path,
    detections_path,
    images_path,
)
from sharpose.data.mannequin.generate import generate, image_generator, labels_sha256
from sharpose.data.mannequin.poses import LEG_MODES, LIMITS, SIDES, sample_pose
from sharpose.data.mannequin.render import Camera, hull_of_discs
from sharpose.data.mannequin.scene import KEYPOINT_NAMES, make_scene
from sharpose.data.mannequin.skeleton3d import pose_body, rotation, sample_build
from sharpose.pose.skeleton import COCO as COCO_SKELETON
from sharpose.runtime.errors import InputError

SPLIT, IMAGES = "sample", 40


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mannequin") / "set"
    generate(folder, split=SPLIT, images=IMAGES, seed=5, workers=1)
    return folder


@pytest.fixture(scope="module")
def annotations(sample: Path) -> dict[str, Any]:
    return json.loads(annotations_path(sample, SPLIT).read_text())


def people(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in content["annotations"] if not entry["iscrowd"]]


def keypoints(entry: dict[str, Any]) -> np.ndarray:
    return np.array(entry["keypoints"], float).reshape(-1, 3)


def bytes_by_name(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_number_of_workers_does_not_change_a_byte(sample: Path, tmp_path: Path) -> None:
    generate(tmp_path / "again", split=SPLIT, images=IMAGES, seed=5, workers=2)
    assert bytes_by_name(tmp_path / "again") == bytes_by_name(sample)


def test_an_image_does_not_depend_on_how_many_there_are(sample: Path, tmp_path: Path) -> None:
    generate(tmp_path / "few", split=SPLIT, images=3, seed=5)
    for number in (1, 2, 3):
        name = f"{number:06d}.jpg"
        assert (images_path(tmp_path / "few", SPLIT) / name).read_bytes() == (
            images_path(sample, SPLIT) / name
        ).read_bytes()


@pytest.mark.parametrize("change", [{"seed": 6}, {"split": "other"}, {"difficulty": 0.11}])
def test_seed_split_and_parameters_change_the_images(change: dict[str, Any]) -> None:
    def first_image(split: str = SPLIT, seed: int = 5, difficulty: float = 0.1) -> np.ndarray:
        parameters = MannequinParameters(difficulty=difficulty)
        return make_scene(image_generator(split, seed, parameters, 1), parameters).image

    assert np.array_equal(first_image(), first_image())
    assert not np.array_equal(first_image(), first_image(**change))


def test_the_manifest_tells_what_was_made(sample: Path, annotations: dict[str, Any]) -> None:
    manifest = json.loads((sample / "manifest.json").read_text())
    assert manifest["counts"]["images"] == IMAGES == len(list(images_path(sample, SPLIT).glob("*.jpg")))
    assert manifest["counts"]["people"] == sum(entry["num_keypoints"] > 0 for entry in people(annotations))
    assert manifest["command"] == f"sharpose data mannequin --split {SPLIT} --images {IMAGES} --seed 5"
    assert manifest["sha256"]["labels"] == labels_sha256(annotations["annotations"])
    assert manifest["parameters"]["difficulty"] == MannequinParameters().difficulty


def test_annotations_are_official_coco(sample: Path, annotations: dict[str, Any]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(annotations_path(sample, SPLIT)))
        detections = coco.loadRes(str(detections_path(sample, SPLIT)))
    assert len(coco.getImgIds()) == IMAGES
    assert tuple(coco.loadCats(1)[0]["keypoints"]) == KEYPOINT_NAMES == tuple(COCO_SKELETON.keypoint_names)
    assert len(detections.anns) > IMAGES
    for entry in annotations["annotations"]:
        assert int(coco.annToMask(entry).sum()) == pytest.approx(
            entry["area"], rel=0.25
        )  # holes are filled, corners cut


def test_keypoints_boxes_and_areas_agree(annotations: dict[str, Any]) -> None:
    sizes = {image["id"]: (image["width"], image["height"]) for image in annotations["images"]}
    for entry in people(annotations):
        points, (x, y, width, height) = keypoints(entry), entry["bbox"]
        labelled, seen = points[points[:, 2] > 0, :2], points[points[:, 2] == 2, :2]
        assert (points[points[:, 2] == 0] == 0).all()
        assert entry["num_keypoints"] == len(labelled)
        assert (labelled >= 0).all() and (labelled <= np.array(sizes[entry["image_id"]]) - 1).all()
        assert (seen >= np.array([x, y]) - 0.5).all() and (seen <= np.array([x + width, y + height]) - 0.5).all()
        assert 0.1 * width * height < entry["area"] <= width * height
        assert np.array(entry["bbox"]).min() >= 0 and x + width <= sizes[entry["image_id"]][0]


def test_people_vary_in_number_and_size_and_mostly_show_all_of_themselves(annotations: dict[str, Any]) -> None:
    entries = people(annotations)
    per_image = np.bincount([entry["image_id"] for entry in entries])[1:]
    heights = np.array([entry["bbox"][3] for entry in entries])
    visibility = np.concatenate([keypoints(entry)[:, 2] for entry in entries])
    assert set(per_image) == {1, 2, 3, 4}
    assert np.percentile(heights, 5) < 100 and np.percentile(heights, 95) > 190
    assert set(visibility) == {0, 1, 2}
    assert (visibility == 2).mean() > 0.85


def test_left_is_the_persons_own_left(tmp_path: Path) -> None:
    generate(tmp_path / "frontal", split="x", images=30, seed=1, parameters=MannequinParameters(difficulty=0.0))
    content = json.loads(annotations_path(tmp_path / "frontal", "x").read_text())
    for left, right in ((1, 2), (5, 6), (11, 12)):
        pairs = [keypoints(entry)[[left, right]] for entry in people(content)]
        gaps = [pair[0, 0] - pair[1, 0] for pair in pairs if (pair[:, 2] == 2).all()]
        assert len(gaps) > 20 and np.mean(np.array(gaps) > 0) > 0.97


def test_the_nose_is_drawn_where_it_is_annotated(sample: Path, annotations: dict[str, Any]) -> None:
    darker = []
    for entry in people(annotations):
        x, y, seen = keypoints(entry)[0]
        if seen == 2 and entry["bbox"][3] > 120:
            image = cv2.imread(str(images_path(sample, SPLIT) / f"{entry['image_id']:06d}.jpg")).astype(float).sum(2)
            column, row, reach = round(x), round(y), max(3, round(0.03 * entry["bbox"][3]))
            patch = image[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
            darker.append(image[row, column] < np.median(patch))
    assert len(darker) > 20 and np.mean(darker) > 0.8


def test_drawing_is_exact_to_a_fraction_of_a_pixel() -> None:
    canvas = np.zeros((40, 40), np.uint8)
    centre = np.array([[17.3, 21.8]])
    cv2.fillConvexPoly(canvas, hull_of_discs(centre, np.array([6.0])), 255, cv2.LINE_AA, 4)
    rows, columns = np.mgrid[:40, :40]
    found = np.array([(canvas * columns).sum(), (canvas * rows).sum()]) / canvas.sum()
    assert np.abs(found - centre[0]).max() < 0.1


def test_difficulty_turns_people_and_hides_them() -> None:
    def turned_away_and_hidden(difficulty: float) -> tuple[float, float]:
        parameters = MannequinParameters(difficulty=difficulty)
        scenes = [make_scene(image_generator("x", 0, parameters, number), parameters) for number in range(25)]
        points = np.array([keypoints(entry) for scene in scenes for entry in scene.annotations if not entry["iscrowd"]])
        both = (points[:, 5, 2] > 0) & (points[:, 6, 2] > 0)
        away = points[both, 5, 0] < points[both, 6, 0]
        return float(away.mean()), float((points[:, :, 2] == 1).mean())

    easy, hard = turned_away_and_hidden(0.0), turned_away_and_hidden(1.0)
    assert easy[0] < 0.05 and hard[0] > 0.3
    assert hard[1] > 3 * easy[1]


def test_detections_are_mostly_good_and_scored_accordingly(sample: Path, annotations: dict[str, Any]) -> None:
    detections = json.loads(detections_path(sample, SPLIT).read_text())
    in_image: dict[int, list[list[float]]] = {}
    for entry in people(annotations):
        in_image.setdefault(entry["image_id"], []).append(entry["bbox"])
    best = np.array([max(overlap(found["bbox"], box) for box in in_image[found["image_id"]]) for found in detections])
    scores = np.array([found["score"] for found in detections])
    assert ((scores > 0) & (scores < 1)).all()
    assert 0.6 < np.median(best[best > 0.5]) < 0.97
    assert np.mean(best > 0.7) > 0.6 and np.mean(best < 0.3) > 0.02
    assert np.corrcoef(best, scores)[0, 1] > 0.6
    reached = {
        entry["id"]
        for entry in people(annotations)
        for found in detections
        if found["image_id"] == entry["image_id"] and overlap(found["bbox"], entry["bbox"]) > 0.5
    }
    assert 0.85 < len(reached) / len(people(annotations)) < 1.0


def overlap(first: list[float], second: list[float]) -> float:
    """Intersection over union of two boxes (x, y, width, height)."""
    a, b = np.array(first), np.array(second)
    common = np.clip(np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(common / (a[2:].prod() + b[2:].prod() - common))


def test_crowds_are_marked_as_such() -> None:
    parameters = MannequinParameters(crowd_probability=1.0)
    scene = make_scene(image_generator("x", 0, parameters, 1), parameters)
    crowd = scene.annotations[-1]
    assert crowd["iscrowd"] == 1 and crowd["num_keypoints"] == 0 and not any(crowd["keypoints"])
    height, width = scene.image.shape[:2]
    assert crowd["segmentation"]["size"] == [height, width]
    assert sum(crowd["segmentation"]["counts"]) == height * width
    assert sum(crowd["segmentation"]["counts"][1::2]) == crowd["area"]


def test_poses_stay_within_joint_limits_and_limbs_keep_their_lengths() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        build, pose = sample_build(rng), sample_pose(rng, 180.0)
        for angles in (pose.trunk, *pose.arms.values(), *pose.legs.values()):
            assert all(LIMITS[name][0] <= angle <= LIMITS[name][1] for name, angle in angles.items())
        joints = pose_body(build, pose).joints
        for side in SIDES:
            for start, end, length in (
                ("shoulder", "elbow", build.upper_arm),
                ("elbow", "wrist", build.forearm),
                ("hip", "knee", build.thigh),
                ("knee", "ankle", build.shank),
            ):
                distance = np.linalg.norm(joints[f"{side}_{end}"] - joints[f"{side}_{start}"])
                assert distance == pytest.approx(length)
        assert 0.1 < build.forearm < build.thigh < 0.32


def test_modes_name_angles_that_exist() -> None:
    for posture in LEG_MODES.values():
        assert 1 <= len(posture.legs) <= 2
        assert {name for mode in (*posture.legs, posture.trunk) for name in mode} <= set(LIMITS)


def test_rotation_is_right_handed() -> None:
    np.testing.assert_allclose(rotation(2, 90.0) @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(rotation(0, 90.0) @ [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], atol=1e-12)


def test_the_camera_makes_near_things_larger() -> None:
    camera = Camera(scale=100.0, distance=4.0, elevation=0.0, offset=(50.0, 60.0))
    pixels, scale = camera.project(np.array([[0.5, 0.25, 0.0], [0.5, 0.25, 2.0]]))
    np.testing.assert_allclose(pixels, [[100.0, 35.0], [150.0, 10.0]])
    np.testing.assert_allclose(scale, [100.0, 200.0])


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda folder: MannequinParameters(difficulty=1.5), "difficulty"),
        (lambda folder: MannequinParameters(min_people=3, max_people=2), "max_people"),
        (lambda folder: MannequinParameters(min_height=float("nan")), "min_height"),
        (lambda folder: generate(folder / "a", split="x", images=0, seed=0), "images"),
        (lambda folder: generate(folder / "a", split="../x", images=1, seed=0), "split"),
        (lambda folder: generate(folder / "a", split="x", images=1, seed=-1), "seed"),
        (lambda folder: generate(folder / "a", split="x", images=1, seed=0, workers=0), "workers"),
    ],
)
def test_nonsense_is_refused_in_one_line(make: Callable[[Path], Any], field: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refusal:
        make(tmp_path)
    assert field in str(refusal.value) and "\n" not in str(refusal.value)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "set", split="x", images=4, seed=0, progress=interrupt)
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("kept")
    with pytest.raises(InputError, match="name a new or empty folder"):
        generate(tmp_path / "set", split="x", images=1, seed=0)
    assert (tmp_path / "set" / "mine.txt").read_text() == "kept"
