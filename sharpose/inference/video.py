"""Keypoints on videos, cameras and streams: a JSON file in COCO's results format, and a drawn video.

Rules. There is one image id per frame. Every frame that the file plays is predicted once, and drawn once, at its own
time: nothing is made up where the rate varies, nothing repeated or dropped. Times are the file's own, in seconds, also
where a trimmed file does not begin at 0; those of cameras and addresses begin at 0. Frames are turned as the file says.
What cannot be decoded is a failure that is listed, after the rest is done; how many frames a container promises is not.
The results are complete JSON after every frame; the drawn video gets its name when it is complete and was read back.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.logging
import cv2
import numpy as np
from jaxtyping import UInt8

from sharpose.data.images import MAX_PIXELS
from sharpose.inference.drawing import PLAIN, Style, draw
from sharpose.inference.pictures import Source, Summary, keep_usable
from sharpose.inference.pose import Pose
from sharpose.inference.tracking import Tracker
from sharpose.pose.skeleton import known_skeleton
from sharpose.runtime.errors import InputError, RunFailed, first_line
from sharpose.runtime.files import write_atomically
from sharpose.runtime.progress import Heard, unheard

TICKS = Fraction(1, 90_000)
"""What the times of drawn videos are whole numbers of: of every usual rate a whole number."""
TIMEOUT_S = 20.0
LAST_FRAME_S = 0.04
SILENT = 0
Pixels = UInt8[np.ndarray, "H W 3"]
Show = Callable[[Pixels, float], None]


@dataclass(frozen=True)
class Frame:
    """RGB, upright, and when it is shown, in seconds."""

    pixels: Pixels
    time: float


class Video:
    """A video file or the address of a stream, which is `live`: a signal may end it.

    `length`: how many frames the file promises, 0 where it does not. `damage` says, after the last frame, what could
    not be decoded.

    Raises InputError where it cannot be read.
    """

    def __init__(self, source: Path | str) -> None:
        self.source, self.name = str(source), Path(source).name
        self.live = isinstance(source, str)
        self.damage: str | None = None
        # a file may be a playlist, which is to open nothing else
        options = {} if self.live else {"protocol_whitelist": "file"}
        try:
            self.container = av.open(self.source, options=options, timeout=TIMEOUT_S if self.live else None)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise InputError(
                f"{source}: not a video that can be read; convert it, or check that it is whole ({first_line(error)})"
            ) from error
        if not self.container.streams.video:
            raise InputError(f"{source}: holds no pictures, only sound")
        self.stream = self.container.streams.video[0]
        if self.stream.codec_context is None:
            raise InputError(f"{source}: its pictures are coded in a way that is not known here; convert the video")
        self.stream.thread_type = "AUTO"
        # also of frames that grow on the way
        self.stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        if self.stream.width * self.stream.height > MAX_PIXELS:
            raise InputError(f"{source}: frames of {self.stream.width}x{self.stream.height} pixels; shrink the video")
        self.length = 0 if self.live else self.stream.frames

    def frames(self) -> Iterator[Frame]:
        """Yield every frame that can be decoded, in the order in which they are shown."""
        start, now = None, 0.0
        with complaints() as said, self.container:
            for frame in self.decoded():
                # a frame without a time follows the one before at the nominal rate
                following = 0.0 if start is None else now + self.step
                now = following if frame.time is None else float(frame.time)
                start = now if start is None else start
                pixels = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
                yield Frame(np.ascontiguousarray(pixels), now - (start if self.live else 0.0))
                # the container's own complaints, of a file that ends too early for instance, come through no error
                self.note_complaints(said)
            self.note_complaints(said)

    def decoded(self) -> Iterator[av.VideoFrame]:
        """Yield frames; one that cannot be decoded is noted, and the next ones follow."""
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
                if packet.is_corrupt:
                    self.note("a damaged packet")
                for frame in packet.decode():
                    if frame.is_corrupt:
                        self.note("a damaged frame")
                    yield frame
            except (StopIteration, EOFError):
                return
            except av.FFmpegError as error:
                self.note(first_line(error))
                if not isinstance(error, av.InvalidDataError):
                    return

    @property
    def step(self) -> float:
        """Return seconds from frame to frame, by the nominal rate."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return float(1 / rate) if rate else LAST_FRAME_S

    def note(self, what: str) -> None:
        """Note what could not be decoded; the first of it stays."""
        self.damage = self.damage or what

    def note_complaints(self, said: list[tuple[int, str, str]]) -> None:
        """Note what the container's reader called an error."""
        for level, who, what in said:
            if level <= av.logging.ERROR and who == self.container.format.name:
                self.note(what.strip())
        said.clear()


@contextlib.contextmanager
def complaints() -> Iterator[list[tuple[int, str, str]]]:
    """Collect level, speaker and text of what FFmpeg says meanwhile, which else says nothing."""
    before = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture(False) as said:
            yield said
    finally:
        av.logging.set_level(before)


class Camera:
    """A camera by its number, as a `Video`. Its frames end with a signal. Raises InputError where there is none."""

    length, live, damage = 0, True, None

    def __init__(self, number: int) -> None:
        self.name = f"camera-{number}"
        # OpenCV 4 and 5 have it in different places
        logs = getattr(cv2.utils, "logging", cv2)
        level = logs.setLogLevel(SILENT)
        try:
            self.capture = cv2.VideoCapture(number)
        finally:
            logs.setLogLevel(level)
        if not self.capture.isOpened():
            raise InputError(
                f"camera {number}: there is none, or another program uses it; try another number, or give a file"
            )

    def frames(self) -> Iterator[Frame]:
        """Yield frames as they come, with the seconds since the first."""
        began = None
        try:
            while True:
                there, frame = self.capture.read()
                if not there:
                    return
                now = time.monotonic()
                began = now if began is None else began
                yield Frame(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), now - began)
        finally:
            self.capture.release()


def predict_video(
    pose: Pose,
    source: Source,
    out: Path,
    *,
    name: str | None = None,
    style: Style = PLAIN,
    drawings: bool = True,
    track: bool = False,
    smooth: bool = False,
    summary: Summary | None = None,
    progress: Heard = unheard,
) -> Summary:
    """Predict every frame; write `out/NAME.keypoints.json` and `NAME.pose.mp4`.

    Image ids are frame numbers from 1, `time` is in seconds. name: default is the source's, without its ending. track:
    give people identities; smooth: filter their keypoints, too.

    `summary` is filled as the work goes. What cannot be decoded is noted there. A signal ends a camera or a stream
    well, and a file without its drawn video. Raises InputError where no frame can be read, RunFailed where the video
    cannot be written.
    """
    video: Camera | Video = Camera(source) if isinstance(source, int) else Video(source)
    name = name or Path(video.name).stem
    summary = summary or Summary(out / f"{name}.keypoints.json")
    skeleton = known_skeleton(pose.model.config.num_keypoints)
    tracker = Tracker(skeleton.sigmas if skeleton else None, smooth=smooth) if track or smooth else None

    def work(show: Show | None) -> None:
        # a signal ends a camera or a stream well
        signals: tuple[type[BaseException], ...] = (KeyboardInterrupt,) if video.live else ()
        with summary.results() as results, contextlib.suppress(*signals):
            for number, frame in enumerate(video.frames(), 1):
                boxes = keep_usable(pose.boxes(frame.pixels), frame.pixels, video.name, summary.skipped)
                (people,) = pose.people([(frame.pixels, boxes)])
                people = tracker(people, frame.time) if tracker else people
                where, facts = f"{video.name} frame {number}", {"frame": number, "time": round(frame.time, 6)}
                summary.add(results, people, video.name, number, where, **facts)
                if show is not None:
                    show(draw(frame.pixels, people, skeleton, style), frame.time)
                    summary.count(people, style)
                # of an unknown number, at least one is to come
                progress(number, max(number, video.length) if video.length else number + 1)
        if not summary.pictures:
            why = f" ({video.damage})" if video.damage else ""
            raise InputError(f"{source}: no frame can be read{why}; convert the video, or check that it is whole")

    def write(temporary: Path) -> None:
        with writer(temporary) as show:
            work(show)
        check_written(temporary, summary.pictures)

    if drawings:
        drawn = out / f"{name}.pose.mp4"
        try:
            write_atomically(drawn, write, keep_earlier=True)
        except av.FFmpegError as error:
            raise RunFailed(f"{drawn}: not written ({error.strerror}); {summary.path} holds what was done") from error
        summary.drawings.append(str(drawn))
    else:
        work(None)
    if video.damage:
        summary.skipped.append(f"{source}: damaged: {summary.pictures} frames could be decoded ({video.damage})")
    return summary


@contextlib.contextmanager
def writer(path: Path) -> Iterator[Show]:
    """Make a playable MPEG-4 file of RGB pictures and their times; it is whole when the block is left."""
    stream: Any = None
    last = -1
    with av.open(str(path), "w", format="mp4") as container:

        def show(pixels: Pixels, at: float) -> None:
            nonlocal stream, last
            # H.264 halves the colours' rows and columns
            height, width = (side + side % 2 for side in pixels.shape[:2])
            if stream is None:
                # without frames that look ahead, times are written as they are
                stream = container.add_stream("libx264", options={"preset": "veryfast", "crf": "20", "bf": "0"})
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.codec_context.time_base = TICKS
            even = np.pad(pixels, ((0, height - pixels.shape[0]), (0, width - pixels.shape[1]), (0, 0)), mode="edge")
            if (height, width) != (stream.height, stream.width):
                # a stream may change its size, a file may not
                even = cv2.resize(even, (stream.width, stream.height), interpolation=cv2.INTER_AREA)
            frame = av.VideoFrame.from_ndarray(even, format="rgb24")
            last = max(round(at / TICKS), last + 1)
            frame.pts, frame.time_base = last, TICKS
            put(stream.encode(frame))

        def put(packets: list[av.Packet]) -> None:
            for packet in packets:
                packet.duration = packet.duration or round(LAST_FRAME_S / TICKS)
                container.mux(packet)

        yield show
        if stream is not None:
            put(stream.encode())


def check_written(path: Path, frames: int) -> None:
    """Raise OSError unless a drawn video can be opened and has its frames: a full disk cuts files in silence."""
    try:
        with av.open(str(path)) as container:
            found = sum(packet.size > 0 for packet in container.demux(video=0))
    except av.FFmpegError:
        found = 0
    if found != frames or path.stat().st_size == 0:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} (the drawn video has {found} of {frames} frames)")
