"""A model of another project in a row of a spec: its record, what it learnt from, and what is said without it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.tables.render import render
from analysis.tables.tables import build
from experiments.cells.cells import cells
from experiments.cells.provenance import Device
from experiments.run.run import Plan, Runner
from experiments.spec.catalog import VARIABLE, Catalog, Places, open_catalog
from experiments.spec.reading import load_spec
from experiments.spec.spec import FOLDER, SpecError, is_ours
from results.store import Store
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import sha256_of
from tests.evaluation.test_coco import write_people
from tests.networks import write_onnx

CPU = Device("cpu", "Some CPU", 1)
SPEC = """\
title: peers
base: {model: "peer:one", dataset: people}
measure: [accuracy]
columns: [ap, pck]
rows:
  - {label: one}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "peers.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def catalog(tmp_path: Path) -> Callable[..., Catalog]:
    """A catalogue with one peer of heatmaps and one data set, both in a folder that may be absent."""
    people, network = write_people(tmp_path), write_onnx(tmp_path / "one.onnx")
    tiers = {
        "tiers": {"t": {}},
        "datasets": {
            "people": {
                "folder": "here", "annotations": people.name, "images": ".", "annotations_sha256": sha256_of(people),
            }
        },
        "peers": {
            "one": {
                "trained_on": "noise", "folder": "here", "file": "one.onnx", "weights_sha256": sha256_of(network),
                "normalise": "0-1",
            }
        },
    }  # fmt: skip
    path = tmp_path / "tiers.yaml"
    path.write_text(json.dumps(tiers))
    return lambda there=True: Catalog("t", Places(tiers=path, others={"here": tmp_path} if there else {}))


def test_a_peer_is_measured_and_its_record_says_what_it_learnt_from(tmp_path, spec, catalog):
    pytest.importorskip("onnxruntime")
    store, found = Store(tmp_path / "results"), catalog()
    [cell] = cells(load_spec(spec), found, CPU)
    Runner(Plan(found, CPU, store, [], [cell]), lambda line: None, "").run([cell])
    record = store.find(cell.identity)
    assert record.metrics["people"] == 8 and 0 <= record.metrics["ap"] <= 1 and record.metrics["pck_people"] == 8
    assert (record.provenance["model"], record.provenance["trained_on"]) == ("peer:one", "noise")
    assert record.identity["model"] == {
        "system": "peer", "weights_sha256": sha256_of(tmp_path / "one.onnx"), "input": "", "normalise": "0-1",
        "channels": "rgb", "codec": "udp", "padding": 1.25,
    }  # fmt: skip
    # its table names it
    shown = render(build(load_spec(spec), found, CPU, store))
    assert "peer:one on people (8 people in 4 images)" in shown and f"{100 * record.metrics['ap']:.1f}" in shown
    # found again where neither the network nor the people are
    [elsewhere] = cells(load_spec(spec), catalog(there=False), CPU)
    assert elsewhere.run_id == cell.run_id and elsewhere.blocked is not None


def test_what_is_missing_or_changed_is_named(tmp_path, spec, catalog):
    [cell] = cells(load_spec(spec), catalog(there=False), CPU)
    assert f"{VARIABLE}HERE" in cell.blocked
    assert catalog(there=False).peer_absence("peer:one") == (
        "no peer:one here (give the folder with one.onnx by SHARPOSE_HERE)"
    )
    (tmp_path / "one.onnx").write_bytes(b"another")
    with pytest.raises(InputError, match=r"one\.onnx: not the weights that peer:one means"):
        catalog().peer_file("peer:one")
    (tmp_path / "one.onnx").unlink()
    with pytest.raises(InputError, match="no such file; SHARPOSE_HERE must name"):
        catalog().peer_file("peer:one")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"peer:one"', '"peer:on"'), "no peer is called 'on'; did you mean 'one'"),
        (("measure: [accuracy]", "measure: [accuracy, cost]"), "a peer has neither cost nor speed"),
    ],
)
def test_a_spec_that_cannot_work_says_so(spec, catalog, change, message):
    spec.write_text(spec.read_text().replace(*change))
    with pytest.raises(SpecError, match=message):
        list(cells(load_spec(spec), catalog(), CPU))


def test_the_repository_s_peers_are_those_of_its_table(monkeypatch):
    monkeypatch.delenv(f"{VARIABLE}PEERS", raising=False)
    found = open_catalog()
    for name in ("photos-peers", "photos-peers-lspet"):
        loaded = load_spec(FOLDER / f"{name}.yaml")
        names = {loaded.settings(row).model for row in loaded.spec.rows}
        assert names == {f"peer:{peer}" for peer in found.tiers.peers} and not any(map(is_ours, names))
        assert all(cell.identity is not None for cell in cells(loaded, found, CPU))
    assert all(peer.trained_on for peer in found.tiers.peers.values())
