"""One pass stores both stages; any threshold chosen from the store is what the model itself would have answered."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from analysis.gate.predictions import read_predictions
from experiments.cells.packing import category, packed_arrays
from results.packed import pack
from results.records import Record
from sharpose.codecs.choice import codec_of
from sharpose.data.coco import CocoTopDown
from sharpose.evaluation.metrics.coco_ap import coco_ap
from sharpose.inference.dataset import predict
from sharpose.inference.stages import oks, predict_stages
from sharpose.models import create_model
from sharpose.pose.skeleton import COCO_CATEGORY
from sharpose.runtime.errors import InputError

BATCH = 4


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> CocoTopDown:
    """Three pictures of two people, a crowd, and somebody without keypoints."""
    folder, rng = tmp_path_factory.mktemp("people"), np.random.default_rng(0)
    images, people = [], []
    for image_id in (3, 5, 9):
        Image.fromarray(rng.integers(0, 255, (200, 200, 3), dtype=np.uint8)).save(folder / f"{image_id}.png")
        images.append({"id": image_id, "file_name": f"{image_id}.png", "height": 200, "width": 200})
        for corner in (10.0, 90.0):
            points = np.concatenate([rng.uniform(corner, corner + 90, (17, 2)), np.full((17, 1), 2)], axis=1)
            points[3:5] = 0
            row = {"id": 7 * len(people), "image_id": image_id, "category_id": 1, "iscrowd": 0, "area": 4000.0}
            people.append({**row, "bbox": [corner, corner, 90.0, 90.0], "keypoints": points.ravel().tolist()})
    extra = {"image_id": 9, "category_id": 1, "bbox": [0.0, 0.0, 50.0, 60.0], "keypoints": [0] * 51, "num_keypoints": 0}
    people += [{**extra, "id": 100, "iscrowd": 1, "area": 3000.0}, {**extra, "id": 101, "iscrowd": 0, "area": 900.0}]
    path: Path = folder / "people.json"
    path.write_text(json.dumps({"images": images, "annotations": people, "categories": [COCO_CATEGORY]}))
    return CocoTopDown(path, folder, image_size=(128, 96))


@pytest.fixture(scope="module")
def stored(dataset: CocoTopDown):
    torch.manual_seed(0)
    model = create_model("sharpose-nano-128x96", quality_threshold=None, alpha=0.3).eval()
    # random heads answer next to nothing, so that all peaks would lie in one place
    for parameter in model.head.parameters():
        parameter.data.normal_(0, 0.3)
    coarse, found = predict_stages(model, dataset, codec_of(model.config), batch_size=BATCH)
    metrics = {"arrays": pack(packed_arrays(coarse, found, dataset)), "category": category(dataset)}
    record = Record({"measure": "predictions", "version": 1}, metrics, "s", "r", "nano")
    return model, found, read_predictions(record)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_threshold_from_the_store_is_the_models_own_answer(dataset, stored, share):
    model, found, kept = stored
    threshold = float(np.nextafter(np.quantile(found.quality, share, method="lower"), np.float32(2)))
    own = create_model("sharpose-nano-128x96", quality_threshold=threshold, alpha=0.3)
    own.load_state_dict(model.state_dict())
    # in the same batches, since rounding may differ between batch sizes and the threshold is a bit beside a quality
    answer = predict(own, dataset, codec_of(own.config), batch_size=BATCH, flip_test=False)
    refined = kept.quality < threshold
    assert refined.tolist() == answer.needs_refinement.tolist() and refined.sum() > 0
    ours, theirs = kept.choose(refined), answer.results(dataset)
    assert [row["image_id"] for row in ours] == [row["image_id"] for row in theirs]
    for a, b in zip(ours, theirs, strict=True):
        apart = np.abs(np.reshape(a["keypoints"], (17, 3)) - np.reshape(b["keypoints"], (17, 3)))
        assert apart[:, :2].max() <= 0.026 and apart[:, 2].max() <= 0.00051
        assert a["score"] == pytest.approx(b["score"], abs=0.001)


def test_the_stored_annotations_give_the_same_ap(dataset, stored):
    _, _, kept = stored
    rng = np.random.default_rng(1)
    results = [
        {
            "image_id": person.image_id,
            "category_id": 1,
            "keypoints": np.column_stack([person.keypoints + rng.normal(0, 6, (17, 2)), np.ones(17)]).ravel().tolist(),
            "score": float(rng.random()),
        }
        for person in dataset.instances
    ]
    ours, theirs = (coco_ap(truth, results, resamples=20) for truth in (kept.truth, dataset.pose_file))
    assert theirs.ap and 0.1 < theirs.ap < 1
    assert ours.values() == theirs.values() and ours.num_people == theirs.num_people == 6
    assert ours.bootstrap.replicates.tolist() == theirs.bootstrap.replicates.tolist()


def test_oks_is_one_for_the_truth_and_falls_with_distance(dataset, stored):
    _, found, kept = stored
    truth = np.stack([person.keypoints for person in dataset.instances])
    assert oks(truth, dataset).tolist() == pytest.approx([1.0] * 6)
    sigma = np.array(dataset.skeleton.sigmas)
    shifted = truth + np.array([3.0, 4.0])
    each = np.exp(-25 / (2 * (2 * sigma) ** 2 * 4000))
    seen = np.array([number not in (3, 4) for number in range(17)])
    assert oks(shifted, dataset).tolist() == pytest.approx([each[seen].mean()] * 6)
    assert kept.oks[1].tolist() == pytest.approx(oks(found.keypoints, dataset).tolist(), abs=1e-6)


def test_models_and_boxes_that_cannot_give_both_stages_are_refused(dataset):
    codec = codec_of(create_model("sharpose-nano-128x96").config)
    for model in (create_model("sharpose-nano-128x96"), create_model("vitpose-nano-128x96")):
        with pytest.raises(InputError, match="both stages of everybody need a SHaRPose"):
            predict_stages(model, dataset, codec)
