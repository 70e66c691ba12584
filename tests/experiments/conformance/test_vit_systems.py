"""The transformer systems give the numbers of their public references."""

from __future__ import annotations

import pytest

from experiments.conformance.run import run_case


@pytest.mark.parametrize("case", ["vitpose_classic", "vitpose_simple", "dynamicvit", "evit_fuse", "tome"])
def test_reference_case_passes(golden, case):
    verdict = run_case(golden(case))
    assert verdict.status == "passed", verdict.line
