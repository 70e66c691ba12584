"""Another project's network in a file, ONNX or OpenVINO's IR, that predicts like a model of ours.

It is measured by the same crops, flip test, decoding and scores.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor, nn

from sharpose.backends.compiled import pad_rows
from sharpose.backends.extras import need
from sharpose.models.output import PoseOutput
from sharpose.pose.geometry import BOX_PADDING
from sharpose.pose.normalise import IMAGENET_MEAN, IMAGENET_STD
from sharpose.runtime.errors import InputError, first_line
from sharpose.runtime.fields import check_fields
from sharpose.runtime.files import sha256_of

Channels = Literal["rgb", "bgr"]
Codec = Literal["udp", "dark", "msra"]
Values = tuple[tuple[float, ...], tuple[float, ...]]
NORMALISATIONS: dict[str, Values] = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "0-1": ((0.0,) * 3, (1.0,) * 3),
    "0-255": ((0.0,) * 3, (1 / 255,) * 3),
}
"""Mean and standard deviation by name, of pixels divided by 255."""


@dataclass(frozen=True)
class Reading:
    """What a file does not say of itself: its input and how its heatmaps are meant.

    image_size: (height, width); None: as in the graph. normalise: a name of NORMALISATIONS, or `mean/std` of pixels
    divided by 255, as in `.5,.5,.5/.5,.5,.5` (in the order of `channels`). codec: how heatmaps are decoded, and with it
    how crops are cut. padding: the crop's sides over the box's. output: the name of the heatmaps among several outputs.
    Raises InputError for values that do not work.
    """

    image_size: tuple[int, int] | None = None
    normalise: str = "imagenet"
    channels: Channels = "rgb"
    codec: Codec = "udp"
    padding: Annotated[float, Field(ge=1, le=4)] = BOX_PADDING
    output: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        self.mean_and_std()

    def mean_and_std(self) -> Values:
        """Return three means and three standard deviations of pixels divided by 255. Raises InputError."""
        if self.normalise in NORMALISATIONS:
            return NORMALISATIONS[self.normalise]
        try:
            mean, std = (tuple(float(each) for each in part.split(",")) for part in self.normalise.split("/"))
        except ValueError:
            mean, std = (), ()
        if len(mean) != 3 or len(std) != 3 or not all(map(math.isfinite, mean + std)) or min(std) <= 0:
            names = " or ".join(", ".join(NORMALISATIONS).rsplit(", ", 1))
            raise InputError(
                f"normalise = {self.normalise!r} does not work: it must be {names}, "
                "or three means and deviations of pixels / 255, such as .5,.5,.5/.5,.5,.5"
            )
        return mean, std


@dataclass(frozen=True)
class FileConfig:
    """What evaluation asks of a model's configuration. Sizes are (height, width)."""

    image_size: tuple[int, int]
    heatmap_size: tuple[int, int]
    num_keypoints: int
    codec: Codec


class HeatmapFile(nn.Module):
    """The network of a file, on the CPU in fp32: uint8 crops through `normalise` and `forward` to heatmaps.

    `reading` has the input's size filled in; `digests` are the file's sha256 and, of an IR, that of its weights.
    Raises InputError, before anything is predicted, for a file that cannot be read or gives no heatmaps.
    """

    def __init__(self, path: Path, reading: Reading = Reading()) -> None:
        super().__init__()
        if not path.is_file():
            raise InputError(f"{path}: no such file; give an .onnx file, or the .xml of an OpenVINO IR")
        self.path, self.digests = path, digests_of(path)
        self.graph = open_graph(path)
        size = input_size(path, self.graph.shape, reading.image_size)
        self.reading = replace(reading, image_size=size)
        fixed = self.graph.shape[0]
        self.batch = fixed if isinstance(fixed, int) else None
        self.index = self.find_heatmaps(np.zeros((self.batch or 1, 3, *size), dtype=np.float32))

    def find_heatmaps(self, images: np.ndarray) -> int:
        """Find which output holds the heatmaps, by trying; set `config`. Raises InputError where that is not clear.

        `images` are (B, 3, H, W).
        """
        outputs, names, wanted = self.graph.run(images), self.graph.outputs, self.reading.output
        said = ", ".join(f"{name} {list(value.shape)}" for name, value in zip(names, outputs, strict=True))
        if wanted is not None and wanted not in names:
            raise InputError(f"{self.path}: has no output {wanted!r}; there are {said}")
        found = [i for i, value in enumerate(outputs) if value.ndim == 4 and wanted in (None, names[i])]
        if len(found) != 1:
            which = "name one with --output" if found else "a model that gives coordinates cannot be measured so"
            raise InputError(f"{self.path}: needs one output of heatmaps (B, K, h, w) and has {said}; {which}")
        _, keypoints, *maps = outputs[found[0]].shape
        assert self.reading.image_size is not None
        self.config = FileConfig(self.reading.image_size, (maps[0], maps[1]), keypoints, self.reading.codec)
        return found[0]

    def normalise(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """Turn 8-bit RGB into what the network was trained on."""
        pixels = images.flip(1) if self.reading.channels == "bgr" else images
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in self.reading.mean_and_std())
        return (pixels.float() / 255 - mean) / std

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> PoseOutput:
        """Return heatmaps; a graph of a fixed batch size is run as often as it takes."""
        parts = images.split(self.batch or len(images))
        found = [self.graph.run(pad_rows(part, self.batch or len(part)).numpy())[self.index] for part in parts]
        return PoseOutput(torch.from_numpy(np.concatenate(found)[: len(images)]).float())


@dataclass(frozen=True)
class Graph:
    """A graph of one input: its shape (None where it is free), the outputs' names, and a call from array to arrays."""

    backend: str
    shape: tuple[int | None, ...]
    outputs: list[str]
    run: Callable[[np.ndarray], list[np.ndarray]]


def open_graph(path: Path) -> Graph:
    """Return a file's graph by the runtime of its kind. Raises InputError where there is none, or it does not read."""
    openers = {".onnx": open_onnx, ".xml": open_ir}
    opener = openers.get(path.suffix.lower())
    if opener is None:
        raise InputError(f"{path}: a file of another kind; give an .onnx file, or the .xml of an OpenVINO IR")
    try:
        graph = opener(path)
    except InputError:
        raise
    # both runtimes raise classes of their own for what is no graph
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a network ({first_line(error)})") from error
    if len(graph.shape) != 4 or graph.shape[1] not in (3, None):
        raise InputError(f"{path}: takes {list(graph.shape)}; images (B, 3, H, W) are what can be given to it")
    return graph


def open_onnx(path: Path) -> Graph:
    """Open an ONNX file on the CPU, with as many threads as torch uses. Raises InputError without the runtime."""
    runtime = need("onnx", "onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    image = only_input(path, session.get_inputs())
    shape = tuple(side if isinstance(side, int) else None for side in image.shape)
    outputs = [value.name for value in session.get_outputs()]
    return Graph("onnxruntime", shape, outputs, lambda images: session.run(outputs, {image.name: images}))


def open_ir(path: Path) -> Graph:
    """Open OpenVINO's IR on the CPU, in single precision. Raises InputError without the runtime or its weights."""
    if not path.with_suffix(".bin").is_file():
        raise InputError(f"{path}: its weights {path.with_suffix('.bin').name} are missing beside it")
    core = need("openvino", "openvino").Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    network = core.compile_model(core.read_model(path), "CPU", settings)
    sides = only_input(path, network.inputs).partial_shape
    shape = tuple(None if side.is_dynamic else side.get_length() for side in sides)
    # an IR may leave tensors without names
    outputs = [next(iter(value.names), str(number)) for number, value in enumerate(network.outputs)]

    def run(images: np.ndarray) -> list[np.ndarray]:
        """Return the outputs, of any shape, for images (B, 3, H, W)."""
        found = network([images])
        return [found[number] for number in range(len(outputs))]

    return Graph("openvino", shape, outputs, run)


def only_input(path: Path, inputs: Any) -> Any:
    """Return the one input of a graph. Raises InputError where it has several."""
    if len(inputs) != 1:
        raise InputError(f"{path}: has {len(inputs)} inputs; a network that takes images alone is needed")
    return inputs[0]


def input_size(path: Path, shape: tuple[int | None, ...], given: tuple[int, int] | None) -> tuple[int, int]:
    """Return the input's height and width, by the graph or the user. Raises InputError where they differ or are silent.

    A fixed side of the graph must be the given one.
    """
    height, width = shape[2:]
    if given is None:
        if height is None or width is None:
            raise InputError(f"{path}: leaves the size of its input free; give it with --input-size, such as 256x192")
        return height, width
    if height not in (None, given[0]) or width not in (None, given[1]):
        raise InputError(f"{path}: takes images of {height}x{width}, not of {given[0]}x{given[1]}")
    return given


def parse_size(text: str) -> tuple[int, int] | None:
    """Return (height, width) of `256x192`; None of nothing. Raises InputError."""
    sides = text.lower().split("x") if text else []
    if not text:
        return None
    if len(sides) != 2 or not all(side.isdigit() and int(side) > 0 for side in sides):
        raise InputError(f"--input-size {text!r} does not work: it must be HEIGHTxWIDTH, such as 256x192")
    return int(sides[0]), int(sides[1])


def digests_of(path: Path) -> dict[str, str]:
    """Return the sha256 of the file that holds the weights, and of an IR's graph."""
    if path.suffix.lower() != ".xml":
        return {"weights_sha256": sha256_of(path)}
    weights = path.with_suffix(".bin")
    graph = {"graph_sha256": sha256_of(path)}
    return graph | ({"weights_sha256": sha256_of(weights)} if os.path.exists(weights) else {})
