"""The command line as a user meets it: results, one-line errors, exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

import sharpose
from experiments.spec.measures import MEASURES
from sharpose import cli
from sharpose.cli.app import app
from sharpose.data.mannequin import annotations_path, detections_path, images_path
from sharpose.runtime.files import sha256_of
from tests.command_line import call


def every_command() -> dict[str, Any]:
    """All commands of the application by their words."""
    for group in cli.GROUPS:
        import_module(f"sharpose.cli.{group}")
    found: dict[str, Any] = {}
    for name, command in typer.main.get_command(app).commands.items():
        below = getattr(command, "commands", None)
        found |= {name: command} if below is None else {f"{name} {one}": each for one, each in below.items()}
    return found


def test_every_command_has_an_example_and_stands_under_one_heading(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "--help")
    headings = ["Use a model:", "Train and evaluate:", "Tables of the paper and your own:", "Tools:"]
    places = [out.index(f"\n{heading}\n") for heading in headings]
    assert places == sorted(places) and out.count("Example: sharpose ") == len(headings)
    commands = every_command()
    assert len(commands) > 30
    for words, command in commands.items():
        assert len(re.findall(rf"^  {words.split()[0]}  ", out, re.MULTILINE)) == 1, words
        assert re.search(rf"^Example: sharpose {words}", command.help, re.MULTILINE), words
        assert any("--json" in one.opts for one in command.params), words
    assert "..." not in out.replace("[ARGS]...", "")


def test_people_are_named_by_one_option() -> None:
    """Who is learnt from, judged or timed: --data, and no other name of it is shown."""
    commands = every_command()
    shown = {words: {name for one in command.params for name in one.opts} for words, command in commands.items()}
    assert not [words for words, options in shown.items() if "--annotations" in options]
    assert {words for words, options in shown.items() if "--data" in options} == {
        "train", "evaluate", "submit", "compare", "protocol", "bench",
    }  # fmt: skip


def test_the_version_and_the_completion(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(capsys, "--version") == (0, f"sharpose {sharpose.__version__}\n", "")
    monkeypatch.setenv("_SHARPOSE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "sharpose tr")
    monkeypatch.setenv("COMP_CWORD", "1")
    code, out, _ = call(capsys)
    assert code == 0 and out.split() == ["train", "train-missing"]


def test_status_is_short_unless_all_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "status")
    lines = out.splitlines()
    assert code == 0 and len(lines) < 60 and lines[0].split() == ["stored", *MEASURES]
    assert sum(line.startswith("table6a ") for line in lines) == 1 and lines[-1].endswith("--all lists them")
    cells = int(lines[-1].split()[0])
    code, out, _ = call(capsys, "status", "--all")
    assert code == 0 and len(out.splitlines()) == len(lines) + cells + 1


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
        (["choose-operating-point", "--one-stage-ms", "nan"], "--one-stage-ms nan"),
        (["choose-operating-point", "--detector-ms", "-1"], "--detector-ms -1"),
        (["choose-operating-point", "--latency-ms", "9", "--rows", "figure6"], "at several α"),
        (["choose-operating-point", "--latency-ms", "9", "--model", "vitpose-nano-128x96"], "no coarse and fine stage"),
        (["choose-operating-point", "--latency-ms", "9", "--device", "gpu"], "it must be cpu or cuda"),
        (["run", "nowhere.yaml"], "nowhere.yaml"),
        (["run", "3", "--plan", "--again"], "--plan measures nothing"),
        (["table", "99"], "99"),
        (["conformance", "nowhere"], "nowhere"),
        (["train", "--model", "sharpose-nano-128x96", "--data", "nowhere.json", "--out", "x"], "nowhere.json"),
        (["train-missing", "--budget", "soon"], "--budget 'soon'"),
        (["train-missing", "--only", "hrnet"], "no such system"),
        (["evaluate", "--model", "sharpose-nano-128x96"], "--data: say which people"),
        (["evaluate", "--model", "sharpose-base-256x192", "--data", "mannequin-tiny"], "no trained weights"),
        (["evaluate", "--model", "sharpose-nano-128x96", "--data", "x", "--nms", "harder"], "'hard', 'soft' or 'none'"),
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
    evaluate += ["--data", annotations, "--images", images, "--json"]
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
    name = "sharpose-nano-128x96"
    evaluate = ["evaluate", "--model", name, "--weights", f"photos/{name}", "--no-flip-test", "--json"]
    evaluate += ["--data", str(coco / "annotations" / "person_keypoints_val2017.json")]
    evaluate += ["--images", str(coco / "val2017")]
    code, out, err = call(capsys, *evaluate)
    assert code == 0, err
    truth = json.loads(out)
    assert (truth["people"], truth["images_with_boxes"], truth["annotated_people"]) == (73, 35, 73)
    assert truth["boxes_ap"] is None and truth["boxes_sha256"] is None
    # so small a network finds a little, and not by chance
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
