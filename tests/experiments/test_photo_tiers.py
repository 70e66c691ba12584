"""Tiers of photographs: found by one variable, known without them, measured on people of several kinds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.cells.cells import Cell, cells
from experiments.cells.measures import first_source
from experiments.cells.provenance import Device
from experiments.spec.catalog import Catalog, Places, open_catalog
from experiments.spec.datasets import DataSet
from experiments.spec.reading import load_spec, load_specs
from experiments.spec.spec import FOLDER, SpecError
from sharpose.data.photos import PHOTO_SETS
from sharpose.models.registry import find, resolve_config
from sharpose.runtime.errors import InputError
from tests.experiments.photographs import write_photographs

CPU = Device("cpu", "Some CPU", 2)
TEST_SETS = ["photos-val", "coco-mini-val", "pelota", "lspet-val"]
PHOTO_TIERS = ["photos", "small"]


def accuracies(spec: str, catalog: Catalog, row: str) -> dict[str | None, Cell]:
    """The accuracy cells of a row by their test set."""
    found = cells(load_spec(FOLDER / f"{spec}.yaml"), catalog, CPU)
    return {c.test_set: c for c in found if (c.row, c.measure) == (row, "accuracy") and c.seed is None}


def test_one_folder_holds_all_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SHARPOSE_PHOTOS", "SHARPOSE_LSPET", "SHARPOSE_PEOPLE"):
        monkeypatch.delenv(variable, raising=False)
    assert "SHARPOSE_PHOTOS" in str(open_catalog("photos").absence("photos-val"))
    for name in ("people", "lspet", "coco_mini"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("SHARPOSE_PHOTOS", str(tmp_path))
    catalog = open_catalog("photos")
    assert catalog.folder("photos-val") == tmp_path / "people" and catalog.folder("lspet-val") == tmp_path / "lspet"
    assert catalog.folder("photos-train") == tmp_path
    # a part that is not there is as if no folder were given
    assert "SHARPOSE_PHOTOS, or pfg alone with SHARPOSE_PFG" in str(catalog.absence("pelota"))
    # a folder of its own goes before the one around it
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("SHARPOSE_LSPET", str(tmp_path / "mine"))
    assert open_catalog("photos").folder("lspet-val") == tmp_path / "mine"
    with pytest.raises(InputError, match=r"person_keypoints_holdout.json: no such file or folder; SHARPOSE_PHOTOS or"):
        catalog.data_identity("photos-val")
    monkeypatch.setenv("SHARPOSE_PHOTOS", str(tmp_path / "gone"))
    with pytest.raises(InputError, match="gone: no such folder"):
        open_catalog("photos")


def test_what_was_measured_is_known_without_the_photographs(shared: Path) -> None:
    here, elsewhere = Catalog("photos"), Catalog("photos", Places(photos=shared / "data"))
    folders = {name: shared / "data" / name for name in ("people", "lspet", "coco_mini", "pfg")}
    elsewhere.places = replace(elsewhere.places, others=folders)
    for name in [*TEST_SETS, "photos-train"]:
        assert here.data_identity(name) == elsewhere.data_identity(name)
        assert here.absence(name) is not None and elsewhere.absence(name) is None
    # the records of lspet and coco_mini that tier nano has
    assert set(here.data_identity("lspet-val")) == {"annotations_sha256", "by_name"}
    assert len(here.data_identity("photos-train")["annotations_sha256"]) == len(PHOTO_SETS["photos-train"]) == 3


def test_photographs_are_where_the_library_says() -> None:
    data = DataSet(photos="photos-lspet")
    source = PHOTO_SETS["photos-lspet"][0]
    assert (f"{data.folder}/{data.annotations}", f"{data.folder}/{data.images}") == (source.annotations, source.images)
    assert DataSet(photos="photos-train").sources == tuple(one.annotations for one in PHOTO_SETS["photos-train"])
    with pytest.raises(ValueError, match="no set of photographs is called 'photos-vall'; did you mean 'photos-val'"):
        DataSet(photos="photos-vall")


@pytest.mark.parametrize("tier", PHOTO_TIERS)
def test_a_row_is_measured_on_every_test_set_in_annotated_boxes(
    tier: str, tmp_path: Path, write_weights: Callable[..., None]
) -> None:
    catalog = Catalog(tier, Places(weights=tmp_path))
    model = catalog.stand_in("model", "sharpose-base-256x192")
    write_weights(tmp_path / tier, model)
    found = accuracies("table3", catalog, "SHaRPose-B 256x192")
    assert list(found) == [None, *TEST_SETS[1:]]
    # known without the photographs, and why they cannot be measured here
    assert all("SHARPOSE_PHOTOS" in str(cell.blocked) for cell in found.values())
    assert all(cell.identity and cell.identity["boxes"] == "ground-truth" for cell in found.values())
    assert [cell.dataset for cell in found.values()] == TEST_SETS
    assert len({cell.run_id for cell in found.values()}) == len({cell.name for cell in found.values()}) == 4
    (six,) = {cell.weights for cell in accuracies("table6a", catalog, "0.3").values()}
    assert six == tmp_path / tier / f"{model}.safetensors"
    # the small ones were trained with the heads of their start
    heads = {cell.identity["model"]["num_heads"] for cell in found.values() if cell.identity}
    assert heads == {6} and (tier == "photos") == (resolve_config(model).num_heads == 6)


def test_tables_of_mpii_and_of_generated_people_say_why_they_are_empty(
    tmp_path: Path, write_weights: Callable[..., None]
) -> None:
    catalog = Catalog("photos", Places(weights=tmp_path))
    write_weights(tmp_path / "nano", "sharpose-nano-128x96")
    assert "no photograph here has MPII's 16 joints" in str(accuracies("table5", catalog, "OKDHP")[None].blocked)
    # nothing that learnt from generated people stands in for the race
    assert "no weights" in str(accuracies("table6a", catalog, "0.3")[None].blocked)
    for row in ("generated people", "photographs"):
        assert "have a column for it" in str(accuracies("photos-coco", catalog, row)[None].blocked)


def test_other_tiers_records_keep_their_names() -> None:
    specs = load_specs(["1", "6a", "8"])

    def found(tier: str) -> list[Cell]:
        return [cell for loaded in specs for cell in cells(loaded, Catalog(tier), CPU)]

    nano = found("nano")
    assert all(cell.test_set is None for cell in nano)
    # what no tier changes: cost and speed
    same = {cell.run_id for cell in nano if cell.measure != "accuracy"}
    for tier in PHOTO_TIERS:
        assert {cell.run_id for cell in found(tier) if cell.measure != "accuracy"} == same


@pytest.mark.parametrize("tier", PHOTO_TIERS)
def test_every_system_has_had_the_same(tier: str) -> None:
    from sharpose.training.session import chosen_recipe

    shared = Catalog(tier).tier.shared
    assert shared is not None and shared.learning_rates is not None
    recipes = {
        name: chosen_recipe(system.model or name, shared.recipe, system.recipe)
        for name, system in shared.trainings.items()
    }
    own = {"model_options", "keep_rate_schedule", "teacher", "attention"}
    # what learnt for longer says so, and comes last
    longer = {name: recipe.epochs for name, recipe in recipes.items() if name.endswith("-640k")}
    usual = {recipe.epochs for name, recipe in recipes.items() if name not in longer}
    assert len(usual) == 1 and set(longer.values()) <= {2 * min(usual)} and set(longer) <= set(shared.afterwards)
    length = {"epochs", "linear_decay_epochs"}
    assert all(recipe.linear_decay_epochs == recipe.epochs for recipe in recipes.values())
    shared_by_all = {json.dumps(one.model_dump(mode="json", exclude=own | length)) for one in recipes.values()}
    assert len(shared_by_all) == 1
    # what was guided says so
    assert {name for name, recipe in recipes.items() if recipe.attention} == {
        name for name in recipes if "guided" in name
    }
    # every system of blocks that an image encoder can start, and no other
    can = {name: find(system.model or name).encoder is not None for name, system in shared.trainings.items()}
    assert {name: system.start for name, system in shared.trainings.items()} == can
    # teachers come before who learns from them
    order = list(shared.trainings)
    assert all(order.index(s.teacher) < order.index(name) for name, s in shared.trainings.items() if s.teacher)
    for name, recipe in recipes.items():
        resolve_config(shared.trainings[name].model or name, **recipe.model_options)


def test_the_race_begins_with_what_tables_are_about() -> None:
    shared = Catalog("photos").tier.shared
    assert shared is not None and shared.repeated is not None
    names = list(shared.trainings)
    first = ["sharpose", "vitpose", "sharpose", "keypoint-vit", "evit", "dynamicvit", "hrnet", "simple-baseline"]
    assert [name.partition("-nano")[0] for name in names[:8]] == first
    assert shared.repeated.systems == names[:6] and names[len(shared.systems)] == f"{names[0]}-seed1"
    assert shared.first_of(f"{names[0]}-seed1") == names[0] and shared.first_of(names[0]) == names[0]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("judged_on: photos-val", "judged_on: photos-vall", "'photos-vall' is not among validate_on"),
        ("pelota: ap,", "pelotta: ap,", "no data set is called 'pelotta'; did you mean 'pelota'?"),
        ("      start: photos/start\n", "", "this budget names no `start`"),
        ("starts: label-free", "starts: radnom", "starts = 'radnom' does not work"),
    ],
)
def test_mistakes_are_one_line(old: str, new: str, said: str, tmp_path: Path) -> None:
    text = (FOLDER / "tiers.yaml").read_text()
    assert old in text[text.index("  photos:") :]
    place = text.index("  photos:")
    (tmp_path / "tiers.yaml").write_text(text[:place] + text[place:].replace(old, new, 1))
    with pytest.raises(SpecError, match=said.replace("(", r"\(")):
        Catalog("photos", Places(tiers=tmp_path / "tiers.yaml"))


def test_the_mean_pose_is_of_all_training_people(tmp_path: Path) -> None:
    from PIL import Image

    from sharpose.data.coco import CocoTopDown
    from sharpose.evaluation.mean_pose import mean_pose_control
    from sharpose.pose.skeleton import COCO_CATEGORY

    def people(name: str, x: int) -> Path:
        points = [value for _ in range(17) for value in (x, 20, 2)]
        rows = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 40, 40], "keypoints": points}]
        content = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": rows, "categories": [COCO_CATEGORY]}
        (tmp_path / name).write_text(json.dumps(content))
        return tmp_path / name

    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    files = [people("a.json", 10), people("b.json", 30)]
    dataset = CocoTopDown(files[0], tmp_path, image_size=(128, 96))
    assert mean_pose_control(files[0], dataset)[0]["keypoints"][:2] == [10, 20]
    assert mean_pose_control(files, dataset)[0]["keypoints"][:2] == [20, 20]


def test_a_constant_map_is_the_mean_over_the_first_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARPOSE_PHOTOS", str(write_photographs(tmp_path)))
    catalog = open_catalog("photos")
    found = first_source(catalog, "photos-train", lambda done, total: None)
    assert found.annotations == tmp_path / "people/person_keypoints_train.json" and found.images.is_dir()
    alone = first_source(catalog, "photos-val", lambda done, total: None)
    assert alone.annotations == tmp_path / "people/person_keypoints_holdout.json"
