"""Prediction on pictures: results, drawings, and input of every bad kind."""

from __future__ import annotations

import json
import os
import resource
import signal
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sharpose.cli.predict import result_lines
from sharpose.inference import pictures as predicting
from sharpose.inference.drawing import PLAIN, Style
from sharpose.inference.pictures import Summary, find_inputs, load_boxes, predict_pictures
from sharpose.inference.pose import Pose, predict_people
from sharpose.models import create_model
from sharpose.runtime.errors import InputError
from sharpose.runtime.signals import STOP
from sharpose.weights.files import save_weights
from tests.command_line import call

SIDE = 16


@pytest.fixture(scope="module")
def model() -> Pose:
    torch.manual_seed(0)
    network = create_model("sharpose-nano-128x96", depth=2, quality_threshold=None, alpha=0.25)
    return Pose(network, whole_picture=True, device="cpu", backend="eager")


def save(path: Path, size: tuple[int, int] = (96, 128), mode: str = "RGB") -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path)
    return path


def test_results_and_drawings(model: Pose, tmp_path: Path) -> None:
    pictures, videos = find_inputs([save(tmp_path / "7.png"), save(tmp_path / "000012.png")])
    assert videos == []
    boxes = tmp_path / "boxes.json"
    rows = [{"image_id": 12, "bbox": [5, 6, 40, 80], "score": 0.5}, {"file_name": "7.png", "bbox": [0, 0, 50, 90]}]
    boxes.write_text(json.dumps(rows))
    summary = predict_pictures(model, pictures, tmp_path / "out", boxes=boxes)
    written = json.loads((tmp_path / "out" / "keypoints.json").read_text())
    assert [row["image_id"] for row in written] == [7, 12] and written[1]["bbox"] == [5, 6, 40, 80]
    assert all(len(row["keypoints"]) == 51 and row["refined"] is True and row["category_id"] == 1 for row in written)
    assert all(isinstance(row["quality"], float) for row in written) and not summary.skipped
    drawn = np.asarray(Image.open(tmp_path / "out" / "7.pose.jpg"))
    assert drawn.shape == (128, 96, 3)


def test_selected_patches_lie_on_the_grid_of_the_padded_box(model: Pose) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (400, 300, 3), dtype=np.uint8)
    (person,) = predict_people(model.model, pixels, [([30.0, 40.0, 96.0, 128.0], 1.0)], "cpu")
    # padding 1.25 makes the crop 120 x 160 around (78, 104); 12 of 48 patches of 16 crop pixels are selected
    assert person.patches.shape == (12, 4, 2)
    unpadded = (person.patches - [78, 104]) * [95 / 120, 127 / 160] + [47.5, 63.5] + 0.5
    np.testing.assert_allclose(unpadded, np.round(unpadded / SIDE) * SIDE, atol=1e-9)
    sides = person.patches[:, 2] - person.patches[:, 0]
    np.testing.assert_allclose(sides, np.broadcast_to([16 * 120 / 95, 16 * 160 / 127], sides.shape))


def test_early_exit_is_reported_and_selects_nothing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    early = Pose(create_model("sharpose-nano-128x96", depth=1, quality_threshold=-9.0), whole_picture=True)
    summary = predict_pictures(early, [save(tmp_path / "a.png")], tmp_path / "out")
    assert summary.rows[0]["refined"] is False and summary.rows[0]["bbox"] == [0, 0, 96, 128]


def test_hidden_files_pipes_and_folders_are_no_pictures(tmp_path: Path) -> None:
    good = save(tmp_path / "a.jpg")
    (tmp_path / "._a.jpg").write_bytes(b"\0\5\x16\7")
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "b.jpg")
    assert find_inputs([tmp_path]) == ([good], [])


@pytest.mark.parametrize("mode", ["CMYK", "L", "P"])
def test_odd_pictures_are_read(model: Pose, tmp_path: Path, mode: str) -> None:
    suffix = ".jpg" if mode == "CMYK" else ".png"
    assert len(predict_pictures(model, [save(tmp_path / f"a{suffix}", mode=mode)], tmp_path / "o").rows) == 1


def test_16_bit_pictures_and_exif(model: Pose, tmp_path: Path) -> None:
    deep = tmp_path / "deep.png"
    Image.fromarray(np.full((64, 48), 40000, dtype=np.uint16)).save(deep)
    turned, exif = tmp_path / "turned.jpg", Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (128, 96)).save(turned, exif=exif)
    upright = predict_pictures(model, [deep, turned], tmp_path / "o").rows[1]
    assert upright["bbox"] == [0, 0, 96, 128]
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"file_name": "turned.jpg", "bbox": [100, 0, 20, 90]}]))
    assert len(predict_pictures(model, [turned], tmp_path / "o", boxes=boxes).rows) == 1


def test_what_cannot_be_used_is_listed_and_the_rest_is_done(model: Pose, tmp_path: Path) -> None:
    good, cut = save(tmp_path / "good.jpg"), save(tmp_path / "cut.jpg")
    cut.write_bytes(cut.read_bytes()[:2000])
    boxes = tmp_path / "boxes.json"
    shapes = [[0, 0, 50, 0], [500, 0, 10, 10], [0, 0, 50, 60]]
    boxes.write_text(json.dumps([{"file_name": "good.jpg", "bbox": box} for box in shapes]))
    summary = predict_pictures(model, [good, cut], tmp_path / "o", boxes=boxes)
    assert len(summary.rows) == 1 and len(summary.skipped) == 3
    assert all(word in line for word, line in zip(("no area", "outside", "cut.jpg"), summary.skipped, strict=True))
    with pytest.raises(InputError, match=r"cut\.jpg"):
        predict_pictures(model, [cut], tmp_path / "o")


def test_wrong_inputs_are_one_line(tmp_path: Path) -> None:
    for name in ("walk.mp4", "absent.jpg"):
        with pytest.raises(InputError, match="no such picture, video or folder"):
            find_inputs([tmp_path / name])
    with pytest.raises(InputError, match="holds no picture or video"):
        find_inputs([tmp_path])
    picture, boxes = save(tmp_path / "a.png"), tmp_path / "b.json"
    for content, message in (
        ("[{", "not valid JSON"),
        ('[{"file_name": "b.png", "bbox": [0, 0, 1, 1]}]', "no given picture"),
        ('[{"file_name": "a.png", "bbox": [0, 0, NaN, 1]}]', "finite"),
    ):
        boxes.write_text(content)
        with pytest.raises(InputError, match=message):
            load_boxes(boxes, [picture])


def test_boxes_of_other_categories_are_left_out_and_counted(tmp_path: Path) -> None:
    picture, boxes = save(tmp_path / "a.png"), tmp_path / "b.json"
    rows = [{"file_name": "a.png", "bbox": [0, 0, 9, 9], "category_id": number} for number in (1, 62, 17)]
    boxes.write_text(json.dumps(rows))
    found, left_out = load_boxes(boxes, [picture])
    assert found == {picture: [([0, 0, 9, 9], 1.0)]} and left_out is not None and "2 of 3 boxes" in left_out
    for category in ("1", None, True):
        boxes.write_text(json.dumps([{"file_name": "a.png", "bbox": [0, 0, 9, 9], "category_id": category}]))
        with pytest.raises(InputError, match=r"\[0\]: category_id .* must be a number"):
            load_boxes(boxes, [picture])


@pytest.mark.parametrize(
    ("case", "inputs", "code", "message"),
    [
        ("A18_boxes_of_every_category", ["../_people/000001.jpg"], 0, "2 of 3 boxes are of other categories than 1"),
        ("A19_same_name_in_two_folders", ["a", "b"], 2, "frame.jpg is the name of 2 pictures"),
        ("A20_image_id_of_another_list", ["pics"], 2, "give file_name"),
    ],
)
def test_boxes_that_others_wrote(
    capsys: pytest.CaptureFixture[str],
    shared: Path,
    tmp_path: Path,
    case: str,
    inputs: list[str],
    code: int,
    message: str,
) -> None:
    folder = shared / "cases" / case
    paths, out = [str(folder / one) for one in inputs], str(tmp_path / "out")
    command = ["predict", *paths, "--boxes", str(folder / "boxes.json"), "--out", out, "--weights", "random"]
    ended, said, err = call(capsys, *command, "--device", "cpu")
    assert ended == code and message in said + err and len(err.strip().splitlines()) == 1
    if code == 0:
        assert len(json.loads((tmp_path / "out" / "keypoints.json").read_text())) == 1


def test_hidden_files_of_a_mac_are_passed_by(capsys: pytest.CaptureFixture[str], shared: Path, tmp_path: Path) -> None:
    folder = str(shared / "cases" / "A28_hidden_files_of_a_mac" / "pics")
    command = ["predict", folder, "--whole-picture", "--out", str(tmp_path), "--weights", "random", "--device", "cpu"]
    code, said, err = call(capsys, *command)
    assert code == 0 and "1 people, 1 drawn" in said, err


def test_boxes_go_to_exactly_one_picture(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    pictures, boxes = [save(tmp_path / folder / "frame.png") for folder in ("a", "b")], tmp_path / "boxes.json"
    box = {"bbox": [0, 0, 9, 9]}
    boxes.write_text(json.dumps([{"file_name": "frame.png", **box}]))
    with pytest.raises(InputError, match=r"\[0\]: frame.png is the name of 2 pictures; give more of the path"):
        load_boxes(boxes, pictures)
    boxes.write_text(json.dumps([{"file_name": "b/frame.png", **box}]))
    assert list(load_boxes(boxes, pictures)[0]) == [pictures[1]]
    # an id of another list would say nothing about names that are no numbers
    boxes.write_text(json.dumps([{"image_id": 1, **box}]))
    with pytest.raises(InputError, match="no numbers, so image_id says nothing; give file_name"):
        load_boxes(boxes, pictures)
    numbered = [save(tmp_path / "a" / "12.png"), save(tmp_path / "a" / "7.png")]
    boxes.write_text(json.dumps([{"image_id": True, **box}]))
    with pytest.raises(InputError, match="no given picture"):
        load_boxes(boxes, numbered)
    boxes.write_text(json.dumps([{"image_id": 7.0, **box}]))
    assert list(load_boxes(boxes, numbered)[0]) == [numbered[1]]
    boxes.write_text(json.dumps([{"image_id": 7, "bbox": [0.1, 0.2, 0.5, 0.8]}]))
    with pytest.raises(InputError, match=r"boxes.json: all 1 boxes of people .* shares of the picture; multiply them"):
        load_boxes(boxes, numbered)


def test_pictures_of_one_name_do_not_overwrite_each_other(model: Pose, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    pictures = [save(tmp_path / folder / "frame.png") for folder in ("a", "b")]
    pictures.append(save(tmp_path / "a" / f"{'long' * 60}.png"))
    summary = predict_pictures(model, pictures, tmp_path / "out")
    names = [Path(drawn).name for drawn in summary.drawings]
    assert names[:2] == ["a-frame.pose.jpg", "b-frame.pose.jpg"] and len(names[2]) == 129
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*names, "keypoints.json"}
    assert [row["file_name"] for row in summary.rows[:2]] == [str(path) for path in pictures[:2]]


def test_what_is_no_picture_in_a_folder_is_passed_by(tmp_path: Path) -> None:
    for name in ("._IMG.jpg", ".hidden.png", "IMG.jpg", "a.pose.jpg"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.jpg")
    assert find_inputs([tmp_path]) == ([tmp_path / "IMG.jpg"], [])
    assert find_inputs(["0", "rtsp://somewhere/live"]) == ([], [0, "rtsp://somewhere/live"])
    with pytest.raises(InputError, match="no such picture"):
        find_inputs([tmp_path / "pipe.jpg"])


def test_a_picture_at_an_address_is_fetched(model: Pose, tmp_path: Path) -> None:
    save(tmp_path / "far.png")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.func.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        (picture,), _ = find_inputs([f"{address}/far.png"])
        assert picture.read_bytes() == (tmp_path / "far.png").read_bytes() and picture.name == "far.png"
        assert len(model(f"{address}/far.png")) == 1
        with pytest.raises(InputError, match=r"absent.png: cannot be fetched \(HTTP Error 404"):
            find_inputs([f"{address}/absent.png"])
        server.shutdown()


def test_nobody_is_an_answer_and_what_is_not_drawn_is_counted(model: Pose, tmp_path: Path) -> None:
    picture = save(tmp_path / "a.png")
    nobody = Pose(model.model, find=lambda pixels: [], device="cpu", backend="eager")
    summary = predict_pictures(nobody, [picture], tmp_path / "out")
    assert summary.empty == [str(picture)] and json.loads(summary.path.read_text()) == []
    hidden = predict_pictures(model, [picture], tmp_path / "out", style=Style(threshold=1.0))
    assert (hidden.undrawn_people, hidden.undrawn_keypoints) == (1, 17)
    drawn = predict_pictures(model, [picture], tmp_path / "out", style=Style(threshold=0.0))
    assert drawn.undrawn_keypoints == sum(score <= 0 for score in drawn.rows[0]["keypoints"][2::3])


def test_an_interrupt_keeps_what_was_complete(model: Pose, tmp_path: Path) -> None:
    pictures = [save(tmp_path / f"{number}.png") for number in range(4)]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "keypoints.json").write_text("earlier")

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    summary = Summary(tmp_path / "out" / "keypoints.json")
    with pytest.raises(KeyboardInterrupt):
        predict_pictures(model, pictures, tmp_path / "out", summary=summary, progress=stop)
    rows = json.loads(summary.path.read_text())
    assert [row["image_id"] for row in rows] == [0, 1] and rows == summary.rows and summary.pictures == 2
    names = ["0.pose.jpg", "1.pose.jpg", "keypoints.1.json", "keypoints.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert (tmp_path / "out" / "keypoints.1.json").read_text() == "earlier"


def test_a_full_disk_keeps_what_was_complete(model: Pose, tmp_path: Path) -> None:
    pictures = [save(tmp_path / f"{number}.png") for number in range(20)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            predict_pictures(model, pictures, tmp_path / "out", drawings=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(tmp_path / "out" / "keypoints.json")
    rows = json.loads((tmp_path / "out" / "keypoints.json").read_text())
    assert 1 <= len(rows) < 20 and [row["image_id"] for row in rows] == list(range(len(rows)))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["keypoints.json"]


COMMAND = ["predict", "--whole-picture", "--device", "cpu", "--weights", "random"]


def test_the_command_says_what_it_did(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = save(tmp_path / "a.png")
    code, out, err = call(capsys, *COMMAND, str(picture), "--out", str(tmp_path / "out"), "--keypoint-threshold", "1")
    assert code == 0 and f"{tmp_path / 'out' / 'keypoints.json'}: 1 people, 1 drawn" in out and "warning" not in err
    assert "not drawn: 17 keypoints scored 1 or less; of 1 people nothing at all" in out
    assert "ms per picture (finding people 0)" in out and "ms per person" in out and "weights: random, cpu" in out


def test_weights_without_a_model_are_those_of_their_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture, command = save(tmp_path / "a.png"), ["predict", "--whole-picture", "--device", "cpu", "--out"]
    rows = []
    for number, choice in enumerate((["--weights"], ["--model"], ["--model", "sharpose-nano-128x96", "--weights"])):
        out = tmp_path / str(number)
        code, said, err = call(capsys, *command, str(out), *choice, "photos/sharpose-nano-128x96", str(picture))
        assert code == 0 and "weights: photos/sharpose-nano-128x96" in said, err
        rows.append(json.loads((out / "keypoints.json").read_text()))
    assert rows[0] == rows[1] == rows[2] and rows[0][0]["quality"] is not None
    assert hasattr(Pose(weights="photos/sharpose-nano-128x96", backend="eager", device="cpu").model.config, "alpha")


def test_people_who_are_not_listed_are_counted() -> None:
    row = {"file_name": "a.jpg", "bbox": [0, 0, 10, 20], "score": 0.5, "quality": None, "refined": None}
    lines = list(result_lines([Summary(Path("keypoints.json"), rows=[row] * 12, pictures=1)], PLAIN, drawn=True))
    assert lines[0] == "keypoints.json: 12 people, 0 drawn" and len(lines) == 1 + 10 + 1
    assert lines[-1] == "  and 2 more people, in the file"


@pytest.mark.parametrize("score", [0.9, 0.4])
def test_people_are_found_unless_told_otherwise(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, score: float
) -> None:
    class Fake(torch.nn.Module):
        def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
            boxes = torch.tensor([[10.0, 20, 50, 100]])
            return [{"boxes": boxes, "labels": torch.tensor([1]), "scores": torch.tensor([score])}]

    monkeypatch.setattr("sharpose.inference.detector.fetched", lambda architecture: Fake())
    picture, out = save(tmp_path / "a.png"), tmp_path / "out"
    code, said, err = call(capsys, "predict", str(picture), "--out", str(out), "--device", "cpu")
    assert code == 0 and "boxes: fasterrcnn_mobilenet_v3_large_fpn" in said, err
    rows = json.loads((out / "keypoints.json").read_text())
    if score < 0.5:
        assert rows == [] and f"nobody found in 1 of 1: {picture}" in said and "0 people, 1 drawn" in said
    else:
        assert [row["bbox"] for row in rows] == [[10, 20, 40, 80]] and "a.png: 40x80 at 10,20, score" in said


def test_a_full_disk_is_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pictures = [str(save(tmp_path / f"{number}.png")) for number in range(3)]
    real, calls = predicting.write_drawing, list[Path]()

    def second_has_no_room(path: Path, canvas: np.ndarray) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise OSError(28, "No space left on device", str(path))
        real(path, canvas)

    monkeypatch.setattr(predicting, "write_drawing", second_has_no_room)
    code, _, err = call(capsys, *COMMAND, *pictures, "--out", str(tmp_path / "out"))
    said = f"{tmp_path / 'out' / '1.pose.jpg'}: No space left on device; kept: {tmp_path / 'out' / 'keypoints.json'}"
    assert code == 1 and said in err and len(json.loads((tmp_path / "out" / "keypoints.json").read_text())) == 2


def test_the_command_warns_of_weights_made_for_other_pictures(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture, out, generated = save(tmp_path / "a.png"), str(tmp_path / "out"), tmp_path / "generated.safetensors"
    name, few = "sharpose-nano-128x96", {"depth": 1}
    facts = {"model": name, "options": few, "data": {"name": "mannequin2-train"}}
    save_weights(create_model(name, **few), generated, facts)
    code, _, err = call(capsys, *COMMAND[:4], str(picture), "--out", out, "--model", str(generated))
    assert code == 0 and f"warning: {generated} learned from generated people (mannequin2-train)" in err
    code, said, err = call(capsys, *COMMAND[:4], str(picture), "--out", out, "--model", "photos/sharpose-nano-128x96")
    assert code == 0 and "warning" not in err and "weights: photos/sharpose-nano-128x96" in said


def test_other_results_of_an_earlier_run_are_kept(model: Pose, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for folder, colour in (("a", 10), ("b", 200)):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (60, 80), (colour, 0, 0)).save(tmp_path / folder / "me.png")

    def run(folder: str) -> tuple[list[str], bytes, bytes]:
        notes = predict_pictures(model, [tmp_path / folder / "me.png"], out).notes
        return notes, (out / "keypoints.json").read_bytes(), (out / "me.pose.jpg").read_bytes()

    first = run("a")
    # the same again is nothing else
    assert run("a") == first and first[0] == [] and len(list(out.iterdir())) == 2
    (note,), *other = run("b")
    assert (
        note
        == f"{out / 'keypoints.json'}: other results were there; they are kept as keypoints.1.json, drawings likewise"
    )
    assert [(out / name).read_bytes() for name in ("keypoints.1.json", "me.1.pose.jpg")] == list(first[1:]) != other
    assert len(list(out.iterdir())) == 4
    with pytest.raises(InputError, match="holds no picture"):
        find_inputs([out])


def test_names_that_are_odd_text(model: Pose, tmp_path: Path) -> None:
    names = [b"not-\xff-utf-8.png", "é.png".encode(), b"two\nlines.png", b'quoted".png']
    picture = save(tmp_path / "a.png")
    pictures = [Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/" + name)) for name in names]
    pictures[0].parent.mkdir()
    for one in pictures:
        one.write_bytes(picture.read_bytes())
    predict_pictures(model, pictures, tmp_path / "out")
    rows = json.loads((tmp_path / "out" / "keypoints.json").read_bytes().decode())
    assert [os.fsencode(row["file_name"]) for row in rows] == names
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 4


def test_what_a_run_that_was_stopped_left_is_in_the_whole(model: Pose, tmp_path: Path) -> None:
    pictures = [save(tmp_path / f"{number}.png") for number in range(3)]
    predict_pictures(model, pictures[:1], tmp_path / "out", drawings=False)
    summary = predict_pictures(model, pictures, tmp_path / "out", drawings=False)
    assert not summary.notes and [one.name for one in (tmp_path / "out").iterdir()] == ["keypoints.json"]
    # fewer than there were is something else
    predict_pictures(model, pictures[:2], tmp_path / "out", drawings=False)
    assert len(json.loads((tmp_path / "out" / "keypoints.1.json").read_text())) == 3


@pytest.fixture
def signals() -> Iterator[None]:
    """A command that was told to stop hears no more; the tests after it do."""
    before = {number: signal.getsignal(number) for number in STOP}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("done", [0, 1])
def test_a_signal_ends_the_command_with_the_code_that_shells_know(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int, done: int
) -> None:
    pictures = [str(save(tmp_path / f"{number}.png")) for number in range(3)]
    real, calls = predicting.read_image, list[Path]()

    def one_is_too_much(path: Path, **options: bool) -> np.ndarray:
        calls.append(path)
        if len(calls) > done:
            os.kill(os.getpid(), number)
        return real(path, **options)

    monkeypatch.setattr(predicting, "read_image", one_is_too_much)
    code, _, err = call(capsys, *COMMAND, *pictures, "--out", str(tmp_path / "out"))
    results = tmp_path / "out" / "keypoints.json"
    kept = f"kept: {results} (1 pictures, 1 people)" if done else "nothing was done yet"
    assert code == 128 + number and err.strip() == f"sharpose: interrupted; {kept}"
    assert results.exists() == bool(done) and (not done or len(json.loads(results.read_text())) == 1)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--show", "bones"], "--show 'bones' does not work: it must be of boxes, patches, quality"),
        (["--model", "sharpose-nano-128x69"], "no trained weights are called 'sharpose-nano-128x69'"),
        (["--detector", "fcos_resnet50_fpn"], "--whole-picture looks for nobody"),
        (["--smooth"], "--track and --smooth are for videos, and there is none"),
        (["--boxes", "b.json"], "goes neither with videos nor with --detector or --whole-picture"),
    ],
)
def test_contradictions_are_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, more: list[str], message: str
) -> None:
    arguments = [*COMMAND[:4], str(save(tmp_path / "a.png")), *more, "--out", str(tmp_path / "out")]
    code, _, err = call(capsys, *arguments)
    assert code == 2 and message in err and len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
