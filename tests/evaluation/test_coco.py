"""A whole evaluation, with models that know the answer."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from sharpose.codecs.msra import MsraCodec
from sharpose.codecs.udp import UdpCodec
from sharpose.data.coco import CocoTopDown
from sharpose.evaluation.coco import box_facts, save_results, score, score_results
from sharpose.evaluation.mean_pose import mean_pose_control
from sharpose.inference.dataset import check_complete, predict
from sharpose.pose.flip import flip_back
from sharpose.pose.skeleton import COCO, COCO_CATEGORY
from sharpose.runtime.errors import InputError, RunFailed
from sharpose.runtime.files import sha256_of

SIZE, MAPS = (128, 96), (32, 24)
CODEC = UdpCodec(SIZE, MAPS)


@dataclass
class Output:
    heatmaps: Tensor
    coarse_heatmaps: Tensor
    needs_refinement: Tensor


class Oracle(nn.Module):
    """Answers in the data set's order; a mirrored batch gets the mirrored answer."""

    def __init__(self, heatmaps: Tensor, images: Tensor) -> None:
        super().__init__()
        self.answers = heatmaps
        self.images = images
        self.done = 0

    def forward(self, images: Tensor) -> Output:
        expected = self.images[self.done : self.done + len(images)]
        maps = self.answers[self.done : self.done + len(images)]
        if torch.equal(images, expected):
            self.waiting = len(images)
        else:
            assert torch.equal(images, expected.flip(-1))
            maps = flip_back(maps, COCO.flip_pairs)
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls % 2 == 0:
            self.done += self.waiting
        refined = torch.arange(len(images)) % 2 == 0
        return Output(maps, torch.zeros_like(maps) - 1, refined)


def write_people(folder: Path, images: int = 4) -> Path:
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    people: list[dict[str, Any]] = []
    for image_id in range(1, images + 1):
        Image.fromarray(rng.integers(0, 255, (200, 200, 3), dtype=np.uint8)).save(folder / f"{image_id}.png")
        rows.append({"id": image_id, "file_name": f"{image_id}.png", "height": 200, "width": 200})
        for corner in (10.0, 90.0):
            keypoints = np.concatenate([rng.uniform(corner + 20, corner + 70, (17, 2)), np.full((17, 1), 2)], axis=1)
            row = {"id": len(people), "image_id": image_id, "category_id": 1, "iscrowd": 0, "area": 4000.0}
            box = [corner, corner, 90.0, 90.0]
            people.append({**row, "bbox": box, "keypoints": keypoints.ravel().tolist(), "num_keypoints": 17})
    path = folder / "people.json"
    path.write_text(json.dumps({"images": rows, "annotations": people, "categories": [COCO_CATEGORY]}))
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> CocoTopDown:
    return CocoTopDown(write_people(tmp_path), tmp_path, image_size=SIZE)


def oracle(dataset: CocoTopDown) -> Oracle:
    from sharpose.pose.normalise import normalise

    samples = [dataset[index] for index in range(len(dataset))]
    images, keypoints, visible = (torch.stack([s[key] for s in samples]) for key in ("image", "keypoints", "visible"))
    return Oracle(CODEC.encode(keypoints, visible)[0], normalise(images))


def test_a_perfect_model_scores_near_one(dataset: CocoTopDown) -> None:
    reported: list[tuple[int, int]] = []
    predictions = predict(
        oracle(dataset), dataset, CODEC, batch_size=3, progress=lambda done, total: reported.append((done, total))
    )
    result = score(predictions, dataset)
    assert result.metrics.ap is not None and result.metrics.ap > 0.95
    assert reported == [(3, 8), (6, 8), (8, 8)]
    summary = result.summary()
    facts = {key: summary[key] for key in ("people", "annotated_people", "images", "images_with_boxes", "refine_rate")}
    assert facts == {"people": 8, "annotated_people": 8, "images": 4, "images_with_boxes": 4, "refine_rate": 5 / 8}
    assert set(result.results[0]) == {"image_id", "category_id", "keypoints", "score"}
    assert len(result.results) == 8 and len(result.results[0]["keypoints"]) == 51
    json.dumps(summary)


def test_evaluating_twice_gives_the_same_bits(dataset: CocoTopDown) -> None:
    first, second = (score(predict(oracle(dataset), dataset, CODEC), dataset) for _ in range(2))
    assert first.results == second.results and first.summary() == second.summary()


def test_people_are_counted_by_their_refined_patches(dataset: CocoTopDown) -> None:
    predictions = predict(oracle(dataset), dataset, CODEC)
    assert predictions.kept_patches is None and "kept_patches" not in score(predictions, dataset).summary()
    refined, kept = np.arange(8) < 5, np.array([24, 21, 24, 0, 24, 0, 0, 0])
    chosen = dataclasses.replace(predictions, needs_refinement=refined, num_kept=kept)
    assert chosen.kept_patches == {"0": 1, "21": 1, "24": 3}
    summary = score(chosen, dataset).summary()
    assert json.loads(json.dumps(summary))["kept_patches"] == {"0": 1, "21": 1, "24": 3}


def test_another_stage_can_be_scored(dataset: CocoTopDown) -> None:
    coarse = predict(oracle(dataset), dataset, CODEC, output="coarse_heatmaps")
    assert score(coarse, dataset).metrics.ap == 0.0


def test_the_model_keeps_its_mode(dataset: CocoTopDown) -> None:
    model = oracle(dataset).train()
    predict(model, dataset, CODEC)
    assert model.training


def test_partial_predictions_are_refused(dataset: CocoTopDown) -> None:
    predictions = predict(oracle(dataset), dataset, CODEC)
    check_complete(predictions, dataset)
    ids = predictions.instance_ids.copy()
    ids[0] = ids[1]
    with pytest.raises(RunFailed, match="1 of 8 people missing, 1 predicted more than once"):
        check_complete(dataclasses.replace(predictions, instance_ids=ids), dataset)
    keypoints = predictions.keypoints.copy()
    keypoints[0, 0, 0] = np.nan
    with pytest.raises(RunFailed, match="not finite"):
        check_complete(dataclasses.replace(predictions, keypoints=keypoints), dataset)


def test_detector_boxes_are_scored_against_all_images(dataset: CocoTopDown, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.json"
    box = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 90, 90]}
    boxes.write_text(json.dumps([{**box, "score": 0.5}, {**box, "score": 0.4}]))
    detected = CocoTopDown(dataset.annotations, tmp_path, image_size=SIZE, boxes=boxes)
    answer = oracle(dataset)
    twice = Oracle(answer.answers[[0, 0]], answer.images[[0, 0]])
    # the boxes differ by the clipped last pixel, so the crops do too: compare crops as they come
    twice.images = torch.cat([normalised(detected, index) for index in range(2)])
    result = score(predict(twice, detected, CODEC), detected)
    assert len(result.results) == 1, "the second box sees the same person and is suppressed"
    assert result.results[0]["score"] == pytest.approx(0.5 * np.mean(result.results[0]["keypoints"][2::3]), abs=1e-6)
    assert (result.people, result.images_with_boxes, result.images) == (2, 1, 4)


def test_detector_boxes_are_named_by_hash_and_ap(dataset: CocoTopDown, tmp_path: Path) -> None:
    assert box_facts(dataset) == {"boxes_sha256": None, "boxes_ap": None}
    boxes = tmp_path / "boxes.json"
    people = dataset.pose_file.annotations
    rows = [{"image_id": row["image_id"], "category_id": 1, "bbox": row["bbox"], "score": 0.5} for row in people]
    boxes.write_text(json.dumps(rows))
    facts = box_facts(CocoTopDown(dataset.annotations, tmp_path, image_size=SIZE, boxes=boxes))
    assert facts == {"boxes_sha256": sha256_of(boxes), "boxes_ap": pytest.approx(1.0)}


def normalised(dataset: CocoTopDown, index: int) -> Tensor:
    from sharpose.pose.normalise import normalise

    return normalise(dataset[index]["image"][None])


def test_mean_pose_control_puts_the_mean_pose_into_every_box(dataset: CocoTopDown) -> None:
    results = mean_pose_control(dataset.annotations, dataset)
    people = dataset.instances
    relative = np.mean([(p.keypoints - p.bbox_xywh[:2]) / p.bbox_xywh[2:] for p in people], axis=0)
    expected = relative * people[3].bbox_xywh[2:] + people[3].bbox_xywh[:2]
    ours = np.asarray(results[3]["keypoints"]).reshape(17, 3)
    assert np.allclose(ours[:, :2], expected) and (ours[:, 2] == 1).all()
    assert len(results) == 8 and score_results(results, dataset).metrics.ap is not None


def test_control_from_another_skeleton_is_refused(dataset: CocoTopDown, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    category = {"id": 1, "name": "person", "keypoints": ["left_hand", "right_hand"]}
    other.write_text(json.dumps({"images": [], "annotations": [], "categories": [category]}))
    with pytest.raises(InputError, match="other keypoints"):
        mean_pose_control(other, dataset)


def test_flip_conventions_of_the_codecs() -> None:
    assert not CODEC.flip_shift and MsraCodec(SIZE, MAPS).flip_shift


def test_results_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.json"
    save_results([{"score": 1.0}], path)
    with pytest.raises(TypeError):
        save_results([{"score": object()}], path)
    assert json.loads(path.read_text()) == [{"score": 1.0}]
    assert [entry.name for entry in path.parent.iterdir()] == ["results.json"]
