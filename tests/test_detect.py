"""A detector from a local file: the right boxes of the right class, and files that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import detection

from sharpose.detect import PersonDetector
from sharpose.errors import InputError

NAME = "ssdlite320_mobilenet_v3_large"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random ones, of the smallest architecture."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("detector") / "ssd.pth"
    torch.save(getattr(detection, NAME)(weights=None, weights_backbone=None).state_dict(), path)
    return path


def test_people_are_taken_and_nothing_else(weights: Path) -> None:
    detector = PersonDetector(NAME, weights)
    seen: list[Tensor] = []

    def answer(images: list[Tensor]) -> list[dict[str, Tensor]]:
        seen.extend(images)
        boxes = torch.tensor([[10.0, 20, 40, 80], [0, 0, 9, 9], [1, 2, 4, 8], [5, 5, 50, 60]])
        return [
            {"boxes": boxes, "labels": torch.tensor([1, 18, 1, 1]), "scores": torch.tensor([0.75, 0.99, 0.25, 0.875])}
        ]

    detector.model = answer  # type: ignore[assignment]
    pixels = np.zeros((90, 60, 3), dtype=np.uint8)
    pixels[..., 0] = 255
    assert detector(pixels) == [([5.0, 5.0, 45.0, 55.0], 0.875), ([10.0, 20.0, 30.0, 60.0], 0.75)]
    assert seen[0].shape == (3, 90, 60) and seen[0][:, 0, 0].tolist() == [1.0, 0.0, 0.0]


def test_the_real_network_runs(weights: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (120, 90, 3), dtype=np.uint8)
    for (x, y, width, height), score in PersonDetector(NAME, weights, min_score=0.0)(picture):
        assert x >= 0 and y >= 0 and x + width <= 90 and y + height <= 120 and 0 <= score <= 1


def test_what_does_not_fit_is_one_line(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be one of fasterrcnn"):
        PersonDetector("yolo", weights)
    with pytest.raises(InputError, match="no such file"):
        PersonDetector(NAME, tmp_path / "absent.pth")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=f"weights of another detector than {NAME}"):
        PersonDetector(NAME, tmp_path / "other.safetensors")
