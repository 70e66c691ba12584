"""MPII's layout: conventions of centre and scale, the generated people in it, and files that are wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sharpose.data.annotations import load_pose_file
from sharpose.data.cache import MannequinSet, ensure, ensure_mpii, find_fault
from sharpose.data.coco import CocoTopDown
from sharpose.data.mannequin import MannequinParameters, SceneParameters, annotations_path
from sharpose.data.mannequin.mpii import is_annotation_of
from sharpose.data.mannequin.scene import KEYPOINT_NAMES
from sharpose.data.mpii import find_truth
from sharpose.evaluation.metrics.pckh import HEAD_FACTOR, load_mpii_truth
from sharpose.pose.geometry import box_to_center_scale
from sharpose.pose.skeleton import MPII
from sharpose.runtime.errors import InputError, RunFailed
from sharpose.runtime.files import sha256_of

ROW: dict[str, Any] = {
    "image": "a.jpg",
    "center": [101.0, 81.0],
    "scale": 0.8,
    "joints": [[10.0 + n, 20.0] for n in range(16)],
    "joints_vis": [1] * 15 + [0],
}
# of images 1-8 of split "m", seed 3, made before MPII's layout existed
LABELS = "0020c6f8058724e11268df4febff138abd17ebe424ca6549589a90409f837567"


@pytest.fixture(scope="module", params=[MannequinParameters(difficulty=0.6), SceneParameters()], ids=["1", "2"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MannequinSet]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHARPOSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        wanted = MannequinSet("m", 8, 3, request.param)
        ensure(wanted, workers=1)
        before = digests(wanted)
        ensure_mpii(wanted, workers=1)
        assert {name: digest for name, digest in digests(wanted).items() if name in before} == before
        assert find_fault(wanted) is None
        yield wanted


def digests(wanted: MannequinSet) -> dict[str, str]:
    return {str(path): sha256_of(path) for path in wanted.folder.rglob("*") if path.is_file()}


def test_what_existed_before_is_the_same_to_the_byte(made: MannequinSet) -> None:
    manifest = json.loads((made.folder / "manifest.json").read_text())
    assert manifest["version"] == made.parameters.version
    assert made.parameters.version != 1 or manifest["sha256"]["labels"] == LABELS
    assert sorted(path.name for path in made.folder.iterdir()) == [
        "annotations",
        "m",
        "manifest-mpii.json",
        "manifest.json",
    ]


def test_files_are_the_same_whenever_they_are_made(made: MannequinSet) -> None:
    first = made.mpii_file.read_bytes(), made.mpii_truth_file.read_bytes()
    made.mpii_truth_file.write_bytes(b"broken")
    ensure_mpii(made, workers=1)
    assert (made.mpii_file.read_bytes(), made.mpii_truth_file.read_bytes()) == first


def test_every_annotated_person_is_there_with_the_same_limbs(made: MannequinSet) -> None:
    content = json.loads(made.annotations_file.read_text())
    people = [entry for entry in content["annotations"] if not entry["iscrowd"]]
    rows = json.loads(made.mpii_file.read_text())
    assert len(rows) == len(people) > 8
    for row, entry in zip(rows, people, strict=True):
        points = dict(zip(KEYPOINT_NAMES, np.array(entry["keypoints"], float).reshape(-1, 3), strict=True))
        for name, joint, visible in zip(MPII.keypoint_names, row["joints"], row["joints_vis"], strict=True):
            if name in points:
                assert visible == (points[name][2] > 0)
                assert not visible or np.allclose(joint, points[name][:2] + 1)


def test_the_truth_is_the_annotations_and_heads_are_where_the_head_is(made: MannequinSet) -> None:
    rows, truth = json.loads(made.mpii_file.read_text()), load_mpii_truth(made.mpii_truth_file)
    np.testing.assert_allclose(truth.keypoints, [row["joints"] for row in rows])
    np.testing.assert_array_equal(~truth.missing, np.array([row["joints_vis"] for row in rows]) > 0)
    names, seen = MPII.keypoint_names, ~truth.missing
    middle = truth.head_boxes.mean(axis=1)
    half = (truth.head_boxes[:, 1] - truth.head_boxes[:, 0]) / 2
    for name in ("head_top", "upper_neck"):
        at = names.index(name)
        apart = np.abs(truth.keypoints[:, at] - middle)[seen[:, at]]
        assert (apart <= 1.6 * half[seen[:, at]]).all()
    # the pelvis is between the hips, as far as perspective leaves it
    hips = [names.index(name) for name in ("left_hip", "right_hip")]
    whole = seen[:, [*hips, 6]].all(axis=1)
    head = HEAD_FACTOR * np.linalg.norm(2 * half, axis=1)
    apart = np.linalg.norm(truth.keypoints[:, hips].mean(axis=1) - truth.keypoints[:, 6], axis=1)
    assert whole.any() and (apart[whole] < 0.15 * head[whole]).all()


def test_the_crop_is_around_the_middle_of_the_box(made: MannequinSet) -> None:
    people = [entry for entry in json.loads(made.annotations_file.read_text())["annotations"] if not entry["iscrowd"]]
    for row, entry in zip(load_pose_file(made.mpii_file).annotations, people, strict=True):
        center, scale = box_to_center_scale(np.array(row["bbox"]), (128, 128))
        x, y, width, height = entry["bbox"]
        np.testing.assert_allclose(center, [x + width / 2, y + height / 2], atol=2e-3)
        np.testing.assert_allclose(scale, 1.25 * max(width, height), atol=1e-3)


def test_annotations_of_another_seed_are_refused(made: MannequinSet, tmp_path: Path) -> None:
    from sharpose.data.mannequin.mpii import write_mpii

    copy = tmp_path / "set"
    (copy / "annotations").mkdir(parents=True)
    annotations_path(copy, "m").write_bytes(made.annotations_file.read_bytes())
    with pytest.raises(RunFailed, match="other people"):
        write_mpii(copy, split="m", seed=4, parameters=made.parameters, workers=1)


def test_a_person_without_labels_is_known_by_the_box() -> None:
    from sharpose.data.mannequin.generate import image_generator
    from sharpose.data.mannequin.scene import set_stage

    parameters = MannequinParameters()
    person = set_stage(image_generator("m", 3, parameters, 1), parameters).people[0]
    left, top, right, bottom = person.box
    nothing: dict[str, Any] = {"keypoints": [0] * 51, "bbox": [left + 1, top + 1, right - left - 2, bottom - top - 2]}
    assert is_annotation_of(person, nothing)
    assert not is_annotation_of(person, {**nothing, "bbox": [right, top, 9, 9]})


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text(json.dumps(rows))
    return path


def test_conventions_of_centre_and_scale(tmp_path: Path) -> None:
    """Centre down by 15 pixels of scale 1, pixels from 0, a square of 200 pixels of scale 1 padded by 1.25."""
    pose_file = load_pose_file(write(tmp_path / "mpii_val.json", ROW, {**ROW, "image": "b.jpg"}, ROW))
    assert pose_file.is_mpii and pose_file.skeleton == MPII
    assert [row["image_id"] for row in pose_file.annotations] == [1, 2, 1]
    center, scale = box_to_center_scale(np.array(pose_file.annotations[0]["bbox"]), (256, 256))
    np.testing.assert_allclose(center, [100, 80 + 15 * 0.8])
    np.testing.assert_allclose(scale, [200, 200])
    points = np.array(pose_file.annotations[0]["keypoints"]).reshape(16, 3)
    np.testing.assert_allclose(points[0], [9, 19, 2])
    np.testing.assert_allclose(points[15], [0, 0, 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": None}, r"\[1\].scale must be 1 finite number$"),
        ({"scale": 0}, r"\[1\].scale must be a positive number"),
        ({"center": [1.0]}, r"\[1\].center must be 2 finite numbers"),
        ({"center": [1.0, float("nan")]}, r"\[1\].center must be 2 finite numbers"),
        ({"joints": [[1, 2]] * 15}, r"\[1\]: joints and joints_vis must be lists of 16"),
        ({"joints": [[1, "x"]] * 16}, r"\[1\].joints\[0\] must be 2 finite numbers"),
        ({"image": "../a.jpg"}, "file_name must be a path inside the images folder"),
        ({"image": 3}, r"\[1\].image must be the name of a picture"),
    ],
)
def test_wrong_rows_are_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "mpii.json", ROW, {**ROW, **change})
    with pytest.raises(InputError, match=message) as caught:
        load_pose_file(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_the_truth_is_found_beside_the_annotations(tmp_path: Path) -> None:
    for name, truth in (("mpii_val.json", "mpii_gt_val.mat"), ("valid.json", "gt_valid.mat")):
        folder = tmp_path / truth.removesuffix(".mat")
        folder.mkdir()
        with pytest.raises(InputError, match="--ground-truth"):
            find_truth(folder / name)
        (folder / truth).touch()
        assert find_truth(folder / name) == folder / truth


def test_crops_are_square_and_left_uncut_at_borders(made: MannequinSet) -> None:
    people = CocoTopDown(made.mpii_file, made.images_folder, image_size=(128, 128))
    assert len(people) == len(json.loads(made.mpii_file.read_text()))
    sample = people.sample(0, 0)
    assert sample["image"].shape == (3, 128, 128) and sample["scale"][0] == sample["scale"][1]
