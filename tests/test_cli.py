"""The command line as a user meets it: results, one-line errors, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from sharpose.data.mannequin import annotations_path, detections_path, images_path
from sharpose.runtime.files import sha256_of
from tests.command_line import call


def test_help_of_every_command_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "--help")
    for command in (
        "models",
        "cost",
        "conformance",
        "data",
        "train",
        "train-missing",
        "evaluate",
        "bench",
        "run",
        "fill",
        "table",
        "status",
    ):
        assert command in out
        arguments = [command, "mannequin"] if command == "data" else [command]
        code, text, _ = call(capsys, *arguments, "--help")
        assert code == 0 and "Example: sharpose" in text and "--json" in text, command


def test_models_and_cost_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "models", "--json")
    assert code == 0 and json.loads(out)["sharpose-base-256x192"]["embed_dim"] == 768
    code, out, _ = call(capsys, "cost", "sharpose-nano-128x96", "--set", "alpha=.3", "--json")
    row = json.loads(out)["sharpose-nano-128x96"]
    assert code == 0 and row["disagreement"] < 1e-3
    assert row["macs_closed_form"] == pytest.approx(row["macs_torch"], rel=1e-3)


def test_models_and_cost_need_no_checkout(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("sharpose.cli.app"), "ROOT", tmp_path)
    code, out, err = call(capsys, "models")
    line = next(line for line in out.splitlines() if line.startswith("sharpose-base-256x192"))
    assert (code, err) == (0, "") and line.split()[1:4] == ["256x192", "94.12", "17.059"]
    code, out, _ = call(capsys, "cost", "sharpose-nano-128x96", "--json")
    assert code == 0 and json.loads(out)["sharpose-nano-128x96"]["macs_closed_form"] > 0
    code, _, err = call(capsys, "table", "6")
    assert code == 2 and "run it from a checkout" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cost", "sharpose-bsae-256x192"], "did you mean 'sharpose-base-256x192'"),
        (["cost", "sharpose-base-256x192", "--set", "alpha=2"], "alpha = 2"),
        (["cost", "sharpose-base-256x192", "--set", "alpha"], "NAME=VALUE"),
        (["cost", "sharpose-nano-128x96", "--set", "alpha_mass=.5"], "depends on the image"),
        (["choose-operating-point", "--latency-ms", "0"], "--latency-ms 0"),
        (["choose-operating-point", "--latency-ms", "9", "--rows", "figure6"], "at several α"),
        (["choose-operating-point", "--latency-ms", "9", "--model", "vitpose-nano-128x96"], "no coarse and fine stage"),
        (["choose-operating-point", "--latency-ms", "9", "--device", "gpu"], "it must be cpu or cuda"),
        (["run", "nowhere.yaml"], "nowhere.yaml"),
        (["table", "99"], "99"),
        (["conformance", "nowhere"], "nowhere"),
        (["train", "--model", "sharpose-nano-128x96", "--data", "nowhere.json", "--out", "x"], "nowhere.json"),
        (["train-missing", "--budget", "soon"], "--budget 'soon'"),
        (["train-missing", "--only", "hrnet"], "no such system"),
        (["evaluate", "--model", "sharpose-nano-128x96"], "--annotations"),
        (["evaluate", "--model", "sharpose-base-256x192", "--data", "mannequin-tiny"], "no trained weights"),
        (["evaluate", "--model", "sharpose-nano-128x96", "--data", "x", "--nms", "harder"], "hard, soft, none"),
        (["evaluate", "--model", "sharpose-nano-128x96", "--data", "x", "--evaluator", "best"], "pycocotools, hotcoco"),
        (["evaluate", "--model", "sharpose-nano-128x96", "--data", "x", "--oks-threshold", "0"], "oks_threshold"),
        (["evaluate", "--model", "sharpose-nano-128x96", "--data", "x", "--device", "gpu"], "it must be cpu or cuda"),
        (
            ["predict", ".", "--model", "sharpose-nano-128x96", "--out", "x", "--device", "cuda:99"],
            "no such CUDA device",
        ),
        (["bench", "sharpose-nano-128x96", "--precision", "fp7"], "fp7"),
        (["status", "--tier", "pico"], "pico"),
        (["fill", "--budget", "25x"], "90s, 60m or 1.5h"),
        (["fill", "--measure", "beauty"], "beauty"),
        (["data", "mannequin", "--difficulty", "7"], "difficulty"),
        (["data", "mannequin", "--version", "3"], "--version 3: there are versions 1, 2 of the generator"),
        (["data", "describe", "no-such-file.json"], "no-such-file.json: no such file"),
        (["data", "mannequin", "--name", "mannequin-trian"], "mannequin-train"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code, _, err = call(capsys, *arguments)
    assert code == 2 and message in err
    assert len(err.strip().splitlines()) == 1 and "Traceback" not in err


def test_unknown_options_are_code_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sharpose.cli", "cost", "--nonsense"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_train_then_evaluate_with_both_kinds_of_boxes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    people = tmp_path / "people"
    code, out, _ = call(
        capsys, "data", "mannequin", "--out", str(people), "--split", "train", "--images", "6", "--seed", "9", "--json"
    )
    assert code == 0 and json.loads(out)["counts"]["images"] == 6
    annotations, images = str(annotations_path(people, "train")), str(images_path(people, "train"))
    code, out, err = call(
        capsys, "train", "--model", "sharpose-nano-128x96", "--data", annotations, "--images", images,
        "--out", str(tmp_path / "run"), "--set", "epochs=2", "--set", "batch_size=4", "--json",
    )  # fmt: skip
    assert code == 0, err
    facts = json.loads(out)
    evaluate = ["evaluate", "--model", "sharpose-nano-128x96", "--weights", facts["weights"]]
    evaluate += ["--annotations", annotations, "--images", images, "--json"]
    saved = tmp_path / "results.json"
    code, out, err = call(capsys, *evaluate, "--save-results", str(saved))
    assert code == 0, err
    summary = json.loads(out)
    assert 0 <= summary["ap_low"] <= summary["ap_high"] <= 1
    assert summary["people"] == summary["annotated_people"] == len(json.loads(saved.read_text()))
    code, out, err = call(capsys, *evaluate, "--boxes", str(detections_path(people, "train")))
    assert code == 0, err
    assert json.loads(out)["boxes_sha256"]


def test_real_photographs_with_both_kinds_of_boxes(capsys: pytest.CaptureFixture[str], shared: Path) -> None:
    coco = shared / "data" / "coco_mini"
    boxes = coco / "annotations" / "detections_val2017_AP_H_56.json"
    evaluate = ["evaluate", "--model", "sharpose-nano-128x96", "--no-flip-test", "--json"]
    evaluate += ["--annotations", str(coco / "annotations" / "person_keypoints_val2017.json")]
    evaluate += ["--images", str(coco / "val2017")]
    code, out, err = call(capsys, *evaluate)
    assert code == 0, err
    truth = json.loads(out)
    assert (truth["people"], truth["images_with_boxes"], truth["annotated_people"]) == (73, 35, 73)
    assert truth["boxes_ap"] is None and truth["boxes_sha256"] is None
    # generated people alone were learnt from, so a little is found on photographs, and not by chance
    assert 0.005 < truth["ap"] < 0.15
    code, out, err = call(capsys, *evaluate, "--boxes", str(boxes))
    assert code == 0, err
    detected = json.loads(out)
    assert (detected["people"], detected["images_with_boxes"], detected["images"]) == (118, 4, 35)
    assert detected["boxes_ap"] == pytest.approx(0.102, abs=0.001)
    assert detected["boxes_sha256"] == sha256_of(boxes)
    assert (detected["nms"], detected["oks_threshold"], detected["keypoint_threshold"]) == ("hard", 0.9, 0.2)
    code, out, err = call(capsys, *evaluate, "--boxes", str(boxes), "--nms", "soft", "--evaluator", "hotcoco")
    assert code == 0, err
    assert json.loads(out)["nms"] == "soft" and json.loads(out)["ar"] >= detected["ar"]
