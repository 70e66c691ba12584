"""Finding people in pictures, by a detector of torchvision with its weights in a local file.

torchvision publishes weights of these architectures trained on COCO, whose first class is the person. They are read as
all foreign weights are: tensors alone, nothing in the file is executed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import nn

from sharpose.checkpoints.reading import read_checkpoint
from sharpose.errors import InputError
from sharpose.predict import Boxes

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


class PersonDetector:
    """Boxes of the people in a picture, best first.

    Raises InputError for an unknown architecture, or weights that are not its own.
    """

    def __init__(self, architecture: str, weights: Path, *, device: str = "cpu", min_score: float = 0.5) -> None:
        from torchvision.models import detection

        if architecture not in ARCHITECTURES:
            raise InputError(f"--detector {architecture!r} does not work: it must be one of {', '.join(ARCHITECTURES)}")
        state = read_checkpoint(weights)
        model: nn.Module = getattr(detection, architecture)(weights=None, weights_backbone=None)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise InputError(f"{weights}: weights of another detector than {architecture} ({reason})") from error
        self.model = model.to(device).eval()
        self.device, self.min_score = device, min_score

    @torch.inference_mode()
    def __call__(self, pixels: UInt8[np.ndarray, "H W 3"]) -> Boxes:
        """(x, y, width, height) in pixels and score of everybody found in an RGB picture."""
        image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).to(self.device).float() / 255
        found: dict[str, Any] = self.model([image])[0]
        kept = (found["labels"] == PERSON) & (found["scores"] >= self.min_score)
        corners, scores = found["boxes"][kept].tolist(), found["scores"][kept].tolist()
        people = [
            ([left, top, right - left, bottom - top], score)
            for (left, top, right, bottom), score in zip(corners, scores, strict=True)
        ]
        return sorted(people, key=lambda person: -person[1])
