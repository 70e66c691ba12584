"""Weights by name: where they are found, which one a bare name means, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sharpose import list_models, load_weights
from sharpose.models import create_model
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import sha256_of
from sharpose.weights import pretrained
from sharpose.weights.files import save_weights
from sharpose.weights.pretrained import CHECKOUT, DEFAULT, INDEX, find_weights, make_index

NANO = "sharpose-nano-128x96"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Neither a checkout nor a wheel, an index of one small model, and no network; the index is the folder's."""
    model = create_model(NANO, depth=1)
    for name in ("hub/photos/tiny", "hub/nano/tiny"):
        facts = {"model": NANO, "options": {"depth": 1}, "data": {"name": "mannequin-train"}}
        save_weights(model, tmp_path / f"{name}.safetensors", facts)
    monkeypatch.setattr(pretrained, "CHECKOUT", tmp_path / "none")
    monkeypatch.setattr(pretrained, "INDEX", tmp_path / "index.json")
    (tmp_path / "index.json").write_text(json.dumps(make_index(tmp_path / "hub")))
    monkeypatch.setenv("SHARPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SHARPOSE_HUB", raising=False)
    return tmp_path


def test_the_index_is_that_of_the_weights_here() -> None:
    assert json.loads(INDEX.read_text()) == make_index(), "python -m sharpose.weights.pretrained writes it anew"


def test_a_bare_name_means_photographs_first() -> None:
    assert find_weights(NANO).name == f"photos/{NANO}"
    assert find_weights(f"photos/{NANO}").path == CHECKOUT / "photos" / f"{NANO}.safetensors"
    assert find_weights(DEFAULT).model in list_models()


def test_the_model_is_made_with_the_options_it_was_trained_with() -> None:
    model = load_weights(f"photos/{NANO}-coarse", alpha=0.3)
    assert (model.config.stages, model.config.alpha, model.training) == ("coarse", 0.3, False)


def test_who_was_trained_on_generated_people_says_so(elsewhere: Path) -> None:
    assert "mannequin-train" in str(find_weights(elsewhere / "hub/nano/tiny.safetensors").warning)


def test_who_was_trained_on_photographs_does_not() -> None:
    assert find_weights(f"photos/{NANO}").warning is None


def test_an_unknown_name_lists_the_known(elsewhere: Path) -> None:
    with pytest.raises(InputError, match=r"'tyni'; there are nano/tiny, photos/tiny; or give a .safetensors file"):
        find_weights("tyni")


def test_the_cache_is_looked_into_and_checked(elsewhere: Path) -> None:
    shutil.copytree(elsewhere / "hub", elsewhere / "cache" / "weights")
    found = find_weights("tiny")
    assert found.name == "photos/tiny" and found.path == elsewhere / "cache" / "weights" / "photos" / "tiny.safetensors"
    assert load_weights("tiny").config.depth == 1
    found.path.write_bytes(found.path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="not the photos/tiny that this version knows"):
        find_weights("tiny")


def test_a_hub_repository_is_fetched_from_and_checked(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str | None]] = []

    def fetch(repository: str, file: str, *, revision: str | None = None) -> str:
        asked.append((repository, file, revision))
        return str(elsewhere / "hub" / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    monkeypatch.setenv("SHARPOSE_HUB", "someone/weights")
    assert load_weights("nano/tiny").config.depth == 1
    assert asked == [("someone/weights", f"nano/tiny.{kind}", None) for kind in ("safetensors", "json")]
    for kind in ("safetensors", "json"):
        shutil.copy(elsewhere / "hub" / "nano" / f"tiny.{kind}", elsewhere / "hub" / f"model.{kind}")
    assert find_weights("hub:me/mine@v1").model == NANO and asked[-1] == ("me/mine", "model.json", "v1")
    (elsewhere / "hub" / "photos" / "tiny.safetensors").write_bytes(b"another file")
    with pytest.raises(InputError, match="sha256 differs"):
        find_weights("photos/tiny")


def test_no_network_is_one_line_with_the_way_out(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"no hub repository is known .*; copy results/weights/nano/tiny.safetensors"):
        find_weights("nano/tiny")
    # huggingface_hub itself, in its offline mode
    monkeypatch.setenv("SHARPOSE_HUB", "someone/weights")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(elsewhere / "empty"))
    with pytest.raises(InputError, match=r"someone/weights: photos/tiny.safetensors cannot be fetched") as caught:
        find_weights("tiny")
    assert "\n" not in str(caught.value) and f"to {elsewhere / 'cache' / 'weights' / 'photos'}" in str(caught.value)


@pytest.mark.parametrize(
    ("manifest", "where"),
    [
        ({"model": 5}, "model"),
        ({"options": "abc"}, "options"),
        ({"recipe": "abc"}, "recipe"),
        ({"recipe": {"model_options": "abc"}}, "recipe.model_options"),
        ({"data": ["a"]}, "data"),
        ({"data": {"sources": ["a"]}}, "data.sources.0"),
    ],
)
def test_a_strangers_manifest_is_checked(tmp_path: Path, manifest: dict[str, Any], where: str) -> None:
    path = tmp_path / "own.safetensors"
    path.write_bytes(b"")
    path.with_suffix(".json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=rf"own\.json: {where} does not work: it must be a valid"):
        find_weights(path)


def test_a_file_is_itself(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_weights(create_model(NANO, depth=1), path, {"model": NANO, "recipe": {"model_options": {"depth": 1}}})
    found = find_weights(path)
    assert (found.path, found.model, found.options, found.warning) == (path, NANO, {"depth": 1}, None)
    assert found.manifest["sha256"] == sha256_of(path)
