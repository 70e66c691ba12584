"""Crops, targets, decoding and mirrored averages against the numbers of public code bases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.conformance import codecs
from experiments.conformance.case import load_case


@pytest.mark.parametrize("name", ["codec_geometry", "codec_targets", "codec_decoding", "codec_flip_loss"])
def test_codec_cases(golden: Callable[[str], Path], name: str) -> None:
    comparisons = getattr(codecs, f"check_{name}")(load_case(golden(name)))
    assert comparisons
    assert [c for c in comparisons if not c.error <= c.bound] == []
