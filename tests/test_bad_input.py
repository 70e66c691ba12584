"""Bad input of every kind, for every command that can meet it: one clear line and code 2, or a documented rule.

Nothing that was there before is lost, and nothing in a pickle is executed.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from sharpose.models import create_model
from sharpose.pose.skeleton import COCO_CATEGORY
from sharpose.weights.files import save_weights
from tests.command_line import call

SIZE = 60, 80
"""Width and height of the good pictures."""
MODEL = ["--model", "sharpose-nano-128x96", "--set", "depth=1", "--weights", "FOLDER/w.safetensors"]
TRUTH = ["--data", "FOLDER/people.json", "--images", "FOLDER/photos"]
INFO = ["--image-info", "FOLDER/image_info_test-dev2017.json", "--name", "x", "--out", "FOLDER/out"]
COMMANDS = {
    "predict": ["predict", "FOLDER/photos", *MODEL, "--out", "FOLDER/out", "--whole-picture"],
    "predict boxes": ["predict", "FOLDER/photos", *MODEL, "--out", "FOLDER/out", "--boxes", "FOLDER/boxes.json"],
    "predict detector": [
        *["predict", "FOLDER/photos", *MODEL, "--out", "FOLDER/out", "--detector", "ssdlite320_mobilenet_v3_large"],
        *["--detector-weights", "FOLDER/w.pth"],
    ],
    "evaluate": ["evaluate", *MODEL, *TRUTH, "--no-flip-test", "--save-results", "FOLDER/out/results.json"],
    "evaluate boxes": ["evaluate", *MODEL, *TRUTH, "--no-flip-test", "--boxes", "FOLDER/boxes.json"],
    "train": [
        *["train", "--model", "sharpose-nano-128x96", "--data", "FOLDER/people.json", "--images", "FOLDER/photos"],
        *["--init", "FOLDER/w.safetensors", "--set", "model_options={depth: 1}", "--set", "batch_size=2"],
        *["--max-steps", "1", "--out", "FOLDER/out"],
    ],
    "import": [
        *["import", "FOLDER/w.pth", "--as", "sharpose-nano-128x96", "--set", "depth=1"],
        *["--out", "FOLDER/out/w.safetensors"],
    ],
    "doctor": ["data", "doctor", "FOLDER/people.json", "--images", "FOLDER/photos"],
    "doctor boxes": ["data", "doctor", "FOLDER/people.json", "--detections", "FOLDER/boxes.json"],
    "submit": ["submit", *INFO, "--results", "FOLDER/results.json"],
    "submit model": [
        *["submit", *INFO, *MODEL, "--images", "FOLDER/photos", "--boxes", "FOLDER/boxes.json", "--no-flip-test"]
    ],
    "pckh": ["pckh", "--ground-truth", "FOLDER/truth.mat", "--predictions", "FOLDER/points.json"],
}


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that the commands need, whole."""
    folder, rng = tmp_path_factory.mktemp("good"), np.random.default_rng(0)
    (folder / "photos").mkdir()
    (folder / "out").mkdir()
    rows = [{"id": n, "file_name": f"{n}.jpg", "width": SIZE[0], "height": SIZE[1]} for n in (1, 2, 3)]
    for row in rows:
        noise = rng.integers(0, 255, (*SIZE[::-1], 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "photos" / row["file_name"])
    keypoints = np.column_stack([rng.uniform(15, 55, (17, 2)), np.full(17, 2)]).ravel().tolist()
    person = {"category_id": 1, "bbox": [10, 10, 30, 50], "keypoints": keypoints, "area": 900.0, "iscrowd": 0}
    people = [{**person, "id": n, "image_id": n} for n in (1, 2, 3)]
    write(folder / "people.json", {"images": rows, "annotations": people, "categories": [COCO_CATEGORY]})
    names = [{"id": 1, "name": "person", "supercategory": "person"}]
    write(folder / "image_info_test-dev2017.json", {"images": rows, "categories": names})
    write(
        folder / "boxes.json", [{"image_id": n, "category_id": 1, "bbox": [5, 5, 30, 50], "score": 1} for n in (1, 2)]
    )
    result = {"category_id": 1, "keypoints": keypoints, "score": 0.5}
    write(folder / "results.json", [{**result, "image_id": n} for n in (1, 2)])
    points = rng.uniform(10, 50, (16, 2, 3))
    boxes = np.tile([[[10.0], [10.0]], [[30.0], [40.0]]], (1, 1, 3))
    truth = {"pos_gt_src": points, "jnt_missing": np.zeros((16, 3)), "headboxes_src": boxes}
    scipy.io.savemat(folder / "truth.mat", truth)
    write(folder / "points.json", np.moveaxis(points, -1, 0).tolist())
    torch.manual_seed(0)
    model = create_model("sharpose-nano-128x96", depth=1)
    save_weights(model, folder / "w.safetensors", {})
    torch.save(model.state_dict(), folder / "w.pth")
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    return folder


class Code:
    """What leaves a mark where it is unpickled as pickles usually are."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self.mark,)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def hold_code(path: Path) -> None:
    path.write_bytes(pickle.dumps(Code(path.with_name("executed"))))


def explode(path: Path) -> None:
    shutil.copy(path.parents[1] / "bomb.png", path)


def separate_inks(path: Path) -> None:
    Image.open(path).convert("CMYK").save(path)


def deepen(path: Path) -> None:
    Image.fromarray(np.full(SIZE[::-1], 40_000, dtype=np.uint16)).save(path, format="PNG")


def turn(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).save(path, exif=exif)


def no_video(path: Path) -> None:
    path.write_text("not a video")


def first(change: dict[str, Any]) -> Callable[[Path], None]:
    """The first row of a file of annotations, boxes or results, changed."""

    def edit(path: Path) -> None:
        content = json.loads(path.read_text())
        (content["annotations"] if isinstance(content, dict) else content)[0].update(change)
        write(path, content)

    return edit


def no_number_first(path: Path) -> None:
    content = json.loads(path.read_text())
    content[0][0][0] = float("nan")
    write(path, content)


def wrong_truth(path: Path) -> None:
    content = scipy.io.loadmat(path)
    content["pos_gt_src"][0, 0, 0] = float("nan")
    scipy.io.savemat(path, {name: content[name] for name in ("pos_gt_src", "jnt_missing", "headboxes_src")})


PHOTO = "photos/1.jpg"
NAN = float("nan")
DEFECTS: dict[str, Callable[[Path], None]] = {
    "truncated JPEG": cut,
    "CMYK": separate_inks,
    "16 bits": deepen,
    "EXIF rotation": turn,
    "bomb": explode,
    "no video": no_video,
    "no area": first({"bbox": [10, 10, 0, 0]}),
    "negative side": first({"bbox": [10, 10, -30, 50]}),
    "outside": first({"bbox": [500, 10, 30, 50]}),
    "NaN box": first({"bbox": [NAN, 10, 30, 50]}),
    "NaN keypoints": first({"keypoints": [NAN, 30.0, 2] * 17}),
    "NaN point": no_number_first,
    "NaN truth": wrong_truth,
    "cut": cut,
    "code": hold_code,
}
GOOD = [(command, "nothing", "", 0, "") for command in COMMANDS if command != "predict detector"]
BAD = [
    # pictures: what cannot be decoded is named; other colours, depths and turned pictures are read by rule
    *[("predict", defect, PHOTO, 1, "1 left out: FOLDER/photos/1.jpg") for defect in ("truncated JPEG", "bomb")],
    ("predict", "no video", "photos/4.mp4", 1, "1 left out: FOLDER/photos/4.mp4: not a video"),
    *[(command, defect, PHOTO, 2, "FOLDER/photos/1.jpg: ")
      for command in ("evaluate", "train", "submit model") for defect in ("truncated JPEG", "bomb")],
    *[("doctor", defect, PHOTO, 1, "image that cannot be read: 1.jpg") for defect in ("truncated JPEG", "bomb")],
    *[(command, defect, PHOTO, 0, "") for command in ("predict", "evaluate", "train", "submit model", "doctor")
      for defect in ("CMYK", "16 bits", "EXIF rotation")],
    # boxes of people: those without area or outside are not trained on, nor looked at; the doctor shows them
    *[(command, defect, "people.json", 0, "") for command in ("evaluate", "train")
      for defect in ("no area", "negative side", "outside")],
    *[("doctor", defect, "people.json", 1, "box without area: annotation 1")
      for defect in ("no area", "negative side")],
    ("doctor", "outside", "people.json", 1, "box outside its image: annotation 1"),
    *[(command, "NaN box", "people.json", 2, "people.json: annotation 1: bbox holds nan")
      for command in ("evaluate", "train")],
    ("doctor", "NaN box", "people.json", 1, "box that is not four finite numbers: annotation 1"),
    # detected boxes: the protocol looks at every one, but a negative side is a mistake
    *[(command, defect, "boxes.json", 0, "") for command in ("evaluate boxes", "submit model")
      for defect in ("no area", "outside")],
    *[(command, "negative side", "boxes.json", 2, "boxes.json: [0].bbox [10, 10, -30, 50]: width and height")
      for command in ("evaluate boxes", "submit model")],
    *[(command, "NaN box", "boxes.json", 2, "boxes.json: [0].bbox holds nan")
      for command in ("evaluate boxes", "submit model")],
    ("doctor boxes", "negative side", "boxes.json", 1, "detection with a negative width or height: [0]"),
    ("doctor boxes", "NaN box", "boxes.json", 1, "detection without a box of four numbers: [0]"),
    *[("predict boxes", defect, "boxes.json", 1, "has no area") for defect in ("no area", "negative side")],
    ("predict boxes", "outside", "boxes.json", 1, "lies outside its 60x80 pixels"),
    ("predict boxes", "NaN box", "boxes.json", 2, "boxes.json: [0] needs a bbox of four finite numbers"),
    # keypoints
    *[(command, "NaN keypoints", "people.json", 2, "people.json: annotation 1: keypoints holds nan")
      for command in ("evaluate", "train")],
    ("doctor", "NaN keypoints", "people.json", 1, "keypoint that is no finite number: annotation 1"),
    ("submit", "NaN keypoints", "results.json", 2, "results[0].keypoints must be 51 finite numbers"),
    ("pckh", "NaN point", "points.json", 2, "points.json: holds points that are not finite"),
    ("pckh", "NaN truth", "truth.mat", 2, "truth.mat: visible joints must be finite"),
    # files cut in half
    *[(command, "cut", "people.json", 2, "people.json: not valid JSON at line 1")
      for command in ("evaluate", "train", "doctor")],
    *[(command, "cut", "boxes.json", 2, "boxes.json: not valid JSON")
      for command in ("predict boxes", "evaluate boxes", "submit model", "doctor boxes")],
    ("submit", "cut", "results.json", 2, "results.json: not valid JSON"),
    ("submit", "cut", "image_info_test-dev2017.json", 2, "image_info_test-dev2017.json: not valid JSON"),
    ("pckh", "cut", "points.json", 2, "points.json: not valid JSON"),
    ("pckh", "cut", "truth.mat", 2, "truth.mat: not a readable .mat file"),
    *[(command, "cut", "w.safetensors", 2, "w.safetensors: cannot be read as weights")
      for command in ("predict", "evaluate", "train", "submit model")],
    ("import", "cut", "w.pth", 2, "w.pth: damaged"),
    # pickles with code in them
    *[(command, "code", "w.safetensors", 2, "w.safetensors: cannot be read as weights")
      for command in ("predict", "evaluate", "train", "submit model")],
    *[(command, "code", "w.pth", 2, "w.pth: holds more than tensors, or is damaged; it was not executed")
      for command in ("import", "predict detector")],
    ("pckh", "code", "truth.mat", 2, "truth.mat: not a readable .mat file"),
    ("pckh", "code", "points.json", 2, "points.json: not"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "defect", "target", "code", "message"), [*GOOD, *BAD], ids=lambda value: str(value)[:24]
)
def test_bad_input_is_one_line_or_a_rule(
    capsys: pytest.CaptureFixture[str],
    good: Path,
    tmp_path: Path,
    command: str,
    defect: str,
    target: str,
    code: int,
    message: str,
) -> None:
    folder = tmp_path / "set"
    shutil.copytree(good, folder)
    earlier = {name: folder / "out" / name for name in ("results.json", "keypoints.json", "w.safetensors")}
    for path in earlier.values() if code == 2 else ():
        path.write_text("earlier")
    if target:
        DEFECTS[defect](folder / target)
    ended, out, err = call(capsys, *[part.replace("FOLDER", str(folder)) for part in COMMANDS[command]])
    assert ended == code, out + err
    assert "Traceback" not in err and message.replace("FOLDER", str(folder)) in out + err, out + err
    complaints = [line for line in err.splitlines() if line.startswith("sharpose: ")]
    assert len(complaints) == (code == 2 or (command.startswith("predict") and code == 1))
    assert not (folder / "executed").exists()
    if code == 2:
        assert all(path.read_text() == "earlier" for path in earlier.values())
        assert {path.name for path in (folder / "out").iterdir()} <= {*earlier, ".lock"}
    if command.startswith("predict") and code == 1:
        rows = json.loads((folder / "out" / "keypoints.json").read_text())
        assert len(rows) == {"photos/1.jpg": 2, "photos/4.mp4": 3, "boxes.json": 1}[target]


@pytest.mark.parametrize("place", ["photos", "people.json/results.json"])
def test_where_results_cannot_be_written_is_found_out_first(
    capsys: pytest.CaptureFixture[str], good: Path, tmp_path: Path, place: str
) -> None:
    folder = tmp_path / "set"
    shutil.copytree(good, folder)
    # not even decoded
    cut(folder / PHOTO)
    arguments = [part.replace("out/results.json", place) for part in COMMANDS["evaluate"]]
    code, out, err = call(capsys, *[part.replace("FOLDER", str(folder)) for part in arguments])
    assert code == 2 and not out and err.startswith(f"sharpose: --save-results {folder / place}: ")


def test_rules_are_said_on_both_streams_and_in_json(
    capsys: pytest.CaptureFixture[str], good: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    shutil.copytree(good, folder)
    first({"area": 0})(folder / "people.json")
    arguments = [part.replace("FOLDER", str(folder)) for part in COMMANDS["evaluate"]]
    rule = (
        "1 people whose area is 0, for which the box's is taken, so that AP is not comparable with COCO's: annotation 1"
    )
    code, out, err = call(capsys, *arguments)
    assert code == 0 and f"note: {rule}\n" in out and f"note: {folder}/people.json: {rule}\n" in err
    _, out, _ = call(capsys, *arguments, "--json")
    assert json.loads(out)["notes"] == [rule]
    code, out, _ = call(capsys, *[part.replace("FOLDER", str(folder)) for part in COMMANDS["doctor"]])
    assert code == 1 and "1  WRONG: people whose area is 0" in out and "3  people to train on" in out


@pytest.mark.parametrize("command", ["predict", "submit"])
def test_an_out_that_is_a_file_is_one_line(
    capsys: pytest.CaptureFixture[str], good: Path, tmp_path: Path, command: str
) -> None:
    (tmp_path / "file").write_text("mine")
    arguments = [part.replace("FOLDER/out", str(tmp_path / "file")) for part in COMMANDS[command]]
    code, _, err = call(capsys, *[part.replace("FOLDER", str(good)) for part in arguments])
    assert code == 2 and err.splitlines()[-1] == f"sharpose: {tmp_path / 'file'}: File exists"
    assert (tmp_path / "file").read_text() == "mine"


def test_predict_says_where_its_boxes_come_from(capsys: pytest.CaptureFixture[str], good: Path, tmp_path: Path) -> None:
    for command, source in (("predict", "the whole picture, one person each"), ("predict boxes", f"{good}/boxes.json")):
        arguments = [part.replace("FOLDER/out", str(tmp_path / "out")) for part in COMMANDS[command]]
        code, out, _ = call(capsys, *[part.replace("FOLDER", str(good)) for part in arguments])
        assert code == 0 and f"boxes: {source}" in out
