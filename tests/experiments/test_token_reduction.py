"""The study of token reduction: whose speed is set against whose, and what the log says in a table and a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.tools import token_reduction as study
from experiments.tools.module import Timing
from results.logs import add_lines, read_lines
from sharpose.models import resolve_config
from sharpose.runtime.errors import InputError


def test_every_system_at_every_size_and_picture() -> None:
    for system in (study.WHOLE, *study.REDUCING):
        for size in ("small", "base"):
            for picture, sides in (("256x192", (256, 192)), ("384x288", (384, 288))):
                name, options = study.model_of(system, size, picture)
                assert resolve_config(name, **options).image_size == sides
    with pytest.raises(InputError, match=r"--size huge: keypoint-vit has no such size"):
        study.model_of("keypoint-vit", "huge", "256x192")


@pytest.mark.slow
def test_a_line_at_tiny_size() -> None:
    line = study.measure("nano", "128x96", 2, "unfused", Timing("cpu", 1, 1))
    assert list(line["systems"]) == ["keypoint-vit", "sharpose", "evit", "dynamicvit", "tome"]
    assert line["threads"] == 1 and line["matmul_macs_per_s"] > 0
    whole = line["systems"]["keypoint-vit"]
    assert set(whole["times_as_fast"].values()) == {1.0}
    for system in study.REDUCING:
        found = line["systems"][system]
        assert found["times_as_fast"]["macs"] == whole["macs"] / found["macs"] > 1
        assert found["times_as_fast"]["measured"] == pytest.approx(
            whole["samples_ms"][0] / found["samples_ms"][0], 0.01
        )


def line(batch: int, measured: float, device: str = "one") -> dict[str, Any]:
    """A line in which all systems are alike."""
    ratios = {"macs": 1.5, "roofline": 1.25, "measured": measured}
    key = {"device": device, "threads": 1, "size": "small", "picture": "256x192", "attention": "fused"}
    return {**key, "batch": batch, "systems": {name: {"times_as_fast": ratios} for name in study.REDUCING}}


def test_table_and_sentence(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with pytest.raises(InputError, match=r"log.jsonl is not there"):
        read_lines(path)
    add_lines(path, [line(1, 2.0), line(1, 0.75)])
    add_lines(path, [line(4, 1.2) | {"throttled": True}])
    assert len(read_lines(path)) == 3
    lines = read_lines(path, study.MEASURES_THE_SAME)
    # of two lines of the same, the later
    assert [one["systems"]["tome"]["times_as_fast"]["measured"] for one in lines] == [0.75, 1.2]
    assert study.table(lines).splitlines()[3].startswith("| small | 256x192 | 4 | fused ‡ | 1.50")
    assert study.table(lines).splitlines()[2] == (
        "| small | 256x192 | 1 | fused |" + " 1.50 / 1.25 / **0.75** |" * len(study.REDUCING)
    )
    assert study.sentence(lines) == (
        "Token reduction pays (at least 1.05 times as fast) at batch 1 in 0 of 4 cases, with 50% of the speed-up that "
        "multiply-adds predict and 60% of the roofline's (medians); at batch 4 in 4 of 4 cases, with 80% of the "
        "speed-up that multiply-adds predict and 96% of the roofline's (medians)."
    )
