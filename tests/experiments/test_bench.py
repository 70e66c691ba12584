"""Recording the bench: what is compared in one session, nothing twice, and how far a back-end is from torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from experiments.spec.bench_spec import Bench, DeployedRow, deployments, load_bench
from experiments.tools import bench as recording
from experiments.tools.bench import heatmap_error, run_bench
from results.store import Store
from sharpose.data.mannequin import annotations_path, images_path
from sharpose.data.mannequin.generate import generate
from sharpose.efficiency import machine

SPEC = """\
title: small
rounds: 3
data: mannequin-val
batch_size: 2
rows:
  - {label: one, model: sharpose-nano-128x96, options: {embed_dim: 24, num_heads: 4, depth: 1, quality_threshold: null}}
  - {label: two, model: sharpose-nano-128x96, options: {embed_dim: 24, num_heads: 4, depth: 2, quality_threshold: null},
     against: one}
  - {label: apart, model: sharpose-nano-128x96, options: {embed_dim: 24, num_heads: 4, depth: 3}}
  - {label: other, model: sharpose-nano-128x96, backend: openvino}
  - {label: narrow, model: sharpose-nano-128x96, backend: packed, precision: bf16, against: one}
deployed:
  tier: photos
  model: sharpose-nano-128x96
  data: mannequin-val
  options: {quality_threshold: null}
  rows: [{backend: eager, precision: fp32}]
"""


@pytest.fixture
def small(tmp_path: Path) -> Bench:
    path = tmp_path / "small.yaml"
    path.write_text(SPEC)
    return load_bench(path)


def test_records_of_one_session(small: Bench, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "load_bench", lambda: small)
    files = SimpleNamespace(annotations_file=Path("none"), images_folder=Path("none"))
    monkeypatch.setattr(recording, "ensure_named", lambda name: files)
    monkeypatch.setattr(recording, "measure_deployed", lambda bench, deployment: {"ap": 0.5})
    monkeypatch.setattr("sharpose.efficiency.bench.peak_memory_mib", lambda *request: 1.0)
    monkeypatch.setattr("experiments.spec.bench_spec.find_spec", lambda name: None)
    monkeypatch.setattr("sharpose.backends.packed.can_pack", lambda kind=torch.float32: kind == torch.float32)
    monkeypatch.setitem(machine.MATMUL_SIZE, "cpu", 128)
    said: list[str] = []
    assert run_bench(store=store, say=said.append) == {"deployed": 1, "bench": 3}
    assert "left out: other: backend openvino is not installed: pip install 'sharpose[openvino]'" in said
    # of a session the rest is timed all the same
    assert "left out: narrow: precision = 'bf16': this processor has no instructions for it; use fp32" in said
    records = {record.row: record for record in store.records("bench")}
    assert set(records) == {"one", "two", "apart"}
    assert records["one"].metrics["session"] == records["two"].metrics["session"]
    assert records["one"].metrics["session"] != records["apart"].metrics["session"]
    assert records["one"].metrics["batch_size"] == 2 and records["one"].metrics["peak_memory_mib"] == 1.0
    assert records["two"].provenance["options"]["depth"] == 2
    assert run_bench(store=store, say=said.append) == {"deployed": 0, "bench": 0}
    # what is compared with a lost one is timed again with it, and nothing else
    (store.local / "bench" / f"{records['two'].run_id}.json").unlink()
    assert run_bench(store=store, say=said.append) == {"deployed": 0, "bench": 2}


def test_error_of_heatmaps(small: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "PARITY_PEOPLE", 2)
    folder = tmp_path / "people"
    generate(folder, split="val", images=2, seed=3, workers=1)
    files = annotations_path(folder, "val"), images_path(folder, "val")
    exact = deployments(small)[0]
    rounded = replace(exact, row=DeployedRow(backend="eager", precision="bf16"))
    assert heatmap_error(small, exact, *files) == 0
    assert 1e-4 < heatmap_error(small, rounded, *files) < 0.1
