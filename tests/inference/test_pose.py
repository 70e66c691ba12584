"""The object that people use: pictures in, people out, in whatever form they are given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sharpose import Person, Pose
from sharpose.models import create_model
from sharpose.runtime.errors import InputError, RunFailed
from sharpose.weights.files import save_weights

EXAMPLE = Path(__file__).resolve().parents[2] / "results" / "examples" / "person.png"


@pytest.fixture(scope="module")
def pose() -> Pose:
    return Pose("photos/sharpose-nano-128x96", whole_picture=True, device="cpu", backend="eager")


def same(ours: Person, theirs: Person) -> bool:
    return ours.box == theirs.box and np.allclose(ours.keypoints, theirs.keypoints, atol=1e-3)


def test_one_picture_in_any_form(pose: Pose) -> None:
    (person,) = pose(EXAMPLE)
    picture = Image.open(EXAMPLE).convert("RGB")
    assert all(same(person, pose(form)[0]) for form in (str(EXAMPLE), picture, np.asarray(picture)))
    assert (
        person.points.shape == (17, 2)
        and person.scores.shape == (17,)
        and person.box[2:] == [*map(float, picture.size)]
    )
    assert person.refined and person.patches.shape[1:] == (4, 2) and 0 < person.quality < 1  # type: ignore[operator]
    assert pose.names[:2] == ("nose", "left_eye")
    # the example is a person the weights were made for: its head is above its feet
    assert person.points[0, 1] < person.points[[15, 16], 1].min()


def test_a_network_of_the_callers_is_left_as_it_is() -> None:
    model = create_model("sharpose-nano-128x96", depth=1)
    Pose(model, whole_picture=True, device="cpu")
    assert all(type(layer) is torch.nn.Linear for layer in model.modules() if isinstance(layer, torch.nn.Linear))
    assert all(parameter.requires_grad for parameter in model.blocks.parameters())  # type: ignore[union-attr, operator]


def test_turned_pictures_are_looked_at_upright(pose: Pose, tmp_path: Path) -> None:
    picture, exif = Image.open(EXAMPLE).convert("RGB"), Image.Exif()
    exif[0x0112] = 8
    # stored a quarter to the right, to be shown a quarter to the left
    picture.transpose(Image.Transpose.ROTATE_270).save(tmp_path / "turned.png", exif=exif)
    for form in (tmp_path / "turned.png", Image.open(tmp_path / "turned.png")):
        assert same(pose(form)[0], pose(picture)[0])


def test_several_pictures_and_their_boxes(pose: Pose) -> None:
    pixels = np.asarray(Image.open(EXAMPLE).convert("RGB"))
    height, width = pixels.shape[:2]
    part = [width * 0.1, height * 0.1, width * 0.8, height * 0.8]
    (whole,) = pose(pixels)
    assert [len(people) for people in pose(np.stack([pixels, pixels]))] == [1, 1]
    first, second, none = pose([pixels, EXAMPLE, pixels], boxes=[[part, [0, 0, width, height]], [part], []])
    assert [len(first), len(second), len(none)] == [2, 1, 0] and same(first[1], whole) and same(first[0], second[0])
    assert same(pose(pixels, boxes=np.array([part]))[0], first[0])
    assert pose.spent.people >= 6 and "ms per person" in pose.spent.line


@pytest.mark.parametrize(
    ("pictures", "boxes", "message"),
    [
        (np.zeros((9, 9, 3)), None, r"float64 \(9, 9, 3\) is no picture: it must be uint8"),
        (np.zeros((9, 9, 1), dtype=np.uint8), None, "no picture"),
        ("absent.jpg", None, "absent.jpg: no such image"),
        (np.zeros((9, 9, 3), dtype=np.uint8), [[0, 0, 5]], "rows of x, y, width and height"),
        (np.zeros((9, 9, 3), dtype=np.uint8), [[0, 0, 5, 0]], "must be positive"),
        ([np.zeros((9, 9, 3), dtype=np.uint8)], [], "1 pictures and boxes of 0"),
    ],
)
def test_what_is_no_picture_or_box_is_said(pose: Pose, pictures: object, boxes: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pose(pictures, boxes)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = create_model("sharpose-nano-128x96", depth=1)
    with torch.no_grad():
        model.blocks[0].norm1.weight[3] = float("inf")  # type: ignore[index, union-attr]
    save_weights(model, tmp_path / "w.safetensors", {"model": "sharpose-nano-128x96", "options": {"depth": 1}})
    with pytest.raises(InputError, match=r"blocks.0.norm1.weight: values that are not finite"):
        Pose(str(tmp_path / "w.safetensors"))


def test_heatmaps_that_are_not_finite_are_a_failure() -> None:
    model = create_model("sharpose-nano-128x96", depth=1)
    with torch.no_grad():
        model.blocks[0].norm1.weight[3] = float("nan")  # type: ignore[index, union-attr]
    with pytest.raises(RunFailed, match="not finite"):
        Pose(model, whole_picture=True)(np.zeros((64, 48, 3), dtype=np.uint8))


def test_a_chosen_device_and_precision_must_be_there() -> None:
    for options, message in (
        ({"device": "cuda:99"}, "no such CUDA device"),
        ({"device": "cpu", "backend": "eager", "precision": "fp16"}, "predicting with torch is in fp32"),
        ({"alhpa": 0.3}, "did you mean 'alpha'"),
    ):
        with pytest.raises(InputError, match=message):
            Pose("photos/sharpose-nano-128x96", **options)  # type: ignore[arg-type]


def test_the_package_is_imported_without_torch() -> None:
    program = "import sys; from sharpose import create_model, list_models; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=600)
    import sharpose

    with pytest.raises(AttributeError, match="no attribute 'Pole'"):
        sharpose.Pole  # noqa: B018
