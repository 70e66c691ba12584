"""The runner of conformance cases: it must not pass what it should not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from experiments.conformance.run import closing_line, run_case, run_cases
from sharpose.runtime.errors import InputError


@pytest.mark.parametrize("case", ["sharpose_single_head", "sharpose_two_layer_head"])
def test_sharpose_equals_the_reference(golden: Callable[[str], Path], case: str) -> None:
    verdict = run_case(golden(case))
    assert verdict.status == "passed", verdict.line
    assert verdict.comparisons >= 30


def test_every_case_of_the_repository_passes() -> None:
    verdicts = run_cases(Path(__file__).resolve().parents[2] / "golden")
    assert len(verdicts) >= 8
    assert [verdict.line for verdict in verdicts if verdict.status != "passed"] == []


def copied(shared: Path, tmp_path: Path) -> Path:
    target = tmp_path / "case"
    shutil.copytree(shared / "golden" / "sharpose_single_head", target, copy_function=shutil.copyfile)
    target.chmod(0o755)
    return target


def test_a_changed_expectation_fails(shared: Path, tmp_path: Path) -> None:
    case = copied(shared, tmp_path)
    tensors = load_file(case / "tensors.safetensors")
    tensors["out.v2.final_heatmaps"][0, 0, 0, 0] += 0.01
    save_file(tensors, case / "tensors.safetensors")
    verdict = run_case(case)
    assert verdict.status == "FAILED" and verdict.worst.name == "v2.final_heatmaps"


def test_not_a_number_fails(shared: Path, tmp_path: Path) -> None:
    case = copied(shared, tmp_path)
    weights = load_file(case / "weights.safetensors")
    weights["keypoint_head.heatmap_mlp.1.bias"][0] = torch.nan
    save_file(weights, case / "weights.safetensors")
    assert run_case(case).status == "FAILED"


def test_a_missing_weight_fails_and_the_others_still_run(shared: Path, tmp_path: Path) -> None:
    case = copied(shared, tmp_path)
    weights = load_file(case / "weights.safetensors")
    del weights["backbone.norm.bias"]
    save_file(weights, case / "weights.safetensors")
    other = tmp_path / "unknown"
    other.mkdir()
    (other / "case.json").write_text(json.dumps({"system": "Perceiver", "config": {}}))
    verdicts = run_cases(tmp_path)
    assert [verdict.status for verdict in verdicts] == ["FAILED", "skipped"]
    assert "norm.bias" in verdicts[0].line
    assert closing_line(verdicts) == "0 passed, 1 failed, 1 skipped (no such system yet)"


def test_a_folder_without_cases_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no conformance cases here"):
        run_cases(tmp_path)


def test_a_broken_case_file_fails(tmp_path: Path) -> None:
    (tmp_path / "case.json").write_text('{"system": ')
    verdict = run_case(tmp_path)
    assert verdict.status == "FAILED" and "case.json" in verdict.line
