"""Small specs, stand-in weights and stores in temporary folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.spec.catalog import Catalog, Places
from results.store import Store
from sharpose.runtime.files import sha256_of

SPEC = """\
title: "A small table"
row_header: α
base: {model: sharpose-base-256x192, model.quality_threshold: null, dataset: coco-val}
measure: [accuracy, cost, throughput]
throughput: {batch_size: 2}
columns: [ap, gflops, images_per_s, speed]
compare_with: "1.0"
paired_with: previous
rows:
  - {label: "0.3", set: {model.alpha: 0.3}, paper: {ap: 74.8, gflops: 15.8}}
  - {label: "1.0", set: {model.alpha: 1.0}, paper: {ap: 75.7, gflops: 24.9}}
  - {label: mean pose, set: {model: mean-pose}, measure: [accuracy], note: a control}
notes: [said under the table]
"""


@pytest.fixture
def write_weights() -> Callable[..., None]:
    """Makes a file that passes for weights, with its manifest."""

    def write(folder: Path, model: str, content: bytes = b"weights") -> None:
        path = folder / f"{model}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.with_suffix(".json").write_text(json.dumps({"sha256": sha256_of(path)}))

    return write


@pytest.fixture
def spec_path(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def places(tmp_path: Path, write_weights: Callable[..., None]) -> Places:
    write_weights(tmp_path / "weights/nano", "sharpose-nano-128x96")
    return Places(weights=tmp_path / "weights")


@pytest.fixture
def catalog(places: Places) -> Catalog:
    return Catalog("nano", places)
