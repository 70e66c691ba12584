"""bench.yaml: what its rows are, and that mistakes in it are one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.cells.provenance import Device
from experiments.spec import bench_spec
from experiments.spec.bench_spec import deployments, load_bench, sessions, timings
from experiments.spec.catalog import open_catalog
from experiments.spec.reading import find_specs
from experiments.spec.spec import FOLDER
from experiments.spec.yamlfile import SpecError
from results.records import run_id

HERE = Device("cpu", "a processor", 2)

SMALL = """\
title: small
data: mannequin-val
rows:
  - {label: peer, model: huggingface-vitpose-small-256x192}
  - {label: ours, model: sharpose-small-256x192, options: {alpha: 0.5}, against: peer, wanted: 1.25}
deployed: {tier: photos, model: sharpose-nano-128x96, data: mannequin-val, rows: [{backend: eager, precision: fp32}]}
"""


def test_every_row_has_its_own_identity() -> None:
    bench = load_bench()
    found = timings(bench, open_catalog(), HERE)
    assert len({run_id(one.identity) for one in found}) == len(bench.rows)
    assert len({run_id(one.identity) for one in deployments(bench)}) == len(bench.deployed.rows)
    by_label = {one.row.label: one.identity for one in found}
    assert by_label["SHaRPose-S 256x192, batch 16"]["batch_size"] == 16
    assert by_label["SHaRPose-B 256x192"]["batch_size"] == bench.batch_size
    assert all(("dataset" in one.identity) == (one.row.scope == "end-to-end") for one in found)


def test_the_wanted_ratios_are_asked_for() -> None:
    wanted = {row.label: (row.against, row.wanted) for row in load_bench().rows if row.wanted}
    assert wanted["SHaRPose-B 384x288, packed"] == ("ViTPose-B 384x288, Hugging Face", 1.5)
    assert wanted["SHaRPose-B 256x192, packed"] == ("ViTPose-B 256x192, Hugging Face", 1.2)
    assert wanted["SHaRPose-S 256x192, packed"] == ("ViTPose-S 256x192, Hugging Face", 1.25)
    assert wanted["SHaRPose-B 256x192, onnxruntime int8"] == ("SHaRPose-B 256x192", 2.5)


def test_rows_that_are_compared_are_timed_together() -> None:
    found = timings(load_bench(), open_catalog(), HERE)
    groups = [[one.row.label for one in group] for group in sessions(found)]
    assert sorted(label for group in groups for label in group) == sorted(one.row.label for one in found)
    for group in groups:
        # one row of each is set against nothing, all others against one of their own
        rows = [one.row for one in found if one.row.label in group]
        assert [row.against for row in rows].count(None) == 1
        assert all(row.against in group for row in rows if row.against is not None)
    # a row whose other is not here is timed all the same
    alone = [one for one in found if one.row.label == "SHaRPose-B 384x288, packed bf16"]
    assert sessions(alone) == [alone]


def test_it_is_no_table() -> None:
    assert FOLDER / "bench.yaml" not in find_specs("all")


def test_what_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_spec, "find_spec", lambda name: None)
    reasons = {one.row.backend: one.lacking for one in timings(load_bench(), open_catalog(), HERE)}
    assert reasons["eager"] is None
    assert reasons["openvino"] == "backend openvino is not installed: pip install 'sharpose[openvino]'"
    on_a_gpu = timings(load_bench(), open_catalog(), Device("cuda", "a GPU"))
    elsewhere = [one for one in on_a_gpu if one.row.backend not in ("eager", "compiled")]
    assert elsewhere and all(one.lacking and "CPU" in one.lacking for one in elsewhere)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("against: peer", "against: pear", "small.yaml:5: against: no row is labelled 'pear'; did you mean 'peer'?"),
        ("against: peer", "against: ours", "row 'ours' is set against itself, directly or through others"),
        ("label: ours", "label: peer", "used twice"),
        ("alpha: 0.5", "alhpa: 0.5", "row 'ours': sharpose-small-256x192 has no option 'alhpa'"),
        ("model: huggingface-vitpose-small-256x192", "model: timm-vit-small-256x192, scope: end-to-end", "no heatmaps"),
        ("model: huggingface-vitpose-small-256x192", "model: timm-vit-small-256x192, backend: openvino", "is a peer"),
        ("{backend: eager, precision: fp32}", "{backend: onnxruntime, precision: bf16}", "small.yaml:6:"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    assert len(load_bench(path).rows) == 2
    path.write_text(SMALL.replace(old, new))
    with pytest.raises(SpecError) as caught:
        load_bench(path)
    assert message in str(caught.value) and "\n" not in str(caught.value)
