"""Filling the tables in spare time: in order, with a budget, resumable, into the folder of the tier."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.cells.cells import cells
from experiments.cells.provenance import Device
from experiments.run.train_missing import Training, parse_duration, train_missing
from experiments.spec.catalog import Catalog, Places
from experiments.spec.reading import load_specs
from experiments.spec.tiers import SharedBudget
from experiments.spec.yamlfile import SpecError
from sharpose.data import cache
from sharpose.models import create_model
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import sha256_of
from sharpose.training.session import chosen_recipe
from sharpose.weights.files import load_weights, save_weights

RECIPE = "{epochs: 2, batch_size: 8, learning_rate: 1.0e-3, warmup_iterations: 1, milestones: [], augment: false}"
SIZES = "embed_dim: 24, num_heads: 4, depth: 6, drop_path: 0.0"
TIERS = """\
tiers:
  nano:
    shared:
      recipe: {recipe}
      data: mannequin-tiny
      start: nano/start
      systems:
        keypoint-vit-nano-128x96: {{start: true, recipe: {{model_options: {{{sizes}}}}}}}
        dynamicvit-nano-128x96:
          teacher: keypoint-vit-nano-128x96
          recipe: {{model_options: {{{sizes}}}}}
        coarse: {{model: sharpose-nano-128x96, start: true, recipe: {{model_options: {{{sizes}, stages: coarse}}}}}}
datasets: {{}}
"""


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    monkeypatch.setenv("SHARPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(cache.NAMED_SETS, "mannequin-tiny", replace(cache.NAMED_SETS["mannequin-tiny"], images=6))
    (tmp_path / "short.yaml").write_text(RECIPE)
    (tmp_path / "tiers.yaml").write_text(TIERS.format(recipe=tmp_path / "short.yaml", sizes=SIZES))
    start = create_model("sharpose-nano-128x96", embed_dim=24, num_heads=4)
    save_weights(start, tmp_path / "weights/nano/start.safetensors", {"model": "sharpose-nano-128x96"})
    return Catalog("nano", Places(weights=tmp_path / "weights", tiers=tmp_path / "tiers.yaml"))


def test_it_trains_in_order_stops_and_goes_on(catalog: Catalog, tmp_path: Path) -> None:
    how = Training(out=tmp_path / "runs", device="cpu")
    first = train_missing("nano", 0.01, how=how, catalog=catalog)
    # a step is always made, so that ever so small budgets end some day
    assert [(one.name, one.state) for one in first] == [
        ("keypoint-vit-nano-128x96", "stopped"),
        ("dynamicvit-nano-128x96", "waiting"),
        ("coarse", "waiting"),
    ]
    assert first[0].note.startswith("out of time at step 1 of ")
    assert [path.name for path in (tmp_path / "runs/keypoint-vit-nano-128x96").glob("step-*")] == ["step-000000001"]

    only = train_missing("nano", 60, ["dynamicvit-nano-128x96"], how, catalog)
    assert [one.state for one in only] == ["waiting"] and "keypoint-vit-nano-128x96" in only[0].note

    rest = train_missing("nano", 60, how=how, catalog=catalog)
    assert [one.state for one in rest] == ["trained"] * 3, rest
    assert [one.state for one in train_missing("nano", 60, how=how, catalog=catalog)] == ["there"] * 3
    folder = catalog.places.weights / "nano"
    manifest = json.loads((folder / "dynamicvit-nano-128x96.json").read_text())
    taught = folder / "keypoint-vit-nano-128x96.safetensors"
    assert manifest["teacher"] == {"file": taught.name, "sha256": sha256_of(taught)} and manifest["init"] is None
    assert {"heatmaps", "ratio", "distilled_tokens"} <= set(manifest["log"][-1])
    begun = json.loads((folder / "coarse.json").read_text())["init"]
    assert begun["sha256"] == sha256_of(folder / "start.safetensors") and begun["taken"]["missing"] == []
    sizes = {"embed_dim": 24, "num_heads": 4, "depth": 6}
    load_weights(create_model("sharpose-nano-128x96", stages="coarse", **sizes), folder / "coarse.safetensors")
    assert str(tmp_path) not in json.dumps(manifest["recipe"])


def test_a_failed_system_does_not_stop_the_others(catalog: Catalog, tmp_path: Path) -> None:
    text = (tmp_path / "tiers.yaml").read_text()
    broken = text.replace(
        "keypoint-vit-nano-128x96: {start: true, recipe: {",
        "keypoint-vit-nano-128x96: {recipe: {learning_rate: 1.0e+30, warmup_iterations: 0, ",
    )
    assert broken != text
    (tmp_path / "tiers.yaml").write_text(broken)
    outcomes = train_missing("nano", 60, how=Training(out=tmp_path / "runs"), catalog=Catalog("nano", catalog.places))
    assert [one.state for one in outcomes] == ["failed", "waiting", "trained"]
    assert "the loss is" in outcomes[0].note


def test_mistakes_are_one_line(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such system; did you mean 'dynamicvit-nano-128x96'"):
        train_missing("nano", 60, ["dynamicvit-nano-128x69"], catalog=catalog)
    with pytest.raises(InputError, match="tier paper has no shared budget"):
        train_missing("paper", 60)
    for text in ("60", "0m", "-1h", "m", "1d"):
        with pytest.raises(InputError, match=r"90s, 60m or 1\.5h"):
            parse_duration(text)
    assert [parse_duration(text) for text in ("90s", "60m", "1.5h")] == [90, 3600, 5400]
    for old, new, said in [
        ("teacher: keypoint", "teacher: keypont", "no system is called 'keypont-vit-nano-128x96'"),
        ("model: sharpose-nano", "model: sharpos-nano", "no model is called 'sharpos-nano-128x96'"),
        (
            "systems:",
            "repeated: {seeds: [1], systems: [corse]}\n      systems:",
            "called 'corse'; did you mean 'coarse'",
        ),
    ]:
        text = (tmp_path / "tiers.yaml").read_text()
        (tmp_path / "broken.yaml").write_text(text.replace(old, new))
        with pytest.raises(SpecError, match=said):
            Catalog("nano", replace(catalog.places, tiers=tmp_path / "broken.yaml"))


RATES = """\
tiers:
  race:
    starts: random
    shared:
      recipe: {recipe}
      data: mannequin-tiny
      validate_on: [mannequin-tiny]
      points: 2
      learning_rates: {{values: [1.0e-3, 1.0e-9, 1.0e+30], crops: 8, judged_on: mannequin-tiny, score: pck}}
      systems:
        one: {{model: keypoint-vit-nano-128x96, recipe: {{warmup_iterations: 1, model_options: {{{sizes}}}}}}}
        other: {{model: keypoint-vit-nano-128x96, recipe: {{model_options: {{{sizes}}}}}}}
      repeated: {{seeds: [1], systems: [one]}}
      afterwards:
        last: {{model: keypoint-vit-nano-128x96, recipe: {{model_options: {{{sizes}}}}}}}
datasets: {{}}
"""


def test_a_learning_rate_is_chosen_in_small_and_kept_for_other_seeds(catalog: Catalog, tmp_path: Path) -> None:
    text = RATES.format(recipe=tmp_path / "short.yaml", sizes=SIZES)
    (tmp_path / "tiers.yaml").write_text(text)
    race, how = Catalog("race", catalog.places), Training(out=tmp_path / "runs", device="cpu")
    assert race.tier.shared is not None
    assert list(race.tier.shared.trainings) == ["one", "other", "one-seed1", "last"]
    waiting = train_missing("race", 60, ["one-seed1"], how, race)
    assert [one.state for one in waiting] == ["waiting"] and "takes the learning rate of one" in waiting[0].note

    done = train_missing("race", 600, ["one", "one-seed1"], how, race)
    assert [(one.name, one.state) for one in done] == [("one", "trained"), ("one-seed1", "trained")], done
    made = json.loads((race.places.weights / "race/one.json").read_text())
    rates = made["learning_rates"]
    assert (rates["judged_on"], rates["score"], rates["crops_each"]) == ("mannequin-tiny", "pck", 8)
    fine, still, wild = rates["tried"]
    assert [one["rate"] for one in rates["tried"]] == [1e-3, 1e-9, 1e30]
    assert set(wild) == {"rate", "failed"} and "not finite" in wild["failed"]
    assert fine["crops"] == still["crops"] == 8 and set(fine) == {"rate", "crops", "ap", "pck"}
    best = max((fine, still), key=lambda one: one["pck"])["rate"]
    assert rates["chosen"] == made["recipe"]["learning_rate"] == best
    # the trainings in small are kept, and in small they are
    small = json.loads((tmp_path / "runs/one/tried-0.001-8/keypoint-vit-nano-128x96.json").read_text())
    assert small["steps"] == 1 and small["recipe"]["epochs"] < made["recipe"]["epochs"] == 2
    # the curve of the whole training: the end, and half of the way to it
    steps = made["steps"]
    assert [row["step"] for row in made["curve"]] == [-(-steps // 2), steps]
    assert set(made["curve"][-1]) == {"step", "crops", "mannequin-tiny_ap", "mannequin-tiny_pck"}
    again = json.loads((race.places.weights / "race/one-seed1.json").read_text())
    assert again["learning_rates"] == {**rates, "chosen_for": "one"} and again["seed"] == 1
    assert again["sha256"] != made["sha256"] and again["recipe"]["learning_rate"] == best
    assert not (tmp_path / "runs/one-seed1/tried-0.001-8").exists()

    # what was tried with another recipe says nothing of this one
    (race.places.weights / "race/one.safetensors").unlink()
    (tmp_path / "tiers.yaml").write_text(text.replace("warmup_iterations: 1", "layer_decay: 0.9"))
    changed = train_missing("race", 60, ["one"], how, Catalog("race", catalog.places))
    assert [one.state for one in changed] == ["failed"]
    assert "and is 0.9 now; remove" in changed[0].note


def test_a_start_that_is_not_here_is_a_systems_failure(catalog: Catalog, tmp_path: Path) -> None:
    (catalog.places.weights / "nano/start.safetensors").unlink()
    outcomes = train_missing("nano", 60, ["coarse"], Training(out=tmp_path / "runs"), catalog)
    assert [one.state for one in outcomes] == ["failed"] and "no weights of nano/start" in outcomes[0].note


def nano_budget() -> SharedBudget:
    shared = Catalog("nano").tier.shared
    assert shared is not None
    return shared


def test_every_table_that_shares_a_budget_can_be_filled(tmp_path: Path) -> None:
    catalog = Catalog("nano", Places(weights=tmp_path))
    every = [cell for loaded in load_specs((), "nano") for cell in cells(loaded, catalog, Device("cpu", "Some CPU", 2))]
    lacking = [cell for cell in every if (cell.blocked or "").startswith("no weights of")]
    names = {cell.blocked.split()[3]: cell for cell in lacking if cell.blocked is not None}
    listed = set(nano_budget().trainings)
    assert len(set(names) & listed) >= 9
    # what is not listed are further trainings alone, and the way out that is named is true of each
    assert all(cell.seed for name, cell in names.items() if name not in listed)
    assert all(("train-missing" in (cell.blocked or "")) == (name in listed) for name, cell in names.items())


def test_repeated_systems_differ_in_their_seed_alone() -> None:
    shared = nano_budget()
    assert shared.repeated is not None
    for name in shared.repeated.systems:
        first = shared.trainings[name].model_copy(update={"model": shared.trainings[name].model or name})
        again = [shared.trainings[f"{name}-seed{seed}"] for seed in shared.repeated.seeds]
        assert [one.seed for one in again] == shared.repeated.seeds == [1, 2]
        assert all(one.model_copy(update={"seed": 0}) == first for one in again)
    # every system once comes before any of them again
    assert list(shared.trainings)[: len(shared.systems)] == list(shared.systems)


def test_every_system_sees_the_same_crops() -> None:
    shared = nano_budget()
    recipes = {
        name: chosen_recipe(system.model or name, shared.recipe, system.recipe)
        for name, system in shared.trainings.items()
    }
    own = {"model_options", "keep_rate_schedule", "teacher"}
    assert len({json.dumps(recipe.model_dump(mode="json", exclude=own)) for recipe in recipes.values()}) == 1
    for name, system in shared.trainings.items():
        model = create_model(system.model or name, **recipes[name].model_options)
        assert 2 * sum(value.numel() for value in model.state_dict().values()) < 5e6, name
