"""What a network's AP owes to choices around it: every row is what `evaluate` gives with that choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sharpose.codecs.choice import codec_of, decoders_of
from sharpose.codecs.dark import DarkCodec
from sharpose.codecs.udp import UdpCodec
from sharpose.data.mannequin import annotations_path, detections_path, images_path
from sharpose.data.mannequin.generate import generate
from sharpose.evaluation.coco import score
from sharpose.evaluation.evaluate import evaluate, open_network, open_people
from sharpose.evaluation.metrics.coco_ap import CocoMetrics
from sharpose.evaluation.metrics.postprocess import PostProcessing
from sharpose.evaluation.protocol import file_effects
from sharpose.evaluation.request import EvaluationRequest, People
from sharpose.evaluation.variations import network_effects
from sharpose.inference.dataset import predict
from sharpose.models import create_model
from sharpose.runtime.errors import InputError
from sharpose.weights.files import save_weights
from tests.command_line import call
from tests.evaluation.test_points import mpii_set

NAME = "sharpose-nano-128x96"
TRAINED: dict[str, Any] = {"model": NAME, "weights": f"photos/{NAME}"}
BASELINE: dict[str, Any] = {name: value.replace("sharpose", "simple-baseline") for name, value in TRAINED.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("people")
    generate(made, split="val", images=10, seed=3, workers=1)
    return made


def people(folder: Path, boxes: str = "ground-truth") -> People:
    return People(data=str(annotations_path(folder, "val")), images=images_path(folder, "val"), boxes=boxes)


def test_a_network_is_made_with_the_options_that_its_weights_learnt_with(folder: Path, tmp_path: Path) -> None:
    tiny = {"embed_dim": 24, "num_heads": 2, "depth": 2}
    path = tmp_path / "own.safetensors"
    save_weights(create_model(NAME, **tiny), path, {"model": NAME, "recipe": {"model_options": tiny}})
    asked = EvaluationRequest(people=people(folder), model=NAME, weights=str(path))
    made = open_network(asked)
    assert made.model.config.num_heads == 2 and made.facts["options"] == tiny
    assert open_network(replace(asked, options={"num_heads": 4})).model.config.num_heads == 4
    # another model's options are not taken
    with pytest.raises(InputError, match="weights of another model"):
        open_network(replace(asked, model="vitpose-nano-128x96"))


def test_every_row_is_what_evaluate_gives(folder: Path, tmp_path: Path) -> None:
    asked = EvaluationRequest(people=people(folder, str(detections_path(folder, "val"))), **TRAINED)
    found, about = network_effects(asked, resamples=50)
    assert (about["decoder"], about["flip_test"], about["boxes"]) == ("udp", True, asked.people.boxes)
    others: dict[str, Callable[[EvaluationRequest], EvaluationRequest]] = {
        "as evaluated": lambda one: replace(one, save_results=tmp_path / "results.json"),
        "flip test: off": lambda one: replace(one, flip_test=False),
        "boxes: annotated": lambda one: replace(one, people=people(folder)),
        "OKS-NMS above 0.5": lambda one: replace(one, post_processing=PostProcessing(oks_threshold=0.5)),
        "OKS-NMS: soft": lambda one: replace(one, post_processing=PostProcessing("soft")),
        "OKS-NMS: none": lambda one: replace(one, post_processing=PostProcessing("none")),
    }
    alone: dict[str, CocoMetrics] = {name: evaluate(change(asked))[0].metrics for name, change in others.items()}  # type: ignore[union-attr]
    base = alone["as evaluated"]
    for name, metrics in alone.items():
        assert found[name].metrics.values() == metrics.values(), name
        moved = found[name].moved
        assert moved is not None and metrics.ap is not None and base.ap is not None, name
        assert moved.value == metrics.ap - base.ap and moved.low <= moved.high, name
    assert base.ap and base.ap > 0.05 and alone["boxes: annotated"].ap != base.ap
    # what needs no network is what the results file gives
    file = file_effects(tmp_path / "results.json", annotations_path(folder, "val"), resamples=50)
    for name in ("score: the same for all", "score: mean of the keypoints'", "area: 0.53 of the box"):
        assert found[name].facts == file[name].facts, name


def test_a_decoder_on_its_own_grid_is_evaluate_with_that_codec(folder: Path) -> None:
    asked = EvaluationRequest(people=people(folder), flip_test=False, **BASELINE)
    found, about = network_effects(asked, resamples=0)
    dark = evaluate(replace(asked, options={"codec": "dark"}))[0]
    assert about["decoder"] == "msra" and found["decoder: dark"].metrics.values() == dark.metrics.values()  # type: ignore[union-attr]
    assert found["decoder: dark"].metrics.ap != found["as evaluated"].metrics.ap
    flipped = evaluate(replace(asked, flip_test=True))[0]
    assert found["flip test: on"].metrics.values() == flipped.metrics.values()  # type: ignore[union-attr]
    assert "boxes: annotated" not in found


class DarkOnUdp(UdpCodec):
    """Heatmaps on UDP's grid, their peaks found as by DARK."""

    def decode(self, heatmaps: torch.Tensor) -> Any:
        return DarkCodec(self.image_size, self.heatmap_size).decode(heatmaps)


def test_a_decoder_of_another_grid_leaves_the_models_own(folder: Path) -> None:
    asked = EvaluationRequest(people=people(folder), **TRAINED)
    network = open_network(asked)
    dataset, _ = open_people(asked.people, network)
    config = network.model.config
    by_hand = score(
        predict(network.model, dataset, DarkOnUdp(config.image_size, config.heatmap_size)), dataset, resamples=0
    )
    found, _ = network_effects(asked, resamples=0)
    assert found["decoder: dark"].metrics.values() == by_hand.metrics.values()
    assert {name for name in found if name.startswith("decoder")} == {
        "decoder: dark", "decoder: msra", "decoder: drawn", "decoder: argmax",
    }  # fmt: skip


def test_the_models_own_decoder_comes_first() -> None:
    config = create_model("hrnet-nano-128x96", codec="dark").config
    assert list(decoders_of(config)) == ["dark", "udp", "msra", "drawn", "argmax"]
    assert decoders_of(config)["dark"] == codec_of(config)
    maps = torch.rand(2, 17, *config.heatmap_size)
    points, _ = decoders_of(config)["argmax"].decode(maps)
    assert torch.equal(points, points.round()) and not torch.equal(points, decoders_of(config)["msra"].decode(maps)[0])


def test_the_command_prints_it(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--data", str(annotations_path(folder, "val")), "--images", str(images_path(folder, "val")))
    trained = ("--model", NAME, "--weights", f"photos/{NAME}")
    code, out, err = call(capsys, "protocol", *trained, *where, "--no-flip-test", "--batch-size", "4")
    first, header, base, *rows = out.splitlines()
    assert code == 0, err
    assert "decoder udp, flip test off" in first and header.split() == ["choice", "AP", "moved", "AP50", "AP75", "AR"]
    assert "+0.0 [+0.0, +0.0]" in base and any(row.startswith("flip test: on") for row in rows)
    mpii = ("--data", str(mpii_set(tmp_path)[0].annotations), "--images", str(tmp_path))
    for wrong, message in (
        (("--model", NAME, *where, "results.json"), "give either a results file, or --model NAME"),
        (where, "give either a results file, or --model NAME"),
        (("results.json", *where, "--no-flip-test"), "results.json: is judged as it is; leave out --images, --no-flip"),
        (("--model", "vitpose-nano-128x96", "--set", "num_keypoints=16", "--weights", "random", *mpii), "have no AP"),
        ((*trained, *where, "--boxes", "none.json"), "none.json"),
    ):
        code, _, err = call(capsys, "protocol", *wrong)
        assert code == 2 and message in err and len(err.strip().splitlines()) == 1, (wrong, err)
