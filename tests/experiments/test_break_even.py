"""How many people until a one-stage model is faster: one line measured at tiny size, and the table made of it."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from experiments.tools import break_even
from experiments.tools.module import Timing
from sharpose.runtime.errors import InputError


def test_people_are_what_is_left_after_the_detector() -> None:
    ms = {"sharpose-small-256x192": 20.0, "yolo11s-pose": 100.0, "yolo11n-pose": 30.0}
    ms |= dict(zip(break_even.DETECTORS, (40.0, 10.0), strict=True))
    *rows, _, last = break_even.table({"ms": ms}).splitlines()
    assert rows[0].endswith("| sharpose-small-256x192, AP 74.2: 20 ms a person |")
    assert rows[2:] == ["| yolo11n-pose | 50.0 | 30 | 0.0 / 1.0 |", "| yolo11s-pose | 58.9 | 100 | 3.0 / 4.5 |"]
    first, fast = break_even.DETECTORS
    assert last == f"Detectors: 40 ms ({first}) / 10 ms ({fast}) a picture."


def test_a_line_at_tiny_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(break_even, "PICTURE", (64, 64))
    line = break_even.measure(["sharpose-nano-128x96"], [], Timing("cpu", 3, 1))
    assert set(line["ms"]) == {"sharpose-nano-128x96", *break_even.DETECTORS}
    for name, samples in line["samples_ms"].items():
        assert len(samples) == 3
        assert sorted(samples)[1] == pytest.approx(line["ms"][name], abs=1e-3)
    assert (line["threads"], line["picture"]) == (1, [64, 64])


@pytest.mark.skipif(find_spec("ultralytics") is not None, reason="ultralytics is installed")
def test_a_package_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="pip install ultralytics"):
        break_even.yolo("yolo11n-pose")
