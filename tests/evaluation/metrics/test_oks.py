"""OKS, rescoring and suppression."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO as CocoIndex
from pycocotools.cocoeval import COCOeval

from sharpose.evaluation.metrics.postprocess import (
    Detections,
    PostProcessing,
    oks_matrix,
    oks_nms,
    rescore,
    soft_oks_nms,
)
from sharpose.pose.oks import instance_oks
from sharpose.pose.skeleton import COCO
from sharpose.runtime.errors import InputError


def test_oks_equals_pycocotools() -> None:
    rng = np.random.default_rng(0)
    truth = np.concatenate([rng.uniform(0, 200, (17, 2)), rng.integers(0, 3, (17, 1))], axis=1)
    predicted = truth + rng.normal(0, 6, (17, 3))
    person = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 9000.0, "bbox": [0, 0, 200, 200]}
    index = CocoIndex()
    index.dataset = {"images": [{"id": 1}], "categories": [{"id": 1}], "annotations": []}
    index.dataset["annotations"] = [{**person, "keypoints": truth.ravel().tolist(), "num_keypoints": 1}]
    index.createIndex()
    result = {"image_id": 1, "category_id": 1, "keypoints": predicted.ravel().tolist(), "score": 1.0}
    evaluation = COCOeval(index, index.loadRes([result]), "keypoints")
    evaluation._prepare()
    expected = evaluation.computeOks(1, 1)[0, 0]
    points, people = (torch.from_numpy(array[None, :, :2]) for array in (predicted, truth))
    ours = instance_oks(points, people, torch.from_numpy(truth[None, :, 2]), torch.tensor([9000.0]), COCO.sigmas)
    assert ours.item() == pytest.approx(expected, abs=1e-6)


def test_oks_is_one_for_the_truth_and_zero_without_a_visible_keypoint() -> None:
    points = torch.rand(2, 17, 2) * 100
    visible = torch.ones(2, 17)
    visible[1] = 0
    oks = instance_oks(points, points, visible, torch.tensor([100.0, 100.0]), COCO.sigmas)
    assert oks.tolist() == [1.0, 0.0]


@given(st.integers(0, 1000))
def test_oks_does_not_depend_on_the_order_of_keypoints(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    predicted, truth = (torch.rand(3, 17, 2, generator=generator) * 30 for _ in range(2))
    visible, order = torch.ones(3, 17), torch.randperm(17, generator=generator)
    area, sigmas = torch.tensor([900.0, 400.0, 50.0]), np.asarray(COCO.sigmas)
    permuted = instance_oks(predicted[:, order], truth[:, order], visible, area, sigmas[order.numpy()].tolist())
    assert torch.allclose(permuted, instance_oks(predicted, truth, visible, area, COCO.sigmas), atol=1e-6)


def test_rescoring_averages_confident_keypoints_alone() -> None:
    keypoint_scores = np.array([[0.9, 0.5, 0.2], [0.1, 0.2, 0.0]])
    assert rescore(np.array([0.5, 1.0]), keypoint_scores).tolist() == pytest.approx([0.5 * 0.7, 0.0])


def test_suppression_keeps_the_best_of_near_duplicates() -> None:
    people = np.random.default_rng(0).uniform(0, 300, (2, 17, 2))
    keypoints = np.stack([people[0], people[0] + 0.1, people[1]])
    oks = oks_matrix(keypoints, np.full(3, 5000.0), COCO.sigmas)
    assert np.allclose(np.diag(oks), 1.0, atol=1e-12) and np.allclose(oks, oks.T)
    assert oks_nms(oks, np.array([0.5, 0.6, 0.7]), 0.9) == [2, 1]
    assert soft_oks_nms(oks, np.array([0.5, 0.6, 0.7]), 0.9) == [2, 1, 0]
    assert soft_oks_nms(oks, np.array([0.5, 0.6, 0.7]), 0.9, max_kept=1) == [2]


def test_images_do_not_suppress_each_other_and_repeated_boxes_count_once() -> None:
    keypoints = np.tile(np.random.default_rng(0).uniform(0, 300, (1, 17, 2)), (4, 1, 1))
    found = Detections(
        keypoints=keypoints,
        keypoint_scores=np.full((4, 17), 0.5),
        box_scores=np.array([0.1, 0.2, 0.9, 0.3]),
        areas=np.full(4, 5000.0),
        image_ids=np.array([8, 3, 8, 3]),
        instance_ids=np.array([5, 6, 5, 7]),
    )
    kept, scores = found.reported(COCO.sigmas)
    assert kept.tolist() == [0, 3]
    assert scores.tolist() == pytest.approx([0.05, 0.1, 0.45, 0.15])
    nobody = Detections(**{name: rows[:0] for name, rows in vars(found).items()})
    nothing, _ = nobody.reported(COCO.sigmas)
    assert len(nothing) == 0


def cleaned(post_processing: PostProcessing) -> tuple[list[int], np.ndarray]:
    """Three detections of one image: a person, nearly the same again, somebody else."""
    people = np.random.default_rng(0).uniform(0, 300, (2, 17, 2))
    found = Detections(
        keypoints=np.stack([people[0], people[0] + 0.1, people[1]]),
        keypoint_scores=np.tile([0.9, 0.3, *[0.0] * 15], (3, 1)),
        box_scores=np.array([1.0, 0.8, 0.5]),
        areas=np.full(3, 5000.0),
        image_ids=np.zeros(3, int),
        instance_ids=np.arange(3),
    )
    kept, scores = found.reported(COCO.sigmas, post_processing)
    return kept.tolist(), scores


def test_near_duplicates_go_move_down_or_stay() -> None:
    assert cleaned(PostProcessing())[0] == [0, 2]
    assert cleaned(PostProcessing("soft"))[0] == [0, 2, 1]
    assert cleaned(PostProcessing("none"))[0] == [0, 1, 2]
    assert cleaned(PostProcessing(oks_threshold=1.0))[0] == [0, 1, 2], "nothing has an OKS above 1"


def test_only_keypoints_above_the_threshold_count() -> None:
    assert cleaned(PostProcessing())[1] == pytest.approx([0.6, 0.48, 0.3])
    assert cleaned(PostProcessing(keypoint_threshold=0.5))[1] == pytest.approx([0.9, 0.72, 0.45])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"nms": "harder"}, "'hard', 'soft' or 'none'"),
        ({"oks_threshold": 0.0}, "greater than 0"),
        ({"keypoint_threshold": 2}, "less than or equal to 1"),
    ],
)
def test_wrong_cleaning_is_refused(wrong: dict[str, Any], message: str) -> None:
    rules = PostProcessing()
    # the tests' check of types would come before its own
    vars(rules).update(wrong)
    with pytest.raises(InputError, match=message):
        rules.__post_init__()
