"""Prediction on videos: a row per frame, a drawn video, and files that are broken."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sharpose.errors import InputError
from sharpose.models import create_model
from sharpose.models.output import PoseModel
from sharpose.predict import find_inputs, predict_people, whole
from sharpose.video import Video, predict_video


@pytest.fixture(scope="module")
def model() -> PoseModel:
    torch.manual_seed(0)
    return create_model("sharpose-nano-128x96", depth=1, quality_threshold=None).eval()


def record(path: Path, frames: int, fps: float = 10.0) -> Path:
    """Frames that grow brighter."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (96, 128))
    for number in range(frames):
        writer.write(np.full((128, 96, 3), 20 * number % 240, dtype=np.uint8))
    writer.release()
    return path


def test_every_frame_is_predicted_and_drawn(model: PoseModel, tmp_path: Path) -> None:
    path = record(tmp_path / "walk.mp4", 5)
    done: list[tuple[int, int]] = []
    summary = predict_video(model, path, tmp_path / "out", progress=lambda *at: done.append(at))
    rows = json.loads((tmp_path / "out" / "walk.keypoints.json").read_text())
    assert [row["image_id"] for row in rows] == [row["frame"] for row in rows] == [1, 2, 3, 4, 5]
    assert done == [(n, 5) for n in range(1, 6)] and not summary.skipped
    frames = list(Video(path).frames())
    (expected,) = predict_people(model, frames[3], whole(frames[3]), "cpu")
    np.testing.assert_allclose(np.array(rows[3]["keypoints"]).reshape(17, 3), expected.keypoints)
    assert rows[3]["bbox"] == [0, 0, 96, 128] and rows[3]["file_name"] == "walk.mp4"
    drawn = Video(tmp_path / "out" / "walk.pose.mp4")
    pictures = list(drawn.frames())
    assert (len(pictures), pictures[0].shape, drawn.fps) == (5, (128, 96, 3), 10.0)
    # something was drawn, and the frames are in their order
    assert np.abs(pictures[0].astype(int) - frames[0]).max() > 60
    assert [round(np.median(one) / 20) for one in pictures] == [0, 1, 2, 3, 4]
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == ["walk.keypoints.json", "walk.pose.mp4"]


def test_a_finder_chooses_the_boxes(model: PoseModel, tmp_path: Path) -> None:
    path = record(tmp_path / "walk.mp4", 2)
    two = [([5.0, 5.0, 40.0, 90.0], 0.9), ([30.0, 20.0, 40.0, 80.0], 0.8), ([200.0, 0.0, 9.0, 9.0], 0.7)]
    summary = predict_video(model, path, tmp_path / "out", find=lambda pixels: two)
    assert [(row["frame"], row["bbox"]) for row in summary.rows] == [(n, box) for n in (1, 2) for box, _ in two[:2]]
    assert len(summary.skipped) == 2 and "outside" in summary.skipped[0]


def test_broken_videos(model: PoseModel, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    with pytest.raises(InputError, match=r"broken.mp4: not a video that can be read"):
        predict_video(model, broken, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    # a file whose head says more frames than its body holds
    whole_file = record(tmp_path / "cut.avi", 40).read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole_file[: len(whole_file) * 6 // 10])
    summary = predict_video(model, tmp_path / "cut.avi", tmp_path / "out")
    assert 0 < len(summary.rows) < 40 and "cut.avi: ended after" in summary.skipped[0]


def test_folders_hold_pictures_and_videos_but_not_drawn_ones(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.mp4", "a.pose.jpg", "b.pose.mp4", "c.txt"):
        (tmp_path / name).touch()
    assert find_inputs([tmp_path]) == ([tmp_path / "a.jpg"], [tmp_path / "b.mp4"])
