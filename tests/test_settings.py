"""`--set`: typed as specs are, refused in one line, and under one rule in every command."""

from __future__ import annotations

from typing import Any

import pytest

from sharpose.cli.app import parse_settings
from sharpose.models.registry import resolve_config
from sharpose.runtime.errors import InputError
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
        ("alpha=2001-12-14", r"alpha = datetime.date\(2001, 12, 14\) does not work: it must be between 0 and 1"),
        ("alpha=.nan", "between 0 and 1"),
        ("alpha=1e400", "between 0 and 1"),
        ("image_size=[100000,100000]", r"image_size = \(100000, 100000\) does not work: .* at most 2048"),
        ("depth=1000000000", "depth = 1000000000 does not work: .* at most 8192"),
        ("alpa=.3", "has no option 'alpa' .did you mean 'alpha'"),
    ],
)
def test_what_no_model_can_be_is_one_line(setting: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve_config(MODEL, **parse_settings([setting]))


def test_a_training_takes_fields_of_recipes_and_options_of_models() -> None:
    usual = chosen_recipe(MODEL, "", {})
    changed = chosen_recipe(MODEL, "", parse_settings(["alpha=.3", "batch_size=3"]))
    assert changed.model_options == {**usual.model_options, "alpha": 0.3} and changed.batch_size == 3
    both = chosen_recipe(MODEL, "", parse_settings(["model_options={depth: 1}", "model.alpha=.2"]))
    assert both.model_options == {"depth": 1, "alpha": 0.2}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("learning_rat=3", "no option 'learning_rat' .did you mean 'learning_rate'"),
        ("alpa=.3", "no option 'alpa' .did you mean 'alpha'"),
        ("epochs=.inf", "--set epochs: .*finite"),
        ("epochs=x", "--set epochs: "),
        ("model_options=3", "--set model_options: "),
    ],
)
def test_a_training_names_what_it_does_not_know(setting: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        chosen_recipe(MODEL, "", parse_settings([setting]))
