"""What the rows of the paper tier need is said, and nothing is started."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from experiments.cells.cells import cells, model_identity, weights_name
from experiments.cells.provenance import REPOSITORY, local_device
from experiments.run import plan as planning
from experiments.run.plan import PUBLIC_STARTS, amount, lines, plan, said, start_file, sums
from experiments.run.run import run_specs
from experiments.run.scale import table, works
from experiments.run.work import STEP_FORWARDS, gpu_hours, training_work
from experiments.spec.catalog import Catalog, Places
from experiments.spec.reading import load_specs
from results.records import Record
from results.store import Store
from sharpose.cli.app import parse_settings
from sharpose.models.registry import closed_form, resolve_config
from sharpose.runtime.files import sha256_of
from sharpose.training.recipe import load_recipe

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
    """Stored speeds of a model on two kinds of devices."""
    store = Store(tmp_path / "results")
    model = model_identity("vitpose-base-256x192", {})
    for kind, speed in (("cpu", 4.0), ("cpu", 5.0), ("cuda", 500.0)):
        identity = {"measure": "throughput", "version": 1, "model": model, "speed": speed}
        origin = {"device": f"the {kind}", "device_kind": kind}
        store.save(Record(identity, {"images_per_s": speed}, "t", "r", "paper-size", origin))
    return store


def test_hours_follow_from_recipe_people_and_the_closed_form(spec: Path, store: Store) -> None:
    first, second = plan([spec], store=store)
    crops, macs = 210 * 149_813, closed_form(resolve_config("vitpose-base-256x192")).macs
    assert (first.recipe, first.epochs, first.weights, first.crops) == (
        "vitpose-base",
        210,
        "vitpose-base-256x192",
        crops,
    )
    assert first.training_macs == pytest.approx(STEP_FORWARDS * crops * macs) and 18.4e9 < macs < 18.6e9
    assert first.gpu_hours == {
        name: pytest.approx(2 * first.training_macs / (peak * 0.2) / 3600)
        for name, peak in (("H100", 989e12), ("A100", 312e12))
    }
    assert first.device_hours == pytest.approx(STEP_FORWARDS * crops / 5.0 / 3600) and first.device == "the cpu"
    assert first.evaluation_macs == pytest.approx(2 * 104_125 * macs)
    assert plan([spec], store=store, device="cuda")[0].device_hours == pytest.approx(
        STEP_FORWARDS * crops / 500.0 / 3600
    )
    assert (second.device_hours, second.recipe) == (None, "hrnet")
    assert second.evaluation_macs == pytest.approx(2 * 6_352 * closed_form(resolve_config("hrnet-w48-256x192")).macs)


def test_what_is_missing_is_named(spec: Path, store: Store, tmp_path: Path) -> None:
    coco = tmp_path / "coco"
    (coco / "val2017").mkdir(parents=True)
    first, second = plan([spec], store=store, coco=coco)
    assert first.there == [str(coco / "val2017")]
    detections = str(coco / "person_detection_results" / "COCO_val2017_detections_AP_H_56_person.json")
    assert detections in first.data_missing and detections not in second.data_missing
    assert str(coco / "annotations" / "person_keypoints_train2017.json") in first.data_missing
    assert "weights results/weights/paper/vitpose-base-256x192.safetensors" in first.missing
    assert any("MAE" in one for one in first.missing)
    assert first.command is not None and "--model vitpose-base-256x192" in first.command


def test_hours_have_units_and_say_where_they_are_from(spec: Path, store: Store) -> None:
    first, second = plan([spec], store=store)
    text = lines([first, second])
    trained = [line for line in text if line.startswith("  train by recipe")]
    assert trained[0].endswith(f"GPU hours; {amount(first.device_hours or 0)} hours on the cpu")
    assert trained[1].endswith("GPU hours; none on a device here, as no speed of it is stored")
    assert f"  evaluate all rows, calculated: {said(first.evaluation_macs)}" in text
    assert text[-1].startswith("All hours are calculated") and "none was timed" in text[-1]


def test_every_start_has_the_command_that_makes_it() -> None:
    import timm

    needs = [one for one in plan() if one.command is not None and "--init" in one.command]
    made = {one.weights: one.start_command for one in needs}
    for one in needs:
        words = shlex.split(one.command or "")
        file = words[words.index("--init") + 1]
        assert file == start_file(words[words.index("--model") + 1])
        assert any(said.startswith("start weights: ") and said.endswith(f": {file})") for said in one.missing)
        if one.start_command is not None:
            assert f" --out {file}" in one.start_command and f"  {one.start_command}" in lines([one])
    none = {name for name, command in made.items() if command is None}
    assert none and all(name.startswith(("tokenpose-l", "hrformer")) for name in none)
    base = "sharpose-base-256x192"
    line = f"sharpose import timm:vit_base_patch16_224.mae --as {base} --out starts/{base}.safetensors"
    assert made[base] == made[f"{base}-alpha0.3"] == line
    assert (made["vitpose-small-256x192"] or "").startswith("sharpose import FILE ")
    assert "timm:hrnet_w32.ms_in1k" in (made["prtr-w32-256x192"] or "")
    assert all(timm.get_pretrained_cfg(name.removeprefix("timm:")) for _, name in PUBLIC_STARTS)


@pytest.mark.parametrize("model", ["dvt-nano-128x96", "quadtree-nano-128x96", "sharpose-nano-128x96"])
def test_the_start_command_is_enough_for_an_image_encoder(model: str, tmp_path: Path) -> None:
    from timm.models.vision_transformer import VisionTransformer

    from sharpose.weights.importing import import_weights

    config = resolve_config(model)
    sizes = {"embed_dim": config.embed_dim, "depth": config.depth, "num_heads": config.num_heads}
    torch.save(VisionTransformer(num_classes=0, **sizes).state_dict(), tmp_path / "encoder.pth")
    assert (
        planning.start_command(model, "a ViT") == f"sharpose import FILE --as {model} --out starts/{model}.safetensors"
    )
    report, _ = import_weights(str(tmp_path / "encoder.pth"), model, tmp_path / "start.safetensors")
    assert report.start and set(report.allowed) == set(report.missing)


def test_every_alpha_is_a_training_of_its_own_priced_by_that_alpha() -> None:
    needs = {one.weights: one for one in plan(["table6a", "table8"])}
    base = "sharpose-base-256x192"
    assert set(needs) == {base, "keypoint-vit-base-256x192", f"{base}-coarse"} | {
        f"{base}-alpha{alpha}" for alpha in ("0", "0.1", "0.2", "0.3", "0.5", "1")
    }
    # Table 8's rows of two stages are those of Table 6; controls and thresholds are trained by nobody
    assert {"table6a 0.0", "table8 Coarse-Coarse"} == set(needs[f"{base}-alpha0"].rows)
    assert {"table6a 1.0", "table8 Coarse-NoSel-Fine"} == set(needs[f"{base}-alpha1"].rows)
    assert {"table6a constant map, 0.3", "table6a 0.3"} < set(needs[f"{base}-alpha0.3"].rows)
    assert set(needs[base].rows) == {"table6a coarse only", "table6a 0.4", "table8 Coarse-Sel-Fine"}
    for alpha, name in ((0.0, f"{base}-alpha0"), (0.4, base), (1.0, f"{base}-alpha1")):
        macs = closed_form(resolve_config(base, alpha=alpha)).macs
        assert needs[name].training_macs == pytest.approx(3 * 210 * 149_813 * macs)
    words = shlex.split(needs[f"{base}-alpha0.3"].command or "")
    assert words[:5] == ["torchrun", "--standalone", "--nproc-per-node", "4", "-m"]
    assert words[words.index("--workers") + 1 :][:3] == ["8", "--precision", "bf16"]
    assert parse_settings([words[words.index("--set") + 1]]) == {"model_options": {"alpha": 0.3}}
    assert "--set" not in (needs[base].command or "")


def test_weights_of_another_alpha_are_not_taken(tmp_path: Path) -> None:
    (loaded,) = load_specs(["table6a"])
    weights = tmp_path / "weights/paper/sharpose-base-256x192.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    weights.with_suffix(".json").write_text(json.dumps({"sha256": sha256_of(weights)}))
    coco = tmp_path / "coco"
    (coco / "annotations").mkdir(parents=True)
    for split in ("train", "val"):
        (coco / f"annotations/person_keypoints_{split}2017.json").write_text("{}")
    catalog = Catalog("paper", Places(weights=tmp_path / "weights", coco=coco))
    found = {cell.row: cell for cell in cells(loaded, catalog, local_device("cpu")) if cell.measure == "accuracy"}
    assert found["0.4"].weights == weights and found["0.4"].blocked is None
    assert "no weights of sharpose-base-256x192-alpha0.3" in (found["0.3"].blocked or "")
    # at the nano tier one network serves every α
    assert weights_name("sharpose-base-256x192", {"alpha": 0.3}) == "sharpose-base-256x192"
    apart = weights_name("sharpose-base-256x192", {"stages": "fine"}, 1, training="guided")
    assert apart == "sharpose-base-256x192-fine-guided-seed1"


def test_an_elastic_training_costs_the_mean_of_what_it_draws(store: Store) -> None:
    recipe = load_recipe("nano").model_copy(update={"alphas": (0.0, 1.0)})
    macs = [closed_form(resolve_config("sharpose-nano-128x96", alpha=alpha)).macs for alpha in (0.0, 1.0)]
    work = training_work("sharpose-nano-128x96", {}, recipe, 100, 50, store)
    assert work.macs_per_crop == pytest.approx(sum(macs) / 2) and work.crops == 100 * recipe.epochs + 50


def test_no_training_is_counted_twice_and_the_page_has_the_sums() -> None:
    needs = plan()
    assert len({one.weights for one in needs}) == len(needs)
    each = works(load_specs(tier="paper"))
    assert sum(one.trainings for one in each) == sum(one.recipe is not None for one in needs)
    assert sum(one.macs for one in each) == pytest.approx(
        sum((one.training_macs or 0) + (one.evaluation_macs or 0) for one in needs)
    )
    # the plan and the page end with one sum
    whole = sums(needs)
    assert whole.macs == pytest.approx(sum(one.macs for one in each)) and whole.trainings == len(needs)
    hours = gpu_hours(whole.macs)
    assert lines(needs)[-2] == f"with every row evaluated once: {said(whole.macs)}"
    assert table().splitlines()[-1].endswith(" | ".join(f"{value:,.0f}" for value in hours.values()) + " |")
    # tables of the paper come first, so that what they ask for stands with them
    assert each[0].table == "table1" and next(one for one in each if one.table == "figure6").trainings == 0
    assert table() in (REPOSITORY / "docs" / "scale.md").read_text()


def test_a_training_is_as_long_as_its_tier_has_it(
    monkeypatch: pytest.MonkeyPatch, store: Store, tmp_path: Path
) -> None:
    monkeypatch.setattr("experiments.run.plan.open_catalog", lambda tier, _: Catalog(tier, Places(weights=tmp_path)))
    epochs = {one.weights: one.epochs for one in plan(["guided-gate"], tier="photos", store=store)}
    guided = "sharpose-nano-128x96-guided"
    assert epochs[f"{guided}-640k"] == 2 * (epochs[guided] or 0)


def test_missing_data_is_said_before_anything_else(spec: Path, store: Store, tmp_path: Path) -> None:
    said = lines(plan([spec], store=store))
    assert said[0].startswith("DATA MISSING") and "  annotations/person_keypoints_train2017.json" in said[1:6]
    # and where other cells can be measured, before they are
    spec.write_text(spec.read_text().replace("[accuracy, cost, throughput]", "[accuracy, cost]"))
    heard: list[str] = []
    run_specs([spec], tier="paper", store=Store(tmp_path / "other"), say=heard.append, measures=["accuracy"])
    assert heard == []
    stopped: list[str] = []

    def stop(text: str) -> None:
        stopped.append(text)
        if "cost" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_specs([spec], tier="paper", store=Store(tmp_path / "other"), say=stop, measures=["accuracy", "cost"])
    assert "cannot be measured here: no coco-val here" in stopped[0] and "cost" in stopped[-1]


def test_withheld_annotations_are_said(spec: Path) -> None:
    needs = plan(["table4"])
    assert all(any("not public" in one for one in need.data_missing) for need in needs)


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
    # whatever has been trained by now
    monkeypatch.setattr(Catalog, "weights_path", lambda self, name: tmp_path / f"{name}.safetensors")
    (tmp_path / "people").mkdir()
    (tmp_path / "people/person_keypoints_train.json").write_text("{}")
    # rows of 384x288 have no stand-in but SHaRPose's, and MPII has none at all
    assert [one.weights for one in plan(["table1", "table5"], tier="photos", store=store)] == [
        "hrnet-nano-128x96", "vitpose-nano-128x96",
    ]  # fmt: skip
    needs = {one.weights: one for one in plan(["table3"], tier="photos", store=store)}
    one = needs["hrformer-nano-128x96"]
    assert (one.recipe, one.starts_from) == ("photos-nano", "random weights")
    crops = 14.92 * 21_458 + 3 * 8_000
    macs = closed_form(resolve_config("hrformer-nano-128x96")).macs
    assert one.training_macs == pytest.approx(crops * STEP_FORWARDS * macs)
    assert one.there == [str(tmp_path / "people/person_keypoints_train.json")]
    assert str(tmp_path / "people/person_keypoints_train_faces.json") not in one.there
    assert one.command == "sharpose train-missing --tier photos --only hrformer-nano-128x96"
    small = {one.weights: one for one in plan(["table8"], tier="small", store=store)}
    assert any("ViT-S, pretrained without labels" in said for said in small["sharpose-small-256x192"].missing)


def test_nothing_is_started_and_torch_is_not_imported() -> None:
    code = (
        "import sys; from sharpose import cli; sys.argv = ['sharpose', 'run', 'table3', '--tier', 'paper', '--plan'];\n"
        "try:\n    cli.main()\nexcept SystemExit as stop:\n    assert not stop.code\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Nothing was started" in done.stdout and "A100 GPU hours" in done.stdout
    assert planning.as_dict([])["assumed"]["forward_passes_per_step"] == 3
