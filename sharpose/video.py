"""Keypoints on a video: a JSON file in COCO's results format, one image id per frame, and a drawn video."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from sharpose.data.images import MAX_PIXELS
from sharpose.data.skeleton import known_skeleton
from sharpose.drawing import draw
from sharpose.errors import InputError
from sharpose.files import write_atomically, write_json
from sharpose.models.output import PoseModel
from sharpose.predict import FindBoxes, Summary, keep_usable, predict_people, result_row, whole

DEFAULT_FPS = 25.0
"""For files that do not say how fast they play."""


class Video:
    """Frames of a video file, RGB, turned as the file says, its frames per second and how many it says there are.

    Raises InputError where it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # FFmpeg would comment on what it cannot read; our own line says it
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        self.capture = cv2.VideoCapture(str(path))
        if not self.capture.isOpened():
            raise InputError(f"{path}: not a video that can be read; convert it, or check that it is whole")
        width, height = self.get(cv2.CAP_PROP_FRAME_WIDTH), self.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if width * height > MAX_PIXELS:
            raise InputError(f"{path}: frames of {width:.0f}x{height:.0f} pixels; shrink the video")
        self.fps = self.get(cv2.CAP_PROP_FPS) or DEFAULT_FPS
        # 0 where the file does not say
        self.length = int(self.get(cv2.CAP_PROP_FRAME_COUNT))

    def get(self, key: int) -> float:
        value = self.capture.get(key)
        return value if math.isfinite(value) and value > 0 else 0.0

    def frames(self) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """Every frame that can be decoded."""
        while True:
            there, frame = self.capture.read()
            if not there:
                break
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        self.capture.release()


def predict_video(
    model: PoseModel,
    path: Path,
    out: Path,
    *,
    find: FindBoxes = whole,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Predict every frame; write `out/STEM.keypoints.json` (image ids are frame numbers from 1) and `STEM.pose.mp4`.

    A video that ends early is noted in the summary. Raises InputError where no frame can be read.
    """
    video = Video(path)
    model = model.to(device).eval()
    summary = Summary(out / f"{path.stem}.keypoints.json")
    drawn = out / f"{path.stem}.pose.mp4"
    layout = known_skeleton(model.config.num_keypoints)

    def write(temporary: Path) -> None:
        with writer(temporary, video.fps) as show:
            number = 0
            for number, pixels in enumerate(video.frames(), 1):
                people = predict_people(model, pixels, keep_usable(find(pixels), pixels, path, summary.skipped), device)
                summary.rows += [{**result_row(person, path, number), "frame": number} for person in people]
                show(draw(pixels, people, layout))
                if progress is not None:
                    progress(number, max(number, video.length))
        if number == 0:
            raise InputError(f"{path}: no frame can be read; convert the video, or check that it is whole")
        if number < video.length:
            summary.skipped.append(f"{path}: ended after {number} of {video.length} frames")

    write_atomically(drawn, write)
    write_json(summary.path, summary.rows)
    summary.drawings.append(str(drawn))
    return summary


@contextlib.contextmanager
def writer(path: Path, fps: float) -> Iterator[Callable[[np.ndarray], Any]]:
    """Takes RGB pictures of one size, and makes an MPEG-4 file of them when it is left."""
    # OpenCV chooses the container by the name's ending
    named, opened = path.with_name(f"{path.name}.mp4"), list[cv2.VideoWriter]()

    def show(pixels: np.ndarray) -> None:
        if not opened:
            size = pixels.shape[1], pixels.shape[0]
            opened.append(cv2.VideoWriter(str(named), cv2.VideoWriter.fourcc(*"mp4v"), fps, size))
            if not opened[0].isOpened():
                raise InputError(f"{path.parent}: no MPEG-4 video can be written here; predict pictures instead")
        opened[0].write(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))

    try:
        yield show
        for one in opened:
            one.release()
        if opened:
            named.replace(path)
    finally:
        named.unlink(missing_ok=True)
