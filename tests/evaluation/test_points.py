"""PCKh and PCK of whole data sets, with predictions that are known."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from sharpose.data.coco import CocoTopDown
from sharpose.evaluation.coco import score
from sharpose.evaluation.metrics.pckh import load_mpii_truth
from sharpose.evaluation.metrics.point_pck import torso_lengths
from sharpose.evaluation.points import pck_summary, score_pck, score_pckh
from sharpose.inference.dataset import Predictions
from sharpose.pose.skeleton import COCO, COCO_CATEGORY
from sharpose.runtime.errors import InputError, RunFailed


def known(dataset: CocoTopDown, off: float = 0.0) -> Predictions:
    """The labels themselves, moved by so many pixels in x."""
    people = dataset.instances
    points = np.stack([one.keypoints for one in people]) + np.array([off, 0])
    return Predictions(
        keypoints=points,
        keypoint_scores=np.ones(points.shape[:2]),
        box_scores=np.ones(len(people)),
        areas=np.array([one.bbox_xywh[2:].prod() for one in people]),
        image_ids=np.array([one.image_id for one in people]),
        instance_ids=np.array([one.instance_id for one in people]),
    )


def mpii_set(folder: Path, people: int = 3) -> tuple[CocoTopDown, Path]:
    """People whose head boxes have a diagonal of 100, so that PCKh@.5 allows 30 pixels; the last has no joints."""
    rng = np.random.default_rng(1)
    joints = rng.uniform(40, 200, (people, 16, 2)).round(2)
    visible = np.ones((people, 16), dtype=int)
    visible[-1] = 0
    rows = [
        {
            "image": f"{n // 2}.png",
            "center": [100.0, 100.0],
            "scale": 1.0,
            "joints": j.tolist(),
            "joints_vis": v.tolist(),
        }
        for n, (j, v) in enumerate(zip(joints, visible, strict=True))
    ]
    for name in {row["image"] for row in rows}:
        Image.new("RGB", (240, 240)).save(folder / str(name))
    (folder / "mpii_val.json").write_text(json.dumps(rows))
    boxes = np.zeros((2, 2, people))
    boxes[1] = np.array([60.0, 80.0])[:, None]
    content = {"pos_gt_src": np.moveaxis(joints, 0, -1), "jnt_missing": 1 - visible.T, "headboxes_src": boxes}
    scipy.io.savemat(folder / "mpii_gt_val.mat", content)
    return CocoTopDown(folder / "mpii_val.json", folder, image_size=(64, 64)), folder / "mpii_gt_val.mat"


def test_pckh_counts_pixels_from_one_and_keeps_the_order(tmp_path: Path) -> None:
    dataset, truth_file = mpii_set(tmp_path)
    truth = load_mpii_truth(truth_file)
    assert len(dataset) == 2
    exact = score_pckh(known(dataset), dataset, truth).summary()
    assert (exact["pckh"], exact["pckh01"], exact["annotated_people"], exact["people"]) == (1.0, 1.0, 3, 2)
    assert (exact["pckh_low"], exact["pckh_high"], exact["pckh_head"]) == (1.0, 1.0, 1.0)
    near = score_pckh(known(dataset, 29.99), dataset, truth).summary()
    far = score_pckh(known(dataset, 30.01), dataset, truth).summary()
    assert (near["pckh"], near["pckh01"], far["pckh"]) == (1.0, 0.0, 0.0)
    assert near["pckh_per_joint"] == [1.0] * 16
    json.dumps(near)


def test_other_truths_and_partial_predictions_are_refused(tmp_path: Path) -> None:
    dataset, truth_file = mpii_set(tmp_path)
    truth, whole = load_mpii_truth(truth_file), known(dataset)
    shorter = dataclasses.replace(
        truth, keypoints=truth.keypoints[:2], missing=truth.missing[:2], head_boxes=truth.head_boxes[:2]
    )
    with pytest.raises(InputError, match="3 people and the ground truth 2"):
        score_pckh(whole, dataset, shorter)
    part = dataclasses.replace(whole, keypoints=whole.keypoints[:1], instance_ids=whole.instance_ids[:1])
    with pytest.raises(RunFailed, match="were not predicted"):
        score_pckh(part, dataset, truth)


def test_nobody_who_can_be_measured_is_no_number(tmp_path: Path) -> None:
    row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 40, 50], "keypoints": [20.0, 20.0, 2] * 17}
    content = {"images": [{"id": 1, "file_name": "1.png"}], "annotations": [row], "categories": [COCO_CATEGORY]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    Image.new("RGB", (60, 80)).save(tmp_path / "1.png")
    dataset = CocoTopDown(tmp_path / "a.json", tmp_path, image_size=(64, 64))
    summary = pck_summary(*score_pck(known(dataset), dataset))
    assert (summary["pck"], summary["pck_low"], summary["pck_people"]) == (None, None, 0)


def test_leeds_sports_poses_with_their_own_14_keypoints(shared: Path) -> None:
    """A skeleton from the annotations file alone: pairs by name, OKS-AP, PCK by the torso."""
    folder = shared / "data" / "lspet"
    dataset = CocoTopDown(folder / "person_keypoints_val.json", folder / "val", image_size=(128, 96))
    names = dataset.skeleton.keypoint_names
    assert (len(dataset), len(names), len(dataset.skeleton.flip_pairs)) == (500, 14, 6)
    exact = known(dataset)
    assert score(exact, dataset, resamples=0).metrics.ap == pytest.approx(1.0)
    result, bootstrap = score_pck(exact, dataset)
    assert (result.value, bootstrap.interval(), result.measure) == (1.0, (1.0, 1.0), "torso")
    # moved by a fifth of each person's own torso, nothing is lost; by a little more, everything
    labels = np.stack([one.keypoints for one in dataset.instances])
    torso = torso_lengths(labels, np.stack([one.visible for one in dataset.instances]), names)[:, None, None]
    for share, value in ((0.1999, 1.0), (0.2001, 0.0)):
        moved = dataclasses.replace(exact, keypoints=exact.keypoints + share * torso * [0.6, 0.8])
        assert score_pck(moved, dataset)[0].value == value
    assert result.people == (torso > 0).sum() and 400 < result.people < 500
    further = dataclasses.replace(exact, keypoints=exact.keypoints + 0.2 * torso)
    assert 0 < (score(further, dataset, resamples=0).metrics.ap or 0) < 0.9


def test_keypoints_of_another_layout_are_found_by_name(shared: Path) -> None:
    folder = shared / "data" / "lspet"
    own = CocoTopDown(folder / "person_keypoints_val.json", folder / "val", image_size=(128, 96))
    mapped = CocoTopDown(folder / "person_keypoints_val.json", folder / "val", image_size=(128, 96), by_name=COCO)
    assert mapped.skeleton == COCO
    names, first, other = own.skeleton.keypoint_names, own.instances[0], mapped.instances[0]
    for place, name in enumerate(COCO.keypoint_names):
        if name in names:
            np.testing.assert_array_equal(other.keypoints[place], first.keypoints[names.index(name)])
            assert other.visible[place] == first.visible[names.index(name)]
        else:
            assert other.visible[place] == 0
    assert score(known(mapped), mapped, resamples=0).metrics.ap == pytest.approx(1.0)


def test_pck_needs_annotated_boxes(tmp_path: Path, shared: Path) -> None:
    coco = shared / "data" / "coco_mini"
    dataset = CocoTopDown(
        coco / "annotations" / "person_keypoints_val2017.json",
        coco / "val2017",
        image_size=(128, 96),
        boxes=coco / "annotations" / "detections_val2017_AP_H_56.json",
    )
    with pytest.raises(InputError, match="ground-truth boxes"):
        score_pck(known(dataset), dataset)
