"""`--set`: typed as specs are, refused in one line, and under one rule in every command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from experiments.spec.reading import load_spec
from experiments.spec.yamlfile import YamlFile
from sharpose.cli.app import parse_settings
from sharpose.models.registry import resolve_config
from sharpose.runtime.errors import InputError
from sharpose.runtime.plain_yaml import option_value
from sharpose.training.recipe import load_recipe
from sharpose.training.session import chosen_recipe

MODEL = "sharpose-nano-128x96"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (".3", 0.3),
        ("3e-1", 0.3),
        ("5e-01", 0.5),
        ("+.5E+0", 0.5),
        ("1.e2", 100.0),
        ("7", 7),
        ("none", None),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ("release", "release"),
        ("e5", "e5"),
        ("true", True),
    ],
)
def test_values_are_typed(text: str, value: Any) -> None:
    for name in ("alpha", "model.alpha"):
        parsed = parse_settings([f"{name}={text}"])["alpha"]
        assert parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize(
    "setting",
    [
        "alpha",
        "=3",
        "alpha={",
        "alpha=" + "[" * 3000,
        "alpha=" + "9" * 5000,
        "alpha=" + "1," * 200000,
        "alpha=[&a 1, *a]",
        "alpha=2001-13-45",
        "alpha=!!python/object:os.system x",
        "alpha={[1]: 2}",
        "alpha=\x00",
        "alpha=? [a]",
    ],
)
def test_what_cannot_be_read_is_one_line(setting: str) -> None:
    with pytest.raises(InputError, match="--set") as caught:
        parse_settings([setting])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("alpha=2001-12-14", r"alpha = datetime.date\(2001, 12, 14\) does not work: it must be a valid number"),
        ("alpha=.nan", "a finite number"),
        ("alpha=1e400", "a finite number"),
        ("alpha=1.2", "alpha = 1.2 does not work: it must be less than or equal to 1"),
        ("image_size=[100000,100000]", r"image_size = \(100000, 100000\) .*: it must be less than or equal to 2048"),
        ("depth=1000000000", "depth = 1000000000 does not work: it must be less than or equal to 8192"),
        ("alpa=.3", "has no option 'alpa'; did you mean 'alpha'"),
    ],
)
def test_what_no_model_can_be_is_one_line(setting: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve_config(MODEL, **parse_settings([setting]))


def test_a_name_that_is_given_twice_is_one_line() -> None:
    with pytest.raises(InputError, match="--set alpha: is given twice"):
        parse_settings(["alpha=.3", "model.alpha=.4"])
    with pytest.raises(InputError, match=r"--slurm 'time' does not work: .*--slurm alpha"):
        parse_settings(["time"], "--slurm")


@pytest.mark.parametrize(
    "text", [".3", "3e-1", "none", "null", "[1, 2]", "release", "true", "2001-12-14", "'.3'", "1_000", "0x10"]
)
def test_a_value_is_the_same_in_every_place(text: str, tmp_path: Path) -> None:
    """What `--set` reads is what a spec's row and a recipe read."""
    wanted = parse_settings([f"alpha={text}"])["alpha"]
    spec, recipe = tmp_path / "mine.yaml", tmp_path / "recipe.yaml"
    spec.write_text(f"rows: [{{set: {{model.alpha: {text}}}}}]")
    recipe.write_text(f"model_options: {{alpha: {text}}}")
    read = option_value(YamlFile(spec).content["rows"][0]["set"]["model.alpha"])
    assert read == wanted and type(read) is type(wanted)
    read = option_value(load_recipe(recipe).model_options["alpha"])
    assert read == wanted and type(read) is type(wanted)


@pytest.mark.parametrize("name", ["alpa", "quality_treshold"])
def test_the_nearest_name_is_the_same_in_every_place(name: str, tmp_path: Path) -> None:
    spec, said = tmp_path / "mine.yaml", []
    spec.write_text(
        f"title: mine\nbase: {{model: {MODEL}, model.{name}: 1}}\nmeasure: [cost]\ncolumns: [gflops]\n"
        "rows: [{label: a}]\n"
    )
    for read in (
        lambda: resolve_config(MODEL, **parse_settings([f"{name}=1"])),
        lambda: chosen_recipe(MODEL, "", parse_settings([f"{name}=1"])),
        lambda: load_spec(spec),
    ):
        with pytest.raises(InputError, match=f"{MODEL} has no option {name!r}") as caught:
            read()
        said.append(re.search(r"did you mean '(\w+)'", str(caught.value)))
    assert {found[1] for found in said if found} == {"alpha" if name == "alpa" else "quality_threshold"}
    assert all(said)


def test_a_recipe_with_a_key_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("epochs: 1\nepochs: 2\n")
    with pytest.raises(InputError, match=r"recipe.yaml: not YAML .*key 'epochs' is given twice"):
        load_recipe(path)


def test_none_is_nothing_in_a_spec(tmp_path: Path) -> None:
    spec = tmp_path / "mine.yaml"
    spec.write_text(
        f"title: mine\nbase: {{model: {MODEL}, model.quality_threshold: none}}\nmeasure: [cost]\ncolumns: [gflops]\n"
        "rows: [{label: a}]\n"
    )
    loaded = load_spec(spec)
    assert loaded.settings(loaded.spec.rows[0]).options == {"quality_threshold": None}


def test_a_training_takes_fields_of_recipes_and_options_of_models() -> None:
    usual = chosen_recipe(MODEL, "", {})
    changed = chosen_recipe(MODEL, "", parse_settings(["alpha=.3", "batch_size=3"]))
    assert changed.model_options == {**usual.model_options, "alpha": 0.3} and changed.batch_size == 3
    both = chosen_recipe(MODEL, "", parse_settings(["model_options={depth: 1}", "model.alpha=.2"]))
    assert both.model_options == {"depth": 1, "alpha": 0.2}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("learning_rat=3", "no option 'learning_rat'; did you mean 'learning_rate'"),
        ("alpa=.3", "no option 'alpa'; did you mean 'alpha'"),
        ("epochs=.inf", "--set epochs: .*finite"),
        ("epochs=x", "--set epochs: "),
        ("model_options=3", "--set model_options: "),
    ],
)
def test_a_training_names_what_it_does_not_know(setting: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        chosen_recipe(MODEL, "", parse_settings([setting]))
