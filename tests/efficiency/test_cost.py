"""Multiply-adds against the reference's measured figures, and the paper's."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from analysis.closed_form import disagreement
from sharpose.efficiency.cost import measure_cost
from sharpose.models import resolve_config

# name, alpha, G by fvcore and by torch as measured with the public modules, G of the paper
ROWS = [
    ("sharpose-small-256x192", 0.5, 4.84, 4.832, 4.9),
    ("sharpose-base-256x192", 0.0, 11.748, 11.734, None),  # the paper's 13.3 is explained by nothing
    ("sharpose-base-256x192", 0.4, 17.060, 17.040, 17.1),
    ("sharpose-base-384x288", 0.3, 32.713, 32.676, 32.9),
]


@pytest.mark.parametrize(("name", "alpha", "fvcore", "torch", "paper"), ROWS)
def test_sharpose(name: str, alpha: float, fvcore: float, torch: float, paper: float | None) -> None:
    metrics = measure_cost(name, {"alpha": alpha})
    assert metrics["macs_fvcore"] / 1e9 == pytest.approx(fvcore, rel=3e-3)
    assert metrics["macs_torch"] / 1e9 == pytest.approx(torch, rel=1e-3)
    assert metrics["macs_products"] == pytest.approx(metrics["macs_torch"], rel=1e-3)
    assert disagreement(asdict(resolve_config(name, alpha=alpha)), metrics) < 1e-3
    assert metrics["macs_torch"] == metrics["macs_torch_coarse"] + metrics["macs_torch_fine"]
    if paper is not None:
        assert metrics["macs_fvcore"] / 1e9 == pytest.approx(paper, rel=0.015)


def test_an_uncounted_product_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from sharpose.efficiency import cost
    from sharpose.errors import RunFailed

    # fused attention is what fvcore drops
    monkeypatch.setattr(cost, "use_explicit_attention", lambda model: None)
    with pytest.raises(RunFailed, match="scaled_dot_product_attention"):
        measure_cost("sharpose-nano-128x96")
