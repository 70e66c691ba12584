"""Keypoints of people in pictures, in memory: `from sharpose import Pose; people = Pose()("photo.jpg")`.

`sharpose predict` works with the same object; files and folders are in `pictures` and `video` beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps

from sharpose.backends.choice import COMPILED, EAGER, check_backend, split_backend
from sharpose.backends.deploy import deploy, usual_backend
from sharpose.codecs.choice import codec_of
from sharpose.data.fetch import fetch_picture
from sharpose.data.images import read_image
from sharpose.evaluation.metrics.postprocess import rescore
from sharpose.inference.pipeline import Boxes, look, place
from sharpose.models import create_model
from sharpose.models.output import PoseModel
from sharpose.pose.geometry import WARPS, box_to_center_scale, crop, invert, transform_points
from sharpose.pose.skeleton import known_skeleton
from sharpose.runtime.errors import InputError, RunFailed
from sharpose.weights.files import load_weights
from sharpose.weights.pretrained import DEFAULT, Weights, find_weights

BATCH = 32
FindBoxes = Callable[[np.ndarray], Boxes]
Picture = str | PathLike[str] | Image.Image | np.ndarray


@dataclass(frozen=True)
class Person:
    """One result. `box` (x, y, width, height) and `keypoints` (x, y, score) in picture pixels.

    score: the box's times the mean of the keypoints' above .2. quality: what SHaRPose predicts of its coarse stage.
    refined: whether the fine stage followed; patches: the corners of the coarse patches that it refined. Quality and
    refined are None for systems of one stage. track: the identity in a video where identities were asked for.
    """

    box: list[float]
    keypoints: Float[np.ndarray, "K 3"]
    score: float
    quality: float | None = None
    refined: bool | None = None
    patches: Float[np.ndarray, "n 4 2"] = field(default_factory=lambda: np.zeros((0, 4, 2)))
    track: int | None = None

    @property
    def points(self) -> Float[np.ndarray, "K 2"]:
        """Return the keypoints (x, y) in pixels of the picture."""
        return self.keypoints[:, :2]

    @property
    def scores(self) -> Float[np.ndarray, " K"]:
        """Return the score of each keypoint."""
        return self.keypoints[:, 2]


@dataclass
class Spent:
    """What a `Pose` has done so far, and the seconds it took."""

    pictures: int = 0
    people: int = 0
    finding_s: float = 0.0
    posing_s: float = 0.0

    @property
    def line(self) -> str:
        """Return milliseconds per picture and per person."""
        pictures, people = max(self.pictures, 1), max(self.people, 1)
        total, finding = (1000 * seconds / pictures for seconds in (self.finding_s + self.posing_s, self.finding_s))
        each = f", {1000 * self.posing_s / people:.0f} ms per person" if self.people else ""
        return f"{total:.0f} ms per picture (finding people {finding:.0f}){each}"


class Pose:
    """A model with its weights and a way to find people: called with pictures, it returns their people.

    model: a name of a model or of its weights (`weights.pretrained` says which are found), or a network; without it,
    that of `weights`, or the default of this version. weights: others for it, by name or file, or "random". device:
    "auto" is cuda where there is one. Who is looked at: the boxes of a call; else what `find` returns; else, with
    `whole_picture`, one person per picture; else whom torchvision's detector finds, fetched at the first call.
    options: the model's own, e.g. alpha=.3.

    Raises InputError for anything of that which cannot be.
    """

    def __init__(
        self,
        model: str | PoseModel | None = None,
        *,
        weights: str | Path | None = None,
        device: str = "auto",
        find: FindBoxes | None = None,
        whole_picture: bool = False,
        backend: str = "",
        precision: str = "fp32",
        **options: Any,
    ) -> None:
        self.device = chosen_device(device)
        # a network of the caller's own is left as it is
        usual = usual_backend(self.device) if isinstance(model, str | None) else EAGER
        self.backend, precision = split_backend(backend or usual, precision)
        check_backend(self.backend, precision, self.device)
        if self.backend in (EAGER, COMPILED) and precision != "fp32":
            raise InputError(f"--precision {precision!r} does not work: predicting with torch is in fp32")
        self.weights: Weights | None = None
        if isinstance(model, str | None):
            model, self.weights = loaded(model, weights, options)
        network = deploy(model, self.backend, precision=precision, batch_size=BATCH, device=self.device)
        self.model = network.to(self.device).eval()
        self.find = whole if whole_picture else find
        self.spent = Spent()

    @property
    def names(self) -> tuple[str, ...]:
        """Return names of the keypoints; numbers where neither COCO nor MPII has as many."""
        number: int = self.model.config.num_keypoints
        skeleton = known_skeleton(number)
        return skeleton.keypoint_names if skeleton else tuple(map(str, range(number)))

    @property
    def warning(self) -> str | None:
        """Return why these weights will be wrong on photographs; None where nothing speaks against it."""
        return self.weights.warning if self.weights else None

    def __call__(self, pictures: Any, boxes: Any = None) -> Any:
        """Return the people of a picture, or a list of them for each of several pictures.

        pictures: a path or address, a PIL image or an array (H, W, 3) of 8-bit RGB; a list of such, or an array
        (N, H, W, 3). They are turned upright by their EXIF orientation, unless boxes are given, which count in stored
        pixels.
        boxes: n × (x, y, width, height) in pixels for one picture, or a list of such for several.

        Raises InputError for a picture that cannot be read, or boxes for another number of pictures.
        """
        single = isinstance(pictures, str | PathLike | Image.Image) or getattr(pictures, "ndim", 4) == 3
        several = [pictures] if single else list(pictures)
        given = [None] * len(several) if boxes is None else [boxes] if single else list(boxes)
        if len(given) != len(several):
            raise InputError(f"{len(several)} pictures and boxes of {len(given)}: give boxes for each")
        pixels = [as_pixels(picture, upright=own is None) for picture, own in zip(several, given, strict=True)]
        people = self.people(
            [(one, self.boxes(one) if own is None else as_boxes(own)) for one, own in zip(pixels, given, strict=True)]
        )
        return people[0] if single else people

    def boxes(self, pixels: UInt8[np.ndarray, "H W 3"]) -> Boxes:
        """Return boxes and scores of the people in a picture."""
        if self.find is None:
            from sharpose.inference.detector import PersonDetector

            self.find = PersonDetector(device=self.device)
        began = time.perf_counter()
        found = self.find(pixels)
        self.spent.finding_s += time.perf_counter() - began
        return found

    def people(self, pictures: Sequence[tuple[np.ndarray, Boxes]]) -> list[list[Person]]:
        """Return one person per box of every picture. Pictures are RGB (H, W, 3)."""
        began = time.perf_counter()
        found = predict_several(self.model, pictures, self.device)
        self.spent.posing_s += time.perf_counter() - began
        self.spent.pictures += len(pictures)
        self.spent.people += sum(map(len, found))
        return found


def chosen_device(device: str) -> str:
    """Return the device for a name, cuda for "auto" where there is one. Raises InputError for one that is not here."""
    from sharpose.runtime.devices import check_device

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    check_device(device)
    return device


def loaded(
    name: str | None, weights: str | Path | None, options: Mapping[str, Any]
) -> tuple[PoseModel, Weights | None]:
    """Return a model by its own name or that of its weights, and the weights that are in it.

    Without a name it is the model that the weights say they are of, or the default.
    Raises InputError where there are none, or where they hold values that are not finite.
    """
    if weights == "random":
        return create_model(name or DEFAULT, **options), None
    found = find_weights((name or DEFAULT) if weights is None else weights)
    name = found.model if weights is None else name or found.manifest.get("model") or DEFAULT
    model = create_model(name, **found.options_of(name, options))
    load_weights(model, found.path)
    return model, found


def as_pixels(picture: Picture, *, upright: bool) -> UInt8[np.ndarray, "H W 3"]:
    """Return a picture as RGB. Raises InputError for what is none."""
    if isinstance(picture, str) and picture.startswith(("http://", "https://")):
        picture = fetch_picture(picture)
    if isinstance(picture, str | PathLike):
        return read_image(Path(picture), upright=upright)
    if isinstance(picture, Image.Image):
        picture = np.asarray((ImageOps.exif_transpose(picture) if upright else picture).convert("RGB"))
    pixels = np.asarray(picture)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise InputError(f"an array of {pixels.dtype} {pixels.shape} is no picture: it must be uint8 (H, W, 3), RGB")
    return pixels


def as_boxes(boxes: Any) -> Boxes:
    """Return boxes as rows of four numbers, each with score 1. Raises InputError for others, or ones without area."""
    try:
        rows = np.asarray(boxes, dtype=np.float64).reshape(-1, 4) if len(boxes) else np.zeros((0, 4))
    except (TypeError, ValueError):
        raise InputError(f"boxes = {boxes!r:.80}: must be rows of x, y, width and height in pixels") from None
    if not (np.isfinite(rows).all() and (rows[:, 2:] > 0).all()):
        raise InputError(f"boxes = {boxes!r:.80}: width and height must be positive, and every number finite")
    return [(row.tolist(), 1.0) for row in rows]


def whole(pixels: UInt8[np.ndarray, "H W 3"]) -> Boxes:
    """Return the picture as the one box."""
    return [([0.0, 0.0, float(pixels.shape[1]), float(pixels.shape[0])], 1.0)]


def predict_people(model: PoseModel, pixels: UInt8[np.ndarray, "H W 3"], boxes: Boxes, device: str) -> list[Person]:
    """Return one person per box of a picture, without flip test."""
    return predict_several(model, [(pixels, boxes)], device)[0]


def predict_several(model: PoseModel, pictures: Sequence[tuple[np.ndarray, Boxes]], device: str) -> list[list[Person]]:
    """Return one person per box of every picture, without flip test; batches are filled across pictures.

    Pictures are RGB (H, W, 3).
    """
    tasks = [(pixels, box, score) for pixels, boxes in pictures for box, score in boxes]
    people = iter([one for start in range(0, len(tasks), BATCH) for one in batch(model, tasks[start:][:BATCH], device)])
    return [[next(people) for _ in boxes] for _, boxes in pictures]


@torch.inference_mode()
def batch(model: PoseModel, tasks: Sequence[tuple[np.ndarray, list[float], float]], device: str) -> Iterator[Person]:
    """Yield the people in boxes of several pictures, as one batch. Raises RunFailed where outputs are not finite.

    Pictures are RGB (H, W, 3), boxes (x, y, width, height).
    """
    config, codec = model.config, codec_of(model.config)
    framed = [box_to_center_scale(np.asarray(box), config.image_size) for _, box, _ in tasks]
    matrices = [WARPS[codec.warp](center, scale, 0.0, config.image_size) for center, scale in framed]
    crops = [crop(pixels, matrix, config.image_size) for (pixels, _, _), matrix in zip(tasks, matrices, strict=True)]
    pixels = torch.from_numpy(np.stack(crops).transpose(0, 3, 1, 2).copy()).to(device)
    centers, scales = (torch.tensor(np.stack(side), dtype=torch.float32) for side in zip(*framed, strict=True))
    (output,) = look(model, pixels)
    points, scores = place(output.heatmaps, centers, scales, codec)
    keypoints = torch.cat([points.double(), scores.double()[..., None]], dim=2).cpu().numpy()
    if not np.isfinite(keypoints).all():
        raise RunFailed("the model's heatmaps hold values that are not finite; check its weights and the precision")
    totals = rescore(np.array([score for _, _, score in tasks]), keypoints[..., 2])
    quality, refined = getattr(output, "quality", None), getattr(output, "needs_refinement", None)
    selected = selected_patches(output, config, matrices)
    for row, (_, box, _) in enumerate(tasks):
        yield Person(
            box=box,
            keypoints=keypoints[row],
            score=float(totals[row]),
            quality=None if quality is None else float(quality[row]),
            refined=None if refined is None else bool(refined[row]),
            patches=selected.get(row, np.zeros((0, 4, 2))),
        )


def selected_patches(output: Any, config: Any, matrices: Sequence[np.ndarray]) -> Mapping[int, np.ndarray]:
    """Return corners, in picture pixels, of the coarse patches that were refined, by row of the batch.

    `matrices`: from picture to crop, (2, 3); corners are (n, 4, 2).
    """
    keep = getattr(output, "keep_indices", None)
    if not isinstance(keep, torch.Tensor) or not hasattr(config, "coarse_grid"):
        return {}
    side, columns = config.patch_size * config.refine_ratio, config.coarse_grid[1]
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    rows = output.needs_refinement.nonzero()[:, 0].tolist()
    found = {}
    for row, padded in zip(rows, keep.cpu().numpy(), strict=True):
        indices = padded[padded >= 0]
        cells = np.column_stack([indices % columns, indices // columns])
        # the first pixel's middle is at 0, so its edge is half a pixel before
        edges = (cells[:, None] + corners) * side - 0.5
        found[row] = transform_points(edges.astype(np.float64), invert(matrices[row]))
    return found
