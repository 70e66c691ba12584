"""People that figures show: of photographs those alone that may be shown, with whose they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from analysis.figures.examples import blocks, load_example, people
from experiments.spec import catalog as places
from experiments.spec.catalog import Catalog, Places, examples_folder
from experiments.tools import example
from sharpose.models import create_model
from sharpose.runtime.errors import InputError
from sharpose.weights.files import save_weights


def test_people_of_open_licences_are_shown_with_their_source(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Catalog("photos", Places(weights=tmp_path / "weights"))
    opened.places = replace(opened.places, others={"coco_mini": shared / "data/coco_mini"})
    monkeypatch.setattr(example, "open_catalog", lambda tier: opened)
    monkeypatch.setattr(places, "RESULTS", tmp_path / "results")
    with pytest.raises(InputError, match="no examples of tier photos: no weights of sharpose-nano-128x96"):
        example.save_examples("photos")
    for name in ("sharpose-nano-128x96", "vitpose-nano-128x96"):
        save_weights(create_model(name), tmp_path / "weights/photos" / f"{name}.safetensors", {"model": name})
    made = example.save_examples("photos")
    folder = tmp_path / "results/examples/photos"
    assert examples_folder("photos") == folder and examples_folder("nano") == tmp_path / "results/examples"
    assert [path.name for path in made] == ["person.json", *(f"person-{n}.json" for n in range(1, 6)), "blocks.json"]
    facts = [json.loads(path.read_text()) for path in made]
    assert {one["dataset"] for one in facts} == {"coco-mini-val"}
    assert all("licenses/by/2.0" in one["licence"] for one in facts)
    assert all(one["photograph"].startswith("http") and ".staticflickr.com/" in one["photograph"] for one in facts)
    assert len({one["instance_id"] for one in facts[:-1]}) == 6
    examples = [load_example(path.stem, folder) for path in made[:-1]]
    for figure in (people(examples), blocks(load_example("blocks", folder))):
        assert facts[0]["photograph"] in "".join(text.get_text() for text in figure.texts)
    plt.close("all")
