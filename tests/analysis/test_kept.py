"""How many patches people took, and what that costs."""

from __future__ import annotations

import pytest

from analysis.tables.cell_text import kept_text
from analysis.tables.kept import expected_macs, kept_people, mean_kept
from analysis.tables.lines import Line
from experiments.cells.cells import model_identity
from experiments.spec.reading import load_spec
from experiments.spec.spec import FOLDER
from results.records import Record
from sharpose.models.registry import closed_form, resolve_config

NAME = "sharpose-nano-128x96"
BEYOND = load_spec(FOLDER / "beyond.yaml")


def line(label: str, metrics: dict | None, model: str = NAME) -> Line:
    row = next(row for row in BEYOND.spec.rows if row.label == label)
    options = BEYOND.settings(row).options
    identity = {"measure": "accuracy", "model": model_identity(model, options)}
    found = {} if metrics is None else {"accuracy": Record(identity, metrics, "beyond", label, "nano")}
    return Line(row, {}, found)


def everyone(**options: object) -> int:
    cost = closed_form(resolve_config(NAME, **options))
    assert cost is not None
    return cost.fvcore


def test_people_with_their_own_numbers():
    one = line("alpha_mass: 0.7", {"refine_rate": 1.0, "people": 4, "kept_patches": {"18": 3, "24": 1}})
    assert kept_people(one) == {18: 3, 24: 1} and mean_kept(one) == 19.5
    assert kept_text(one) == "19.5 (18 to 24)"
    assert expected_macs(BEYOND, one) == pytest.approx((3 * everyone(alpha=0.375) + everyone(alpha=0.5)) / 4)


def test_a_fixed_number_follows_from_the_configuration():
    one = line("α = 0.4", {"refine_rate": 0.5, "people": 10})
    assert kept_people(one) == {20: 5} and kept_text(one) == "20.0"
    coarse = everyone(stages="coarse")
    assert expected_macs(BEYOND, one) == pytest.approx((everyone(alpha=0.4) + coarse) / 2)
    merged = line("fine_merge: 8", {"refine_rate": 1.0, "people": 10})
    assert expected_macs(BEYOND, merged) == everyone(alpha=0.4, fine_merge=8) < everyone(alpha=0.4)


@pytest.mark.parametrize(
    "metrics", [None, {"refine_rate": None, "people": 3}, {"refine_rate": 0.0, "people": 3, "kept_patches": None}]
)
def test_nothing_measured_is_a_dash(metrics):
    one = line("α = 0.4", metrics)
    assert kept_text(one) is None and expected_macs(BEYOND, one) is None and mean_kept(one) is None


def test_another_number_of_patches_stands_for_none():
    one = line("α = 0.4", {"refine_rate": 1.0, "people": 3}, "sharpose-nano-192x144")
    assert mean_kept(one) == 44 and expected_macs(BEYOND, one) is None
