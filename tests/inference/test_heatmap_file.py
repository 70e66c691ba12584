"""Another project's network predicts what the same network does in torch, and is scored by the same code."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from sharpose.codecs.udp import UdpCodec
from sharpose.data.coco import CocoTopDown
from sharpose.evaluation.coco import score
from sharpose.inference.dataset import predict
from sharpose.inference.heatmap_file import HeatmapFile, Reading, parse_size
from sharpose.pose.normalise import normalise
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import sha256_of
from tests.command_line import call
from tests.evaluation.test_coco import write_people
from tests.networks import MAPS, SIZE, Convolution, write_onnx

pytest.importorskip("onnxruntime")


def some_crops(people: int = 5) -> torch.Tensor:
    return torch.randint(0, 256, (people, 3, *SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("reading", "mean", "std"),
    [
        (Reading(), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        (Reading(normalise="0-1"), (0, 0, 0), (1, 1, 1)),
        (Reading(normalise="0-255"), (0, 0, 0), (1 / 255,) * 3),
        (Reading(normalise=".5,.4,.3/.1,.2,.4"), (0.5, 0.4, 0.3), (0.1, 0.2, 0.4)),
    ],
)
def test_pixels_become_what_the_network_was_trained_on(tmp_path, reading, mean, std):
    file, crops = HeatmapFile(write_onnx(tmp_path / "a.onnx"), reading), some_crops(2)
    expected = (crops.numpy() / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    np.testing.assert_allclose(file.normalise(crops).numpy(), expected, atol=1e-4)
    turned = HeatmapFile(tmp_path / "a.onnx", Reading(normalise=reading.normalise, channels="bgr"))
    np.testing.assert_array_equal(turned.normalise(crops), file.normalise(crops.flip(1)))


@pytest.mark.parametrize("batch", ["batch", 1, 2])
def test_heatmaps_are_those_of_the_same_network_in_torch(tmp_path, batch):
    file = HeatmapFile(write_onnx(tmp_path / "a.onnx", batch, outputs=("places", "maps")))
    images = normalise(some_crops())
    torch.testing.assert_close(file(images).heatmaps, Convolution()(images).heatmaps, atol=1e-5, rtol=1e-5)
    assert (file.config.image_size, file.config.heatmap_size, file.config.num_keypoints) == (SIZE, MAPS, 17)
    assert file.digests == {"weights_sha256": sha256_of(tmp_path / "a.onnx")}


def test_an_ir_of_openvino_gives_the_same(tmp_path):
    openvino = pytest.importorskip("openvino")
    path = tmp_path / "model.xml"
    openvino.save_model(openvino.convert_model(write_onnx(tmp_path / "a.onnx", 1)), path, compress_to_fp16=False)
    file, images = HeatmapFile(path), normalise(some_crops())
    torch.testing.assert_close(file(images).heatmaps, Convolution()(images).heatmaps, atol=1e-4, rtol=1e-4)
    assert file.graph.backend == "openvino"
    weights = tmp_path / "model.bin"
    assert file.digests == {"graph_sha256": sha256_of(path), "weights_sha256": sha256_of(weights)}
    weights.unlink()
    with pytest.raises(InputError, match=r"model\.xml: its weights model\.bin are missing"):
        HeatmapFile(path)


def test_scores_are_those_of_the_same_network_in_torch(tmp_path):
    people = write_people(tmp_path)
    file = HeatmapFile(write_onnx(tmp_path / "a.onnx", 1))
    dataset = CocoTopDown(people, tmp_path, image_size=SIZE)
    theirs, ours = (predict(model, dataset, UdpCodec(SIZE, MAPS)) for model in (file, Convolution()))
    np.testing.assert_allclose(theirs.keypoints, ours.keypoints, rtol=1e-3, atol=1e-2)
    assert score(theirs, dataset, resamples=0).summary() == score(ours, dataset, resamples=0).summary()
    wide = CocoTopDown(people, tmp_path, image_size=SIZE, padding=1.5)
    np.testing.assert_allclose(wide[0]["scale"], dataset[0]["scale"] * 1.5 / 1.25, rtol=1e-6)


@pytest.mark.parametrize(
    ("how", "reading", "message"),
    [
        ({"outputs": ("places",)}, {}, "needs one output of heatmaps .* coordinates cannot be measured so"),
        ({"outputs": ("maps", "twice")}, {}, r"has maps \[1, 17, 32, 24\], twice .*; name one with --output"),
        ({}, {"output": "map"}, r"has no output 'map'; there are maps \[1, 17, 32, 24\]"),
        ({"size": ("h", "w")}, {}, "leaves the size of its input free; give it with --input-size"),
        ({}, {"image_size": (256, 192)}, "takes images of 128x96, not of 256x192"),
    ],
)
def test_what_cannot_be_measured_says_why(tmp_path, how, reading, message):
    with pytest.raises(InputError, match=message):
        HeatmapFile(write_onnx(tmp_path / "a.onnx", **how), Reading(**reading))


def test_a_free_size_and_one_of_several_outputs_can_be_chosen(tmp_path):
    path = write_onnx(tmp_path / "a.onnx", size=("h", "w"), outputs=("maps", "twice"))
    file = HeatmapFile(path, Reading((64, 48), output="twice"))
    images = torch.zeros(1, 3, 64, 48)
    torch.testing.assert_close(file(images).heatmaps, 2 * Convolution()(images).heatmaps)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normalise": "coco"}, "normalise = 'coco' does not work: it must be imagenet, 0-1 or 0-255, or three means"),
        ({"normalise": "1,2,3/0,1,1"}, "does not work"),
        ({"normalise": "nan,0,0/1,1,1"}, "does not work"),
        ({"channels": "rbg"}, "channels = 'rbg' does not work: it must be 'rgb' or 'bgr'"),
        ({"codec": "drawn"}, "it must be 'udp', 'dark' or 'msra'"),
        ({"padding": 0.5}, "padding = 0.5 does not work"),
    ],
)
def test_a_reading_that_does_not_work_says_what_does(change, message):
    with pytest.raises(InputError, match=message):
        Reading(**change)


def test_files_that_are_no_network(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no network")
    (tmp_path / "a.xml").write_text("<net/>")
    (tmp_path / "a.bin").write_bytes(b"")
    for name, message in {
        "a.onnx": "cannot be read as a network",
        "a.xml": "cannot be read as a network" if find_spec("openvino") else "this needs openvino",
        "b.onnx": "no such file",
        "a.bin": "a file of another kind",
    }.items():
        with pytest.raises(InputError, match=message) as raised:
            HeatmapFile(tmp_path / name)
        assert "\n" not in str(raised.value)


def test_the_command_line_tells_the_file_and_how_it_was_read(tmp_path, capsys):
    people, path = write_people(tmp_path), write_onnx(tmp_path / "a.onnx")
    data = ["--data", str(people), "--images", str(tmp_path)]
    code, out, _ = call(
        capsys, "evaluate", "--onnx", str(path), *data, "--normalise", "0-1", "--padding", "1.5", "--json"
    )
    facts = json.loads(out)
    assert code == 0 and facts["people"] == 8 and facts["ap"] is not None and facts["pck"] is not None
    assert (facts["model"], facts["weights_sha256"], facts["backend"]) == ("a.onnx", sha256_of(path), "onnxruntime")
    assert facts["options"] == {
        "image_size": [128, 96], "normalise": "0-1", "channels": "rgb", "codec": "udp", "padding": 1.5, "output": None,
    }  # fmt: skip
    for arguments, message in (
        (["--onnx", str(path), "--model", "hrnet-nano-128x96"], "give either --model NAME, or --onnx FILE"),
        ([], "give either --model NAME, or --onnx FILE"),
        (["--onnx", str(path), "--backend", "packed"], "runs as it is; leave out"),
        (["--model", "hrnet-nano-128x96", "--padding", "1.5"], "go with --onnx alone"),
        (["--onnx", str(path), "--input-size", "256"], "must be HEIGHTxWIDTH"),
    ):
        code, out, error = call(capsys, "evaluate", *arguments, *data)
        assert code == 2 and message in error and not out
    assert parse_size("256x192") == (256, 192) and parse_size("") is None


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ap"), [("tinypose_256_192", 0.661), ("tinypose_128_96", 0.515)])
def test_a_published_peer_scores_what_others_measured(shared: Path, name, ap):
    pytest.importorskip("openvino")
    data, file = shared / "data" / "coco_mini", HeatmapFile(shared / "data" / "peers" / name / "model.xml")
    dataset = CocoTopDown(
        data / "annotations/person_keypoints_val2017.json", data / "val2017", image_size=file.config.image_size
    )
    codec = UdpCodec(file.config.image_size, file.config.heatmap_size)
    found = score(predict(file, dataset, codec), dataset, resamples=0).summary()
    assert found["ap"] == pytest.approx(ap, abs=5e-4)
