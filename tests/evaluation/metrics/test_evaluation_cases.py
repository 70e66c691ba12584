"""Detection clean-up, quality targets and PCKh against the numbers of public code bases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.conformance import evaluation
from experiments.conformance.case import load_case


@pytest.mark.parametrize("name", ["coco_postprocessing", "instance_oks", "mpii_pckh"])
def test_evaluation_cases(golden: Callable[[str], Path], name: str) -> None:
    comparisons = getattr(evaluation, f"check_{name}")(load_case(golden(name)))
    assert comparisons
    assert [c for c in comparisons if not c.error <= c.bound] == []
