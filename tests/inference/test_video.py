"""Prediction on videos: a row per frame at its time, a drawn video, and files that are broken."""

from __future__ import annotations

import json
import os
import resource
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from sharpose.inference import video as videos
from sharpose.inference.pictures import Summary, find_inputs
from sharpose.inference.pose import Pose, predict_people, whole
from sharpose.inference.video import Camera, Video, predict_video
from sharpose.models import create_model
from sharpose.runtime.errors import InputError
from tests.command_line import call

EVEN = [100 * number for number in range(5)]
UNEVEN = [180, 230, 263, 400, 900, 940]
"""Milliseconds."""


@pytest.fixture(scope="module")
def model() -> Pose:
    torch.manual_seed(0)
    network = create_model("sharpose-nano-128x96", depth=1, quality_threshold=None)
    return Pose(network, whole_picture=True, device="cpu", backend="eager")


def record(path: Path, times: Sequence[int] = EVEN, size: tuple[int, int] = (96, 128), **options: str) -> Path:
    """Frames that grow brighter, bluer below, at the given milliseconds."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libvpx" if path.suffix == ".webm" else "libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, at in enumerate(times):
            pixels = np.full((size[1], size[0], 3), 20 * number % 240, dtype=np.uint8)
            pixels[size[1] // 2 :, :, 2] = 250
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def times(path: Path) -> list[float]:
    """When the frames of a file are shown, in seconds."""
    with av.open(str(path)) as container:
        return [round(float(frame.time), 3) for frame in container.decode(video=0)]


def test_every_frame_is_predicted_and_drawn(model: Pose, tmp_path: Path) -> None:
    path = record(tmp_path / "walk.mp4")
    done: list[tuple[int, int]] = []
    summary = predict_video(model, path, tmp_path / "out", progress=lambda *at: done.append(at))
    rows = json.loads((tmp_path / "out" / "walk.keypoints.json").read_text())
    assert [row["image_id"] for row in rows] == [row["frame"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["time"] for row in rows] == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert done == [(n, 5) for n in range(1, 6)] and not summary.skipped
    frames = [frame.pixels for frame in Video(path).frames()]
    (expected,) = predict_people(model.model, frames[3], whole(frames[3]), "cpu")
    np.testing.assert_allclose(np.array(rows[3]["keypoints"]).reshape(17, 3), expected.keypoints)
    assert rows[3]["bbox"] == [0, 0, 96, 128] and rows[3]["file_name"] == "walk.mp4"
    drawn = [frame.pixels for frame in Video(tmp_path / "out" / "walk.pose.mp4").frames()]
    assert (len(drawn), drawn[0].shape) == (5, (128, 96, 3))
    # something was drawn, and the frames are in their order
    assert np.abs(drawn[0].astype(int) - frames[0]).max() > 60
    assert [round(float(np.median(one[:64])) / 20) for one in drawn] == [0, 1, 2, 3, 4]
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == ["walk.keypoints.json", "walk.pose.mp4"]


@pytest.mark.parametrize("name", ["clip.mkv", "clip.mp4", "clip.mov"])
def test_a_variable_rate_is_kept(model: Pose, tmp_path: Path, name: str) -> None:
    summary = predict_video(model, record(tmp_path / name, UNEVEN), tmp_path / "out")
    expected = [at / 1000 for at in UNEVEN]
    # a container without a frame count promises nothing, so nothing is missing
    assert not summary.skipped and [row["time"] for row in summary.rows] == pytest.approx(expected, abs=1e-3)
    assert times(tmp_path / "out" / "clip.pose.mp4") == pytest.approx(expected, abs=1e-3)


def test_frames_are_turned_as_the_file_says(tmp_path: Path) -> None:
    path = record(tmp_path / "a.mp4")
    content = path.read_bytes()
    straight = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    head, _, tail = content.rpartition(straight)
    path.write_bytes(head + struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30) + tail)
    turned = next(Video(path).frames()).pixels
    there, expected = cv2.VideoCapture(str(path)).read()
    assert there and turned.shape == (96, 128, 3)
    assert np.abs(turned.astype(int) - expected[..., ::-1]).max() <= 8
    # a quarter to the right: what was below is on the left
    assert turned[:, :50, 2].mean() > 150 > turned[:, 70:, 2].mean()


def test_a_trimmed_file_has_the_frames_that_it_plays(model: Pose, tmp_path: Path) -> None:
    """An edit list that begins after 200 ms, as phones write when a clip is cut without encoding it again."""
    path = record(tmp_path / "a.mp4", [100 * number for number in range(8)], bf="0")
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") + 12
    duration, media_time = struct.unpack(">ii", content[at : at + 8])
    scale = struct.unpack(">i", content[content.index(b"mdhd") + 16 : content.index(b"mdhd") + 20])[0]
    content[at : at + 8] = struct.pack(">ii", duration * 6 // 8, media_time + scale // 5)
    path.write_bytes(content)
    with av.open(str(path)) as container:
        played = [round(float(frame.time), 3) for frame in container.decode(video=0)]
    summary = predict_video(model, path, tmp_path / "out")
    assert not summary.skipped and len(summary.rows) == len(played) < 8
    assert [round(row["time"], 3) for row in summary.rows] == played == times(tmp_path / "out" / "a.pose.mp4")


def test_odd_sizes_are_drawn(model: Pose, tmp_path: Path) -> None:
    with videos.writer(tmp_path / "odd.mp4") as show:
        for at in (0.0, 0.1):
            show(np.full((97, 65, 3), 90, dtype=np.uint8), at)
    frame = next(Video(tmp_path / "odd.mp4").frames())
    assert frame.pixels.shape == (98, 66, 3) and abs(int(frame.pixels[-1, -1, 0]) - 90) < 6


def test_a_finder_chooses_the_boxes(model: Pose, tmp_path: Path) -> None:
    path = record(tmp_path / "walk.mp4", EVEN[:2])
    two = [([5.0, 5.0, 40.0, 90.0], 0.9), ([30.0, 20.0, 40.0, 80.0], 0.8), ([200.0, 0.0, 9.0, 9.0], 0.7)]
    pose = Pose(model.model, find=lambda pixels: two, device="cpu", backend="eager")
    summary = predict_video(pose, path, tmp_path / "out", drawings=False, track=True)
    assert [(row["frame"], row["bbox"]) for row in summary.rows] == [(n, box) for n in (1, 2) for box, _ in two[:2]]
    assert [row["track_id"] for row in summary.rows] == [1, 2, 1, 2]
    assert len(summary.skipped) == 2 and "outside" in summary.skipped[0]
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["walk.keypoints.json"]


def test_broken_videos(model: Pose, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    with pytest.raises(InputError, match=r"broken.mp4: not a video that can be read"):
        predict_video(model, broken, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["cut.mkv", "cut.mp4", "cut.webm"])
def test_a_file_that_is_cut_off_is_a_failure(model: Pose, tmp_path: Path, name: str) -> None:
    path = record(tmp_path / name, [100 * number for number in range(40)], (320, 240), movflags="faststart")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 8 // 10])
    summary = predict_video(model, path, tmp_path / "out")
    assert 0 < len(summary.rows) < 40 and f"{name}: damaged: {len(summary.rows)} frames" in summary.skipped[0]
    assert len(times(tmp_path / "out" / "cut.pose.mp4")) == len(summary.rows)


def test_an_interrupt_keeps_rows_and_leaves_no_cut_video(model: Pose, tmp_path: Path) -> None:
    summary = Summary(tmp_path / "out" / "walk.keypoints.json")

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_video(model, record(tmp_path / "walk.mp4"), tmp_path / "out", summary=summary, progress=stop)
    assert [row["frame"] for row in json.loads(summary.path.read_text())] == [1, 2, 3]
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["walk.keypoints.json"]


def test_a_full_disk_leaves_no_cut_video(model: Pose, tmp_path: Path) -> None:
    path = record(tmp_path / "walk.mp4", [40 * number for number in range(25)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, hard))
    try:
        with pytest.raises((OSError, videos.RunFailed)):
            predict_video(model, path, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["walk.keypoints.json"]
    assert json.loads((tmp_path / "out" / "walk.keypoints.json").read_text())


def test_a_drawn_video_is_read_back_before_it_gets_its_name(tmp_path: Path) -> None:
    path = record(tmp_path / "a.mp4", movflags="faststart")
    videos.check_written(path, 5)
    with pytest.raises(OSError, match="5 of 6 frames"):
        videos.check_written(path, 6)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(OSError, match="0 of 5 frames"):
        videos.check_written(path, 5)


def test_two_videos_of_one_stem(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for folder, frames in (("a", EVEN[:2]), ("b", EVEN[:3])):
        (tmp_path / folder).mkdir()
        record(tmp_path / folder / "walk.mp4", frames)
    out = tmp_path / "out"
    command = ["predict", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(out), "--whole-picture"]
    code, _, err = call(capsys, *command, "--weights", "random", "--set", "depth=1", "--device", "cpu", "--smooth")
    assert code == 0, err
    rows = [json.loads((out / f"{folder}-walk.keypoints.json").read_text()) for folder in ("a", "b")]
    assert [len(one) for one in rows] == [2, 3] and rows[1][2]["track_id"] == 1
    assert len(times(out / "a-walk.pose.mp4")) == 2 and len(times(out / "b-walk.pose.mp4")) == 3


def test_two_videos_of_one_stem_one_after_the_other(model: Pose, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for folder, frames in (("a", EVEN[:2]), ("b", EVEN[:3])):
        (tmp_path / folder).mkdir()
        record(tmp_path / folder / "walk.mp4", frames)
    for folder, number in (("a", 0), ("a", 0), ("b", 1)):
        summary = predict_video(model, tmp_path / folder / "walk.mp4", out)
        assert len(summary.notes) == number
    assert [len(times(out / name)) for name in ("walk.1.pose.mp4", "walk.pose.mp4")] == [2, 3]
    rows = [json.loads((out / name).read_text()) for name in ("walk.1.keypoints.json", "walk.keypoints.json")]
    assert [len(one) for one in rows] == [2, 3] and len(list(out.iterdir())) == 4


def test_a_camera_ends_well_with_ctrl_c(model: Pose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fake:
        frames = 0

        def __init__(self, number: int) -> None:
            self.number = number

        def isOpened(self) -> bool:
            return self.number == 3

        def read(self) -> tuple[bool, np.ndarray]:
            self.frames += 1
            if self.frames > 2:
                raise KeyboardInterrupt
            return True, np.zeros((128, 96, 3), dtype=np.uint8)

        def release(self) -> None: ...

    monkeypatch.setattr(cv2, "VideoCapture", Fake)
    summary = predict_video(model, 3, tmp_path / "out")
    assert [row["frame"] for row in summary.rows] == [1, 2] and summary.rows[0]["time"] == 0
    assert len(times(tmp_path / "out" / "camera-3.pose.mp4")) == 2
    with pytest.raises(InputError, match="camera 0: there is none, or another program uses it"):
        predict_video(model, 0, tmp_path / "out")


def test_a_camera_by_its_number(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenCV reads a clip in place of a device."""
    real, clip = cv2.VideoCapture, tmp_path / "clip.mp4"
    record(clip, EVEN[:3])
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: real(str(clip) if number == 7 else str(tmp_path / "none")))
    out = tmp_path / "out"
    command = ["predict", "7", "--out", str(out), "--whole-picture", "--weights", "random", "--set", "depth=1"]
    code, said, err = call(capsys, *command, "--device", "cpu", "--track")
    assert code == 0, err
    rows = json.loads((out / "camera-7.keypoints.json").read_text())
    found = [(row["frame"], row["file_name"], row["track_id"]) for row in rows]
    assert found == [(1, "camera-7", 1), (2, "camera-7", 1), (3, "camera-7", 1)]
    assert rows[0]["time"] == 0 < rows[1]["time"] < rows[2]["time"]
    assert len(times(out / "camera-7.pose.mp4")) == 3 and "camera-7.keypoints.json: 3 people, 1 drawn" in said
    seen = next(Camera(7).frames()).pixels
    assert np.abs(seen.astype(int) - next(Video(clip).frames()).pixels).mean() < 3


def test_a_camera_that_is_not_there_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"^camera 99: "):
        Camera(99)
    # OpenCV's own complaints are kept off the terminal
    assert capfd.readouterr().err == ""


def test_a_playlist_opens_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/{os.getpid()}.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(InputError, match="not a video that can be read"):
        Video(tmp_path / "list.mp4")


def test_folders_hold_pictures_and_videos_but_not_drawn_ones(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.mp4", "a.pose.jpg", "b.pose.mp4", "c.txt"):
        (tmp_path / name).touch()
    assert find_inputs([tmp_path]) == ([tmp_path / "a.jpg"], [tmp_path / "b.mp4"])


@pytest.mark.parametrize("case", ["A22_video_frame_count_is_a_guess/vfr.mkv", "A42_video_webm_variable_rate/vfr.webm"])
def test_whole_videos_are_not_called_cut_off(shared: Path, model: Pose, tmp_path: Path, case: str) -> None:
    summary = predict_video(model, shared / "cases" / case, tmp_path / "out")
    assert not summary.skipped and len(summary.rows) == 20
    assert times(tmp_path / "out" / "vfr.pose.mp4") == [round(row["time"], 3) for row in summary.rows]
    assert summary.rows[-1]["time"] == 1.38
