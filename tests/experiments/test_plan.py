"""What the rows of the paper tier need is said, and nothing is started."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.cells.cells import model_identity
from experiments.cells.provenance import REPOSITORY
from experiments.run import plan as planning
from experiments.run.plan import GPU_MACS_PER_S, STEP_FORWARDS, lines, plan
from results.store import Record, Store
from sharpose.cli.app import parse_settings
from sharpose.runtime.errors import InputError

SPEC = """
title: small
base: {model: vitpose-base-256x192, dataset: coco-val, boxes: detections}
measure: [accuracy, cost, throughput]
columns: [ap]
rows:
  - {label: one, set: {model: vitpose-base-256x192}}
  - {label: two, set: {model: hrnet-w48-256x192, boxes: ground-truth}}
  - {label: control, set: {model: mean-pose}, measure: [accuracy]}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """One stored cost of a million million multiply-adds, and speeds on two kinds of devices."""
    store = Store(tmp_path / "results")
    model = model_identity("vitpose-base-256x192", {})
    store.save(
        Record({"measure": "cost", "version": 1, "model": model}, {"macs_fvcore": 1e12}, "t", "r", "paper-size", {})
    )
    for kind, speed in (("cpu", 4.0), ("cpu", 5.0), ("cuda", 500.0)):
        identity = {"measure": "throughput", "version": 1, "model": model, "speed": speed}
        origin = {"device": f"the {kind}", "device_kind": kind}
        store.save(Record(identity, {"images_per_s": speed}, "t", "r", "paper-size", origin))
    return store


def test_hours_follow_from_recipe_people_and_stored_costs(spec: Path, store: Store) -> None:
    first, second = plan([spec], store=store)
    passes = 210 * 149_813 * STEP_FORWARDS
    assert (first.recipe, first.epochs, first.weights) == ("vitpose-base", 210, "vitpose-base-256x192")
    assert first.gpu_hours == pytest.approx(passes * 1e12 / GPU_MACS_PER_S / 3600)
    assert first.device_hours == pytest.approx(passes / 5.0 / 3600) and first.device == "the cpu"
    assert first.evaluation_gpu_hours == pytest.approx(2 * 104_125 * 1e12 / GPU_MACS_PER_S / 3600)
    assert plan([spec], store=store, device="cuda")[0].device_hours == pytest.approx(passes / 500.0 / 3600)
    assert (second.gpu_hours, second.device_hours, second.recipe) == (None, None, "hrnet")
    assert "unknown GPU hours" in "\n".join(lines([second]))


def test_what_is_missing_is_named(spec: Path, store: Store, tmp_path: Path) -> None:
    coco = tmp_path / "coco"
    (coco / "val2017").mkdir(parents=True)
    first, second = plan([spec], store=store, coco=coco)
    assert first.there == [str(coco / "val2017")]
    detections = str(coco / "person_detection_results" / "COCO_val2017_detections_AP_H_56_person.json")
    assert detections in first.missing and detections not in second.missing
    assert str(coco / "annotations" / "person_keypoints_train2017.json") in first.missing
    assert "weights results/weights/vitpose-base-256x192.safetensors" in first.missing
    assert any("MAE" in one for one in first.missing)
    assert first.command is not None and "--model vitpose-base-256x192" in first.command


def test_rows_that_share_weights_are_one_need() -> None:
    needs = plan(["table6a"])
    assert [one.weights for one in needs] == ["sharpose-base-256x192"]
    assert len(needs[0].rows) >= 5
    # costs and speeds of the paper's models are published with this repository
    assert needs[0].gpu_hours is not None and 5 < needs[0].gpu_hours < 200
    assert needs[0].device_hours is not None and needs[0].device_hours > 1000


def test_withheld_annotations_are_said(spec: Path) -> None:
    needs = plan(["table4"])
    assert all(any("not public" in one for one in need.missing) for need in needs)


def test_a_codec_is_a_training_of_its_own() -> None:
    needs = {one.weights: one for one in plan(["table4"])}
    for codec in ("udp", "dark"):
        one = needs[f"hrnet-w48-384x288-{codec}"]
        assert one.recipe == f"hrnet-{codec}-384x288" and one.command is not None
        assert f"--recipe hrnet-{codec}-384x288 --init" in one.command and "train2017" in one.command


def test_a_network_of_one_stage_is_trained_as_one() -> None:
    one = {one.weights: one for one in plan(["table8"])}["sharpose-base-256x192-coarse"]
    words = shlex.split(one.command or "")
    settings = parse_settings([words[words.index("--set") + 1]])
    assert settings["model_options"] == {"stages": "coarse"}


def test_mpii_is_trained_on_its_own_people() -> None:
    for one in plan(["table5"]):
        assert one.command is not None and "--data MPII/annotations/mpii_train.json" in one.command


def test_a_race_is_trained_by_its_budget(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARPOSE_PHOTOS", str(tmp_path))
    (tmp_path / "people").mkdir()
    (tmp_path / "people/person_keypoints_train.json").write_text("{}")
    model = model_identity("hrnet-nano-128x96", {})
    identity = {"measure": "cost", "version": 1, "model": model}
    store.save(Record(identity, {"macs_fvcore": 1e12}, "t", "r", "paper-size", {}))
    needs = {one.weights: one for one in plan(["table1", "table5"], tier="photos", store=store)}
    # one row of each has no stand-in, and MPII has none at all
    assert list(needs) == ["hrnet-nano-128x96", "vitpose-nano-128x96"]
    one = needs["hrnet-nano-128x96"]
    assert (one.recipe, one.starts_from) == ("photos-nano", "random weights")
    crops = 14.92 * 21_458 + 3 * 16_000
    assert one.gpu_hours == pytest.approx(crops * STEP_FORWARDS * 1e12 / GPU_MACS_PER_S / 3600)
    assert one.there == [str(tmp_path / "people/person_keypoints_train.json")]
    assert str(tmp_path / "people/person_keypoints_train_faces.json") not in one.there
    assert one.command == "sharpose train-missing --tier photos --only hrnet-nano-128x96"
    small = {one.weights: one for one in plan(["table8"], tier="small", store=store)}
    assert any("ViT-S, pretrained without labels" in said for said in small["sharpose-small-256x192"].missing)


def test_only_for_tiers_that_do_not_ship(spec: Path) -> None:
    with pytest.raises(InputError, match="give --tier photos, small or paper"):
        plan([spec], tier="nano")


def test_nothing_is_started_and_torch_is_not_imported() -> None:
    code = (
        "import sys; from sharpose import cli; sys.argv = ['sharpose', 'run', 'table3', '--tier', 'paper', '--plan'];\n"
        "try:\n    cli.main()\nexcept SystemExit as stop:\n    assert not stop.code\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Nothing was started" in done.stdout and "GPU hours of training" in done.stdout
    assert planning.as_dict([])["assumed"]["forward_passes_per_step"] == 3
