"""An identity holds what determines a number and nothing else; what cannot be had here says why."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from experiments.cells.cells import VERSIONS, cells, model_identity
from experiments.cells.provenance import Device, command, cpu_name, local_device, provenance, usable_cores
from experiments.spec.catalog import Catalog, Places, open_catalog
from experiments.spec.reading import load_spec
from experiments.spec.spec import FOLDER, SpecError
from results.records import Record
from results.store import Store
from sharpose.data import cache
from sharpose.runtime.errors import InputError

CPU = Device("cpu", "Some CPU", 2)


def by_measure(spec_path, catalog, device=CPU):
    return {(cell.row, cell.measure): cell for cell in cells(load_spec(spec_path), catalog, device)}


def test_every_row_and_measure_is_a_cell(spec_path, catalog):
    found = by_measure(spec_path, catalog)
    rows = [(row, measure) for row in ("0.3", "1.0") for measure in ("accuracy", "cost", "throughput")]
    assert list(found) == [*rows, ("mean pose", "accuracy")]
    assert len({cell.run_id for cell in found.values()}) == 7
    assert all(cell.identity["version"] == VERSIONS[cell.measure] for cell in found.values())


def test_accuracy_is_of_the_stand_in_and_cost_of_the_named_model(spec_path, catalog):
    found = by_measure(spec_path, catalog)
    accuracy, cost = found["0.3", "accuracy"], found["0.3", "cost"]
    assert (accuracy.model, accuracy.tier, accuracy.dataset) == ("sharpose-nano-128x96", "nano", "mannequin2-val")
    assert accuracy.identity["model"]["alpha"] == cost.identity["model"]["alpha"] == 0.3
    assert accuracy.identity["model"]["embed_dim"] < cost.identity["model"]["embed_dim"] == 768
    assert cost.model == "sharpose-base-256x192" and "weights_sha256" not in cost.identity


def test_speed_depends_on_device_threads_and_batch_and_on_no_weights(spec_path, catalog):
    first = by_measure(spec_path, catalog)
    other = by_measure(spec_path, catalog, replace(CPU, threads=4))
    assert first["0.3", "throughput"].run_id != other["0.3", "throughput"].run_id
    assert {key: cell.run_id for key, cell in first.items() if key[1] != "throughput"} == {
        key: cell.run_id for key, cell in other.items() if key[1] != "throughput"
    }
    assert set(first["0.3", "throughput"].identity) == {
        "measure", "version", "model", "batch_size", "precision", "scope", "device", "threads",
    }  # fmt: skip
    spec_path.write_text(spec_path.read_text().replace("batch_size: 2", "batch_size: 3"))
    assert by_measure(spec_path, catalog)["0.3", "throughput"].run_id != first["0.3", "throughput"].run_id
    spec_path.write_text(spec_path.read_text().replace("batch_size: 3", "batch_size: 2, mode: compiled"))
    compiled = by_measure(spec_path, catalog)["0.3", "throughput"].identity
    assert compiled == {**first["0.3", "throughput"].identity, "mode": "compiled"}


def test_labels_notes_and_papers_values_do_not_change_an_identity(spec_path, catalog):
    before = [cell.run_id for cell in by_measure(spec_path, catalog).values()]
    text = spec_path.read_text().replace('"0.3"', '"three tenths"').replace("74.8", "1").replace("said under", "x")
    spec_path.write_text(text)
    assert [cell.run_id for cell in by_measure(spec_path, catalog).values()] == before


def test_changed_weights_change_accuracy_and_nothing_else(spec_path, places, write_weights):
    before = by_measure(spec_path, Catalog("nano", places))
    write_weights(places.weights / "nano", "sharpose-nano-128x96", b"other weights")
    after = by_measure(spec_path, Catalog("nano", places))
    changed = {key for key in before if before[key].run_id != after[key].run_id}
    assert changed == {("0.3", "accuracy"), ("1.0", "accuracy")}


def test_the_data_set_and_its_generator_are_part_of_accuracy(spec_path, catalog, monkeypatch):
    before = by_measure(spec_path, catalog)
    larger = replace(cache.NAMED_SETS["mannequin2-val"], seed=99)
    monkeypatch.setitem(cache.NAMED_SETS, "mannequin2-val", larger)
    after = by_measure(spec_path, catalog)
    assert {key[1] for key in before if before[key].run_id != after[key].run_id} == {"accuracy"}
    monkeypatch.setattr(type(larger.parameters), "version", 1_000)
    assert by_measure(spec_path, catalog)["mean pose", "accuracy"].run_id != after["mean pose", "accuracy"].run_id


def test_what_only_shapes_training_is_no_part_of_an_identity():
    assert model_identity("sharpose-base-256x192", {"drop_path": 0.3}) == model_identity("sharpose-base-256x192", {})
    assert model_identity("sharpose-base-256x192", {"keep_rounding": "floor"}) != model_identity(
        "sharpose-base-256x192", {}
    )


def test_weights_that_differ_from_their_manifest_are_refused(spec_path, places):
    (places.weights / "nano/sharpose-nano-128x96.safetensors").write_bytes(b"flipped")
    with pytest.raises(InputError, match=r"sharpose-nano-128x96.safetensors: does not have the sha256 of its manifest"):
        by_measure(spec_path, Catalog("nano", places))
    (places.weights / "nano/sharpose-nano-128x96.json").write_text("{")
    with pytest.raises(InputError, match="manifest is missing or broken"):
        by_measure(spec_path, Catalog("nano", places))


def test_missing_weights_block_accuracy_alone(spec_path, tmp_path):
    found = by_measure(spec_path, Catalog("nano", Places(weights=tmp_path / "none")))
    blocked = {key for key, cell in found.items() if cell.blocked}
    assert blocked == {("0.3", "accuracy"), ("1.0", "accuracy")}
    assert "no weights of sharpose-nano-128x96" in found["0.3", "accuracy"].blocked


def test_several_trainings_are_the_tiers_whatever_the_row_has(spec_path, tmp_path, write_weights):
    places = Places(weights=tmp_path / "weights")
    for name in ("sharpose-nano-128x96", "sharpose-nano-128x96-seed1", "sharpose-nano-128x96-coarse-seed1"):
        write_weights(places.weights / "nano", name, name.encode())
    text = spec_path.read_text().replace("columns: [ap,", "seeds: [0, 1, 3]\ncolumns: [ap, ap_seeds,")
    spec_path.write_text(text.replace("rows:\n", "rows:\n  - {label: one, set: {model.stages: coarse}}\n"))

    def trainings(tier: str = "nano") -> dict:
        found = cells(load_spec(spec_path), Catalog(tier, places), CPU)
        return {(cell.row, cell.seed): cell for cell in found if cell.measure == "accuracy"}

    found = trainings()
    assert [key for key in found if key[1] is not None] == [
        (row, seed) for row in ("one", "0.3", "1.0") for seed in (0, 1, 3)
    ]
    names = {key: cell.weights.stem for key, cell in found.items() if cell.weights}
    assert names["0.3", 0] == "sharpose-nano-128x96" and names["0.3", 1] == "sharpose-nano-128x96-seed1"
    assert names["one", 1] == "sharpose-nano-128x96-coarse-seed1"
    assert found["0.3", 1].identity["model"]["alpha"] == 0.3 and found["1.0", 1].identity["model"]["alpha"] == 1.0
    assert "no weights of sharpose-nano-128x96-coarse (sharpose train-missing" in found["one", 0].blocked
    assert found["0.3", 3].blocked.endswith("-seed3 (the shared budget trains none; add it to tiers.yaml)")
    # seed 0 is the row's own number, but for a row with a file of its own
    assert found["0.3", None].run_id == found["0.3", 0].run_id != found["0.3", 1].run_id
    spec_path.write_text(
        spec_path.read_text().replace("dataset: coco-val", "dataset: coco-val, weights: a/b.safetensors")
    )
    assert trainings()["0.3", None].blocked.startswith("no weights of sharpose-nano-128x96 (train them to")
    write_weights(spec_path.parent / "a", "b", b"b")
    other = trainings()
    assert other["0.3", None].weights == spec_path.parent / "a/b.safetensors"
    assert {seed: other["0.3", seed].run_id for seed in (0, 1)} == {seed: found["0.3", seed].run_id for seed in (0, 1)}
    assert other["0.3", None].run_id != other["0.3", 0].run_id
    # what shares no budget has no such trainings
    at_paper = trainings("paper")
    assert {seed for _, seed in at_paper} == {None}
    assert at_paper["0.3", None].blocked.startswith("no coco-val here")


def test_a_model_without_a_stand_in_blocks_accuracy(spec_path, catalog):
    spec_path.write_text(spec_path.read_text().replace("sharpose-base-256x192", "sharpose-nano-192x144"))
    assert "tier nano has no model that stands for" in by_measure(spec_path, catalog)["0.3", "accuracy"].blocked


def test_another_version_of_a_measure_changes_its_records_alone(spec_path, catalog, monkeypatch):
    before = by_measure(spec_path, catalog)
    for measure in ("accuracy", "cost", "throughput"):
        with monkeypatch.context() as change:
            change.setitem(VERSIONS, measure, 1_000)
            after = by_measure(spec_path, catalog)
        assert {key[1] for key in before if before[key].run_id != after[key].run_id} == {measure}


def test_an_old_record_is_not_used_after_its_boxes_changed(spec_path, places, tmp_path, write_weights):
    # at the paper tier every α has weights of its own
    write_weights(places.weights / "paper", "sharpose-base-256x192-alpha0.3")
    spec_path.write_text(spec_path.read_text().replace("dataset: coco-val}", "dataset: coco-val, boxes: detections}"))
    coco, store = tmp_path / "coco", Store(tmp_path / "results")
    boxes = coco / "person_detection_results/COCO_val2017_detections_AP_H_56_person.json"
    for path in (boxes, *(coco / f"annotations/person_keypoints_{split}2017.json" for split in ("val", "train"))):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[1]")
    first = by_measure(spec_path, Catalog("paper", replace(places, coco=coco)))["0.3", "accuracy"]
    store.save(Record(first.identity, {"ap": 0.5}, "small", "0.3", "paper"))
    assert store.find(first.identity) is not None
    boxes.write_text("[2]")
    changed = by_measure(spec_path, Catalog("paper", replace(places, coco=coco)))["0.3", "accuracy"]
    assert changed.run_id != first.run_id and store.find(changed.identity) is None


def test_the_paper_tier_needs_the_coco_folder(spec_path, places, tmp_path, write_weights):
    write_weights(places.weights / "paper", "sharpose-base-256x192")
    found = by_measure(spec_path, Catalog("paper", places))
    assert (
        "no coco-val here (give the COCO folder with --coco DIR or SHARPOSE_COCO)" in found["0.3", "accuracy"].blocked
    )
    coco = tmp_path / "coco"
    coco.mkdir()
    with pytest.raises(InputError, match=r"person_keypoints_val2017.json: no such file"):
        by_measure(spec_path, Catalog("paper", replace(places, coco=coco)))
    for split in ("val", "train"):
        path = coco / f"annotations/person_keypoints_{split}2017.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"split": split}))
    write_weights(places.weights / "paper", "sharpose-base-256x192-alpha0.3")
    found = by_measure(spec_path, Catalog("paper", replace(places, coco=coco)))
    assert (found["0.3", "accuracy"].model, found["0.3", "accuracy"].dataset) == ("sharpose-base-256x192", "coco-val")
    assert set(found["0.3", "accuracy"].identity["dataset"]) == {"annotations_sha256"}


def test_a_coco_folder_that_is_not_there_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="absent: no such folder"):
        open_catalog("nano", tmp_path / "absent")
    monkeypatch.setenv("SHARPOSE_COCO", str(tmp_path / "gone"))
    with pytest.raises(InputError, match="gone: no such folder"):
        open_catalog("nano")


def test_mistakes_in_tiers_are_named(tmp_path):
    tiers = tmp_path / "tiers.yaml"
    text = (FOLDER / "tiers.yaml").read_text()
    for old, new, wanted in [
        ("mannequin: mannequin-val", "mannequin: mannequin-vall", "no generated data set is called 'mannequin-vall'"),
        ("coco-val: mannequin2-val", "coco-val: mannequin-x", "no data set is called 'mannequin-x'; did you mean"),
        (
            "training: coco-train",
            "training: coco-tran",
            "no data set is called 'coco-tran'; did you mean 'coco-train'?",
        ),
        ("    images: val2017\n", "", "give either mannequin, or annotations and images"),
        ("  nano:", "  nanno:", "there is no tier 'nano'; did you mean 'nanno'?"),
    ]:
        assert old in text
        tiers.write_text(text.replace(old, new, 1))
        with pytest.raises(SpecError) as caught:
            Catalog("nano", Places(tiers=tiers))
        assert str(caught.value).startswith(str(tiers)) and wanted in str(caught.value)


def test_this_machine_has_a_name_and_a_record_says_where_it_was_made():
    assert cpu_name() and usable_cores() >= 1
    device = local_device("cpu")
    assert device.threads == usable_cores() and str(device) == f"{cpu_name()}, {usable_cores()} threads"
    made = provenance(device)
    assert made["device"] == str(device) and made["versions"]["torch"] and made["utc"].endswith("+00:00")
    json.dumps(made)
    assert command(["/home/one/.venv/bin/sharpose", "table", "6 a"]) == "sharpose table '6 a'"
    assert command(["/home/one/sharpose/cli/__main__.py", "run"]) == "python -m sharpose.cli run"
    with pytest.raises(InputError, match="use cpu or cuda"):
        local_device("tpu")
