"""`sharpose bench --accuracy`: AP, time, size and multiply-adds of one file on one back-end, in one row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sharpose.efficiency.variants import Variant, build_network
from sharpose.models import create_model
from sharpose.runtime.errors import InputError
from sharpose.weights.files import save_weights
from tests.command_line import call
from tests.evaluation.test_coco import write_people

NAME, TINY = "sharpose-nano-128x96", "depth=1"


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_weights(create_model(NAME, depth=1), tmp_path / "tiny.safetensors", {"model": NAME})
    return tmp_path / "tiny.safetensors"


def test_a_row_holds_accuracy_and_time_of_one_file(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: dict[str, Variant] = {}

    def measure_bench(variants: dict[str, Variant], **how: Any) -> dict[str, dict[str, Any]]:
        timed.update(variants)
        figures = dict.fromkeys(
            ("images_per_s", "latency_ms_p50", "latency_ms_p90", "cpu_s_per_image", "share_of_matmul_rate", "macs"), 1.0
        )
        return {label: {**figures, "joules_per_image": None, "noisy": 0, "throttled": None} for label in variants}

    monkeypatch.setattr("sharpose.efficiency.bench.measure_bench", measure_bench)
    people = write_people(tmp_path)
    where = ["--data", str(people), "--images", str(tmp_path)]
    how = ["--set", TINY, "--weights", str(trained), "--rounds", "1", "--batch", "1", "--batch", "2"]
    code, out, err = call(capsys, "bench", NAME, *where, *how, "--accuracy", "--json")
    assert code == 0, err
    rows = json.loads(out)
    code, out, err = call(
        capsys, "evaluate", "--model", NAME, "--data", str(people), "--images", str(tmp_path), "--set", TINY,
        "--set", "quality_threshold=null", "--weights", str(trained), "--json",
    )  # fmt: skip
    assert code == 0, err
    alone = json.loads(out)
    # the very file is timed, in batches of both sizes
    assert [(one.weights, one.batch_size) for one in timed.values()] == [(trained, 1), (trained, 2)] and len(rows) == 2
    for row in rows.values():
        assert {name: row[name] for name in ("ap", "ap_low", "ap_high", "weights_sha256")} == {
            name: alone[name] for name in ("ap", "ap_low", "ap_high", "weights_sha256")
        }
        assert row["weights_mb"] == trained.stat().st_size / 1e6


def test_weights_of_another_model_are_refused(trained: Path) -> None:
    with pytest.raises(InputError, match="tiny"):
        build_network(Variant("vitpose-nano-128x96", weights=trained), "cpu", 1)
