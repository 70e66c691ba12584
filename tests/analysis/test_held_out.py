"""A threshold chosen on some people and reported on others: the sentence, from numbers that are known."""

from __future__ import annotations

from analysis.gate.gate import Gate
from analysis.tables.held_out import reported, row_text
from tests.analysis.test_gate import make

FACTS = {"threshold": 0.9, "exited": 25.1, "minus_all": -0.2, "minus_all_low": -0.36, "minus_all_high": 0.02}
FACTS |= {"minus_random": 0.8, "minus_random_low": 0.25, "minus_random_high": 0.99}


def test_both_choices_are_said_with_their_intervals() -> None:
    said = row_text("A", {"cheapest": FACTS, "best": FACTS})
    assert said.startswith("A: the cheapest within 0.3 AP lets 25.1 % exit early for -0.20 [-0.36, +0.02] AP")
    assert said.endswith("lets 25.1 % exit early, +0.80 [+0.25, +0.99] AP above them")
    assert "cheapest" not in row_text("A", {"cheapest": None, "best": FACTS})


def test_what_is_reported_is_of_the_people_it_is_reported_on() -> None:
    people = make(1)
    facts = reported(Gate(people, resamples=50), 0.9)
    assert facts["exited"] == 100 * (1 - (people.quality < 0.9).mean())
    assert facts["minus_random_low"] <= facts["minus_random"] <= facts["minus_random_high"] and facts["minus_all"] <= 0
