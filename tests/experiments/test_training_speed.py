"""How fast a model learns, at tiny size: what a line of the log says, and the table made of it."""

from __future__ import annotations

import pytest

from experiments.tools.module import Timing
from experiments.tools.training_speed import measure, table
from sharpose.efficiency import machine
from sharpose.efficiency.cost import measure_cost
from sharpose.runtime.errors import InputError

MODEL, RECIPE = "sharpose-nano-128x96", "photos-nano"


def test_a_line_per_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    # without instructions for it, a large matmul in bf16 takes long
    monkeypatch.setitem(machine.MATMUL_SIZE, "cpu", 128)
    lines = measure(MODEL, RECIPE, None, Timing("cpu", 1, 1))
    assert [line["precision"] for line in lines] == ["no", "bf16"]
    for line in lines:
        assert line["macs_per_crop"] == 3 * measure_cost(MODEL)["macs_torch_executed"]
        rate = line["macs_per_crop"] * line["crops_per_s"] / line["matmul_macs_per_s"]
        assert line["share_of_matmul_rate"] == pytest.approx(rate)
        assert (line["batch"], line["threads"], line["clock"], line["loader"]) == (16, 1, "cpu_s", None)


def test_the_table_names_precisions_as_elsewhere() -> None:
    made = {"crops_per_s_per_core": 99.6, "crops_per_s_per_core_preloaded": 250.2}
    line = {"model": "m", "precision": "no", "crops_per_s": 9.44, "share_of_matmul_rate": 0.715, "loader": made}
    *_, first, second = table([line, {**line, "precision": "bf16", "loader": None}]).splitlines()
    assert first == "| m | fp32 | 9.4 | 72% | 100 (250) |"
    assert second == "| m | bf16 | 9.4 | 72% | – |"


def test_what_is_not_there() -> None:
    with pytest.raises(InputError, match="no such people"):
        measure(MODEL, RECIPE, "no such people", Timing("cpu", 1, 1))
    with pytest.raises(InputError, match="--rounds"):
        Timing("cpu", 0)
