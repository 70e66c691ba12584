"""One's own weights as a hub would get them, without a hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import HfApi, ModelCard

from sharpose.models import create_model
from sharpose.runtime.errors import InputError, RunFailed
from sharpose.runtime.files import sha256_of
from sharpose.weights.files import read_weights, save_weights
from sharpose.weights.pretrained import described, find_weights
from tests.command_line import call

NANO = "sharpose-nano-128x96"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    facts = {"model": NANO, "command": "sharpose train …", "data": {"name": "mannequin-train"}}
    path = tmp_path / "mine.safetensors"
    save_weights(create_model(NANO, depth=1), path, {**facts, "recipe": {"model_options": {"depth": 1}}})
    return path


def result(path: Path, weights: Path, **more: Any) -> Path:
    facts = {"annotations": "/x/people_val.json", "people": 40, "boxes": "ground-truth", "flip_test": True}
    path.write_text(json.dumps({**facts, "weights_sha256": sha256_of(weights), "ap": 0.8123, "pck": 0.9, **more}))
    return path


@pytest.mark.parametrize("bits", ["16", "8"])
def test_a_dry_run_writes_what_hubs_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, mine: Path, bits: str
) -> None:
    folder, scores = tmp_path / "card", result(tmp_path / "r.json", mine)
    command = ["push", str(mine), "me/pose", "--dry-run", str(folder), "--bits", bits, "--results", str(scores)]
    code, out, err = call(capsys, *command)
    assert code == 0, err
    assert out.startswith(
        f"{folder}: .eval_results/results.yaml, README.md, config.json, model.json, model.safetensors"
    )
    card = ModelCard.load(folder / "README.md")
    (first, second) = card.data.eval_results or []
    assert (first.metric_type, first.metric_value, second.metric_type) == ("AP", 81.23, "PCK")
    assert card.data.library_name == "sharpose" and 'Pose("hub:me/pose")' in card.text
    assert "| people_val.json | 81.2 | – | – | – | 90.0 | – | 40 people" in card.text
    assert "learned from generated people (mannequin-train)" in card.text
    (entry, _) = yaml.safe_load((folder / ".eval_results" / "results.yaml").read_text())
    assert entry["dataset"] == {"id": "people_val.json", "task_id": "keypoint-detection-ap"} and entry["value"] == 81.23
    # what was written is what `hub:` reads
    found = described("hub:me/pose", folder / "model.safetensors")
    model = create_model(found.model, **found.options)
    model.load_state_dict(read_weights(found.path))
    largest = max(float((value - model.state_dict()[name]).abs().max()) for name, value in read_weights(mine).items())
    assert largest == 0 if bits == "16" else 0 < largest < 0.01


def test_results_of_other_weights_are_refused(tmp_path: Path, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = result(tmp_path / "r.json", mine, weights_sha256="0" * 64)
    for results, message in ((scores, "are of other weights than"), (mine, "not a text file in UTF-8")):
        command = ["push", str(mine), "me/pose", "--dry-run", str(tmp_path / "card"), "--results", str(results)]
        code, _, err = call(capsys, *command)
        assert code == 2 and message in err and len(err.strip().splitlines()) == 1
        assert not (tmp_path / "card").exists()
    code, _, err = call(capsys, "push", str(mine), "nowhere")
    assert code == 2 and "it must be OWNER/NAME" in err


def test_an_upload_and_one_that_fails(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sharpose.weights.publishing import push_weights

    done: list[Any] = []
    monkeypatch.setattr(HfApi, "create_repo", lambda self, name, **options: done.append((name, options["private"])))
    monkeypatch.setattr(
        HfApi,
        "upload_folder",
        lambda self, *, repo_id, folder_path, **_: done.append(sorted(Path(folder_path).iterdir())),
    )
    facts = push_weights(str(mine), "me/pose", [], "mit", bits=16, private=True, dry_run=None)
    assert facts["where"] == "hub:me/pose" and done[0] == ("me/pose", True)
    assert [path.name for path in done[1]] == ["README.md", "config.json", "model.json", "model.safetensors"]

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(HfApi, "create_repo", refuse)
    with pytest.raises(RunFailed, match=r"me/pose: not pushed \(no network\)"):
        push_weights(str(mine), "me/pose", [], "mit", bits=16, private=False, dry_run=None)
    with pytest.raises(InputError, match="no trained weights are called 'nothing'"):
        push_weights("nothing", "me/pose", [], "mit", bits=16, private=False, dry_run=None)
    assert find_weights(str(mine)).trained_on == ["mannequin-train"]
