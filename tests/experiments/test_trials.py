"""Trainings that are compared: each costs the budget, and is a line of the log."""

import argparse
import json
from pathlib import Path

import pytest

from experiments.tools import trials
from experiments.tools.trials import BOTH_CROPS, COARSE_CROPS, STUDIES, Recipes, Starts, recipe_changes
from sharpose.runtime.errors import InputError
from sharpose.training.recipe import Recipe, load_recipe

RECIPES = STUDIES["recipes"]
assert isinstance(RECIPES, Recipes)


@pytest.mark.parametrize("name", RECIPES.trials)
def test_every_variant_is_a_recipe_that_costs_the_budget(name: str) -> None:
    recipe = Recipe.model_validate({**load_recipe("nano").model_dump(), **recipe_changes(600, **RECIPES.trials[name])})
    coarse, crops = recipe.coarse_only_epochs * RECIPES.people, recipe.epochs * RECIPES.people
    assert coarse / COARSE_CROPS + (crops - coarse) / BOTH_CROPS == pytest.approx(600, rel=1e-3)
    assert recipe.coarse_only_epochs <= recipe.quality_start_epoch < recipe.epochs
    assert recipe.warmup_iterations < crops / recipe.batch_size / 2


def test_nano_itself_keeps_its_shape() -> None:
    nano, made = load_recipe("nano"), recipe_changes(3600)
    for stage in ("coarse_only_epochs", "linear_decay_epochs", "quality_start_epoch"):
        assert made[stage] / made["epochs"] == pytest.approx(getattr(nano, stage) / nano.epochs)


def line(name: str, ap: float, minutes: float = 10) -> dict[str, object]:
    judged = {"coarse": ap - 0.1, "fine": ap}
    return {
        "trial": name,
        "cpu_minutes_wanted": minutes,
        "cpu_s": 600,
        "crops": 32_000,
        "mannequin-val": judged,
        "mannequin-test": {"coarse": 0.0, "fine": 0.123},
    }


def test_the_table_puts_the_best_of_a_budget_first() -> None:
    rows = RECIPES.table([line("long", 0.4, 20), line("worse", 0.2), line("better", 0.3)]).splitlines()[2:]
    assert rows[0] == "| better | 10.0 | 32,000 | 20.0 | 30.0 | 12.3 |"
    assert [row.split(" | ")[0] for row in rows] == ["| better", "| worse", "| long"]


def test_a_line_of_the_log_is_written_for_each_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Recipes, "log", tmp_path / "log.jsonl")
    monkeypatch.setattr(trials, "run_trial", lambda study, chosen, name: line(name, 0.3))
    monkeypatch.setattr("sys.argv", ["trials", "recipes", "--only", "nano", "--only", "batch-16"])
    trials.main()
    written = [json.loads(text)["trial"] for text in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert written == ["nano", "batch-16"]
    assert "| batch-16 |" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["trials", "recipes", "--only", "bach-16"])
    with pytest.raises(InputError, match="did you mean 'batch-16'"):
        trials.main()


@pytest.mark.parametrize(("study", "steps"), [("starts-nano", 1000), ("starts-small", 188)])
def test_every_start_sees_the_same_crops(study: str, steps: int) -> None:
    starts = STUDIES[study]
    assert isinstance(starts, Starts)
    for name in starts.trials:
        asked = starts.request(name, argparse.Namespace(out=Path("runs"), init=None))
        recipe = Recipe.model_validate({**load_recipe(starts.recipe).model_dump(), **asked["changes"]})
        crops = recipe.epochs * starts.people
        assert crops == pytest.approx(starts.crops) and recipe.linear_decay_epochs == recipe.epochs
        assert recipe.model_options["stages"] == "coarse"
        assert recipe.batch_size != 16 or round(crops / 16) == steps


@pytest.mark.parametrize("study", STUDIES)
def test_what_was_measured_is_shown(
    study: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["trials", study, "--show"])
    trials.main()
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 2 + len(STUDIES[study].log.read_text(encoding="utf-8").splitlines())
