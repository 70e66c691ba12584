"""What else could make a model faster: a line holds both sides of every candidate, and a graph its inputs."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import torch

from experiments.tools import candidates
from experiments.tools.module import Timing
from sharpose.models import create_model
from sharpose.models.output import PoseModel
from sharpose.runtime.errors import InputError

OURS, PEER = "sharpose-nano-128x96", "vitpose-nano-128x96"


@pytest.mark.parametrize(("name", "options"), [(OURS, {"quality_threshold": None}), (PEER, {})])
def test_graphs_are_put_together_again(name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)
    model: PoseModel = create_model(name, **options).eval()
    images = torch.randn(3, 3, *model.config.image_size)
    with torch.no_grad():
        torch.testing.assert_close(candidates.compiled(model, {})(images).heatmaps, model(images).heatmaps)


def test_a_line_has_both_sides_of_every_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "BACKENDS", ("eager", "packed"))
    monkeypatch.setattr(candidates, "SETTINGS", {})
    line = candidates.measure(OURS, PEER, 2, Timing("cpu", 3, 1))
    assert set(line["ms"]) == {f"{backend}|{model}" for backend in ("eager", "packed") for model in (OURS, PEER)}
    ours, peer = (line["samples_ms"][f"packed|{model}"] for model in (OURS, PEER))
    by_round = sorted(theirs / mine for mine, theirs in zip(ours, peer, strict=True))
    assert line["times_as_fast"]["packed"] == pytest.approx(by_round[1], rel=1e-2)
    last = candidates.table([line]).splitlines()[-1]
    assert f"| {OURS} ÷ {PEER} | 2 | packed |" in last and last.endswith(f"| {line['times_as_fast']['packed']:.2f} |")


ALONE = """
import json
from experiments.tools.candidates import candidates_of
found = {label: call().heatmaps for label, call in candidates_of("vitpose-nano-128x96", 3).items()}
of_all = float(found["eager"].norm())
print(json.dumps({label: float((maps - found["eager"]).norm()) / of_all for label, maps in found.items()}))
"""


@pytest.mark.slow
def test_every_candidate_says_the_same() -> None:
    # in a process without the checks of shapes, which torch's compiler cannot read
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == {*candidates.BACKENDS, *candidates.SETTINGS} and max(found.values()) < 1e-4


def test_what_cannot_be_timed_is_refused() -> None:
    with pytest.raises(InputError, match="--batch: at least one is needed"):
        candidates.measure(OURS, PEER, 0, Timing("cpu", 3, 1))
    with pytest.raises(InputError, match="--device cuda: these are candidates for a CPU"):
        candidates.measure(OURS, PEER, 1, Timing("cuda", 3, 1))
