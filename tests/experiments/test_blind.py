"""Generated people as a test split: nobody's annotations reach what predicts, and the file itself is scored."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.cells.cells import Cell, cells
from experiments.cells.measures import measure
from experiments.cells.provenance import local_device
from experiments.spec.catalog import Catalog, Places
from experiments.spec.reading import load_spec
from experiments.spec.spec import FOLDER
from sharpose.data.annotations import load_pose_file
from sharpose.data.cache import ensure_named
from sharpose.data.coco import CocoTopDown
from sharpose.evaluation.blind import judge_blind, split_name
from sharpose.evaluation.coco import score_results
from sharpose.evaluation.submission import read_submission, withhold
from sharpose.models import create_model
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import sha256_of
from sharpose.weights.files import save_weights
from tests.command_line import call


@pytest.fixture(scope="module")
def people():
    return ensure_named("mannequin-tiny")


def echoed(info: Path, people, shift: float = 2.0) -> list[dict]:
    """Results from nowhere: annotated keypoints a little beside themselves, in an order of their own."""
    rows = json.loads(people.annotations_file.read_text())["annotations"]
    known = load_pose_file(info).images
    return [
        {
            "image_id": row["image_id"],
            "category_id": 1,
            "keypoints": [
                v + shift if at % 3 == 0 else v + 0.5 if at % 3 == 2 else v for at, v in enumerate(row["keypoints"])
            ],
            "score": 0.1 + (row["id"] % 7) / 10,
        }
        for row in rows
        if row["image_id"] in known and not row["iscrowd"]
    ]


def test_what_predicts_sees_no_annotation(people, tmp_path):
    info = withhold(people.annotations_file, "mannequin-tiny0001", tmp_path)
    content = json.loads(info.read_text())
    assert set(content) == {"images", "categories"} and info.name == "image_info_mannequin-tiny0001.json"
    assert set(content["categories"][0]) <= {"id", "name", "supercategory"}
    found = load_pose_file(info)
    assert not found.annotations and len(found.images) == 40


def test_the_file_is_scored_as_its_results_are(people, tmp_path):
    seen: list[Path] = []

    def rows(info: Path) -> list[dict]:
        seen.append(info)
        return echoed(info, people)

    split = split_name("mannequin-tiny", 1)
    how = {"split": split, "algorithm": "echo", "image_size": (64, 48), "folder": tmp_path}
    judged = judge_blind(rows, people.annotations_file, people.images_folder, people.detections_file, **how)
    assert len(seen) == 1 and seen[0].parent == tmp_path
    with zipfile.ZipFile(judged.submission.path) as archive:
        assert archive.namelist() == [f"person_keypoints_{split}_echo_results.json"]
    dataset = CocoTopDown(
        people.annotations_file, people.images_folder, image_size=(64, 48), boxes=people.detections_file
    )
    straight = score_results(echoed(seen[0], people), dataset)
    assert judged.evaluation.metrics.values() == straight.metrics.values()
    assert 0.3 < judged.evaluation.metrics.ap < 1 and judged.evaluation.metrics.num_people == 92
    assert read_submission(judged.submission.path) == echoed(seen[0], people)
    with pytest.raises(InputError, match="not a submission"):
        read_submission(people.annotations_file)


def test_table_4_is_judged_so_at_the_nano_tier(tmp_path, write_weights, monkeypatch):
    write_weights(tmp_path / "nano", "sharpose-nano-192x144")
    found: dict[str, Cell] = {
        cell.row: cell
        for cell in cells(
            load_spec(FOLDER / "table4.yaml"), Catalog("nano", Places(weights=tmp_path)), local_device("cpu")
        )
        if cell.measure == "accuracy"
    }
    cell = found["SHaRPose-B"]
    assert cell.dataset == "mannequin2-test-blind" and cell.blocked is None
    assert cell.identity is not None and cell.identity["dataset"]["withheld"] is True
    # any network will do, so one that is quick
    options = {"depth": 2, "quality_threshold": None}
    save_weights(create_model("sharpose-nano-128x96", **options), tmp_path / "quick.safetensors", {})
    identity = {**cell.identity, "weights_sha256": sha256_of(tmp_path / "quick.safetensors")}
    quick = replace(cell, model="sharpose-nano-128x96", options=options, weights=tmp_path / "quick.safetensors")
    quick = replace(quick, identity=identity)
    monkeypatch.setattr("experiments.cells.measures.data_files", lambda *_: files(ensure_named("mannequin-tiny")))
    with pytest.raises(InputError, match="annotated boxes are withheld too"):
        list(measured(replace(quick, boxes="ground-truth")))
    ((_, metrics),) = measured(quick)
    assert {"ap", "ap_low", "ap50_low", "ap75_low", "ar_low", "ap_bootstrap"} <= set(metrics)
    assert len(metrics["submission_sha256"]) == 64 and metrics["annotated_people"] == 92
    assert metrics["boxes_ap"] > 0.5 and metrics["refine_rate"] == 1.0


def measured(cell: Cell):
    return measure([cell], None, Catalog("nano"), local_device("cpu"), lambda *_: None)


def files(people):
    from experiments.cells.measures import DataFiles

    return DataFiles(people.annotations_file, people.images_folder, people.detections_file)


@pytest.fixture
def write_weights():
    def write(folder: Path, model: str) -> None:
        path = folder / f"{model}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"weights")
        path.with_suffix(".json").write_text(json.dumps({"sha256": sha256_of(path)}))

    return write


def test_the_command_scores_what_it_packs(capsys, tmp_path):
    common = ["submit", "--name", "mine", "--out", str(tmp_path)]
    model = ["--model", "sharpose-nano-128x96", "--weights", "random"]
    code, out, err = call(capsys, *common, *model, "--data", "mannequin-tiny", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["annotated_people"] == 92 and told["ap"] < 0.1
    assert Path(told["submission"]["path"]).name == "person_keypoints_mannequin-tiny0001_mine_results.zip"
    code, _, err = call(capsys, *common, *model)
    assert code == 2 and "give either --image-info FILE, or --data NAME" in err
    code, _, err = call(capsys, *common, "--data", "mannequin-tiny")
    assert code == 2 and "--data needs --model NAME" in err
