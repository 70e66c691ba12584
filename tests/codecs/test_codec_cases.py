"""Crops, targets, decoding and mirrored averages against the numbers of public code bases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from experiments.conformance import codecs
from experiments.conformance.case import load_case

OLD, ROUGH = int(cv2.__version__.split(".")[0]) < 5, 8.0


@pytest.mark.parametrize("name", ["codec_geometry", "codec_targets", "codec_decoding", "codec_flip_loss"])
def test_codec_cases(golden: Callable[[str], Path], name: str) -> None:
    comparisons = getattr(codecs, f"check_{name}")(load_case(golden(name)))
    assert comparisons
    # OpenCV 4 rounds the places between pixels
    bounds = {"crop_udp": ROUGH, "crop_plain": ROUGH} if OLD else {}
    assert [c for c in comparisons if not c.error <= bounds.get(c.name, c.bound)] == []
