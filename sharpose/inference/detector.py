"""Finding people in pictures by a detector of torchvision, whose weights it fetches, or that lie in a local file.

torchvision publishes weights of these architectures trained on COCO, whose first class is the person. Of each object it
finds, its own non-maximum suppression keeps the best of boxes that overlap by an IoU of more than 0.5 (0.6 for FCOS,
0.55 for SSDlite), at most 100 to 300 a picture. Of these, people scored at least `min_score` are taken, the best
`max_people`. A local file is read as all foreign weights are: tensors alone, nothing in it is executed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import nn

from sharpose.inference.pipeline import Boxes
from sharpose.runtime.errors import InputError, first_line
from sharpose.weights.reading import read_checkpoint

DEFAULT_DETECTOR = "fasterrcnn_mobilenet_v3_large_fpn"
ARCHITECTURES = (
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fcos_resnet50_fpn",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
    "ssdlite320_mobilenet_v3_large",
)
PERSON = 1
MIN_SCORE, MAX_PEOPLE = 0.5, 30


class PersonDetector:
    """Boxes of the people in a picture, best first.

    weights: a file; None lets torchvision fetch its own into torch's hub folder, with a bar, where they are not there.
    Raises InputError for an unknown architecture, weights that are not its own, or ones that cannot be fetched.
    """

    def __init__(
        self,
        architecture: str = DEFAULT_DETECTOR,
        weights: Path | None = None,
        *,
        device: str = "cpu",
        min_score: float = MIN_SCORE,
        max_people: int = MAX_PEOPLE,
    ) -> None:
        if architecture not in ARCHITECTURES:
            raise InputError(f"--detector {architecture!r} does not work: it must be one of {', '.join(ARCHITECTURES)}")
        model = fetched(architecture) if weights is None else from_file(architecture, weights)
        self.model = model.to(device).eval()
        self.device, self.min_score, self.max_people = device, min_score, max_people

    @torch.inference_mode()
    def __call__(self, pixels: UInt8[np.ndarray, "H W 3"]) -> Boxes:
        """Return (x, y, width, height) in pixels and score of everybody found in an RGB picture."""
        image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).to(self.device).float() / 255
        found: dict[str, Any] = self.model([image])[0]
        kept = (found["labels"] == PERSON) & (found["scores"] >= self.min_score)
        corners, scores = found["boxes"][kept].tolist(), found["scores"][kept].tolist()
        people = [
            ([left, top, right - left, bottom - top], score)
            for (left, top, right, bottom), score in zip(corners, scores, strict=True)
            if right > left and bottom > top
        ]
        return sorted(people, key=lambda person: -person[1])[: self.max_people]


def fetched(architecture: str) -> nn.Module:
    """Return a detector with torchvision's weights. Raises InputError with the ways out where there is no network."""
    from torchvision.models import detection, get_model_weights

    weights: Any = get_model_weights(architecture).DEFAULT  # type: ignore[attr-defined]
    try:
        model: nn.Module = getattr(detection, architecture)(weights=weights, progress=True)
    # no network is a kind of OSError, a file with another hash a RuntimeError
    except (OSError, RuntimeError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise InputError(
            f"the detector's weights cannot be fetched ({first_line(error)}); copy {Path(weights.url).name} "
            f"({weights.meta['_file_size']:.0f} MB) to {folder}, or give --detector NAME --detector-weights FILE, "
            "--boxes FILE, or --whole-picture for one person each"
        ) from error
    return model


def from_file(architecture: str, path: Path) -> nn.Module:
    """Return a detector with the weights of a file. Raises InputError where they are of another one."""
    from torchvision.models import detection

    state = read_checkpoint(path)
    model: nn.Module = getattr(detection, architecture)(weights=None, weights_backbone=None)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"{path}: weights of another detector than {architecture} ({reason})") from error
    return model
