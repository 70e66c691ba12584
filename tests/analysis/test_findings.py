"""Every claim with its verdict: what is judged how, that rows exist, and that the committed file is what is printed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from analysis.tables.claims import CLAIMS, AllClaims, Reader
from analysis.tables.findings import (
    FINDINGS,
    Finding,
    cost_ratio,
    findings,
    judged,
    speed,
    started_alike,
    tally,
)
from analysis.tables.statistics import MARGIN
from experiments.cells.cells import cells
from experiments.cells.provenance import Device
from experiments.spec.catalog import open_catalog
from experiments.spec.reading import load_specs
from experiments.spec.yamlfile import SpecError, YamlFile
from results.records import Record
from results.store import ROOT, Store
from sharpose.evaluation.metrics.significance import compare_replicates


@pytest.mark.parametrize(
    ("centre", "spread", "theirs", "verdict"),
    [
        (0.03, 0.005, 1.0, "holds"),
        (0.03, 0.005, -1.0, "does not hold"),
        # on the same side, but the paper has them alike
        (-0.15, 0.01, -0.3, "does not hold"),
        (-0.004, 0.001, -0.3, "holds"),
        (0.0, 0.001, 1.0, "equivalent"),
        (0.0, 0.02, 1.0, "undecided"),
        (0.03, 0.005, 0.0, "does not hold"),
        (0.003, 0.0005, 0.0, "holds"),
        (-0.03, 0.005, None, "below"),
        (0.003, 0.0005, None, "above, but equivalent"),
    ],
)
def test_a_difference_is_judged_by_its_interval(centre, spread, theirs, verdict):
    replicates = np.random.default_rng(0).normal(centre, spread, 1000)
    assert judged(compare_replicates(centre, replicates, MARGIN), theirs) == verdict


def test_every_value_of_the_paper_that_rows_hold_is_claimed():
    claims = {one.table: one for one in YamlFile(CLAIMS).validate(AllClaims).root}
    said = FINDINGS.read_text().replace("GFLOPs, α = ", "GFLOPs, ")
    for loaded in load_specs(["1", "2", "3", "4", "5", "6", "7", "8"]):
        named = claims[loaded.id]
        compared = {label for pair in (*named.both, *named.accuracy, *named.speed) for label in pair}
        for row in loaded.spec.rows:
            if row.paper.ap is not None or row.paper.pckh is not None or row.paper.images_per_s is not None:
                assert row.label in compared, (loaded.id, row.label)
            assert row.paper.gflops is None or f"GFLOPs, {row.label} |" in said, (loaded.id, row.label)
            assert row.paper.params is None or f"M parameters, {row.label} |" in said, (loaded.id, row.label)


def test_a_row_that_is_not_there_is_named():
    reader = Reader(Store(published_only=True))
    with pytest.raises(SpecError, match=r"claims.yaml: table8 has no row 'Coarse-Non'; did you mean 'Coarse-None'"):
        reader.row("table8", "Coarse-Non")


def test_a_label_free_start_is_the_same_for_systems_with_other_parts():
    reader = Reader(Store(published_only=True))
    sharpose, vitpose, baseline = (
        reader.row("table3", f"{name} 256x192", "photos") for name in ("SHaRPose-B", "ViTPose-B", "SimpleBaseline-R152")
    )
    assert started_alike(sharpose, vitpose) and not started_alike(sharpose, baseline)


def test_the_committed_file_is_what_is_printed():
    text = findings()
    assert FINDINGS.read_text() == text, "run `python -m analysis.tables.findings`"
    # every link leads to a record or a file of raw numbers
    for target in set(re.findall(r"\]\(\.\./(results/[^)]+)\)", text)):
        assert (ROOT.parent / target).is_file(), target


def test_fewer_multiply_adds_are_a_ratio():
    lines = [line for line in Path(FINDINGS).read_text().splitlines() if "GFLOPs, SHaRPose-B 384x288 ÷" in line]
    (said,) = lines
    # the paper's quarter: 32.9 of 44.1
    assert "| 0.75 × | 0.75 × |" in said and "| holds |" in said
    reader = Reader(Store(published_only=True))
    # a saving, and not the paper's
    assert cost_ratio("table8", "Coarse-Sel-Fine", "None-Fine", reader).verdict == "in part"


def test_speeds_that_do_not_hold_are_said_too():
    lines = [line for line in Path(FINDINGS).read_text().splitlines() if line.startswith("|")]
    (said,) = [line for line in lines if "speed, SHaRPose-B 256x192 ÷ HRNet-W48 256x192" in line]
    assert "| 2.03 × | 0.84 × |" in said and "does not hold" in said


def test_a_ratio_is_of_one_device_and_names_another_than_the_first(tmp_path):
    store, (loaded,) = Store(tmp_path), load_specs(["7"])
    most, other = Device("cpu", "CPU A", 2), Device("cpu", "CPU B", 2)
    speeds = {most: {"EViT": 10.0, "ToMe": 11.0, "SHaRPose-S": 20.0}, other: {"EViT": 30.0, "SHaRPose-B": 24.0}}
    for device, rows in speeds.items():
        for cell in cells(loaded, open_catalog(), device):
            if cell.measure == "throughput" and cell.row in rows:
                store.save(Record(cell.identity, {"images_per_s": rows[cell.row]}, cell.spec, cell.row, cell.tier))
    reader = Reader(store)
    assert reader.devices == [most, other]
    first = speed("table7", "SHaRPose-S", "EViT", reader)
    assert (first.claim, first.ours) == ("speed, SHaRPose-S ÷ EViT", {"nano": "2.00 ×"})
    # not 24 ÷ 10, of two machines
    second = speed("table7", "SHaRPose-B", "EViT", reader)
    assert (second.claim, second.ours) == ("speed on CPU B, 2 threads, SHaRPose-B ÷ EViT", {"nano": "0.80 ×"})
    # nothing has both
    third = speed("table7", "SHaRPose-B", "SHaRPose-S", reader)
    assert (third.claim, third.ours, third.runs) == ("speed, SHaRPose-B ÷ SHaRPose-S", {}, ())


def test_verdicts_are_counted_tier_by_tier():
    rows = [
        Finding("", "", "", {"nano": "", "photos": ""}, {"nano": "holds", "photos": "does not hold"}),
        Finding("", "", "", {"nano": ""}, {"nano": "holds up to 25 % early exits"}),
        Finding("", "", ""),
    ]
    assert tally(rows) == "Nano: 2 holds. Photos: 1 does not hold. At no tier: 1 not measured."
