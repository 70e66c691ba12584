"""A detector from a local file: the right boxes of the right class, and files that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import detection

from sharpose.inference.detector import DEFAULT_DETECTOR, PersonDetector
from sharpose.runtime.errors import InputError

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
    detector.max_people = 1
    assert detector(pixels) == [([5.0, 5.0, 45.0, 55.0], 0.875)]
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


def test_torchvision_fetches_its_own_weights(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, bool]] = []

    def fetch(url: str, *, progress: bool = False, check_hash: bool = False, **_: object) -> dict[str, Tensor]:
        asked.append((url.rpartition("/")[2], progress and check_hash))
        return torch.load(weights, weights_only=True)

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    detector = PersonDetector(NAME)
    assert asked == [("ssdlite320_mobilenet_v3_large_coco-a79551df.pth", True)]
    known = torch.load(weights, weights_only=True)
    assert all(torch.equal(value, known[name]) for name, value in detector.model.state_dict().items())


def test_no_network_is_one_line_with_the_ways_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fetch(*_: object, **__: object) -> None:
        raise OSError("<urlopen error [Errno -3] Temporary failure in name resolution>")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(InputError, match=r"cannot be fetched .*name resolution") as caught:
        PersonDetector()
    said = str(caught.value)
    assert "\n" not in said and all(way in said for way in ("--boxes FILE", "--whole-picture", "--detector-weights"))
    assert f"copy {DEFAULT_DETECTOR}-fb6a3cc7.pth (74 MB)" in said
    assert f"to {tmp_path / 'checkpoints'}" in said
