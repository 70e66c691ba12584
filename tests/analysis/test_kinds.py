"""Tables of other kinds: token schedules, counters; pairs of rows and several trainings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from analysis.figures import schedules
from analysis.tables.cell_text import seeds_score_text
from analysis.tables.footers import pairs_text, seeds_text
from analysis.tables.lines import Line, Stored
from analysis.tables.tables import build_tables
from analysis.tables.trainings import seed_scores
from experiments.cells.cells import Cell
from experiments.spec.reading import load_spec
from experiments.spec.spec import FOLDER, LoadedSpec
from experiments.spec.yamlfile import SpecError, YamlFile
from results.records import Record


def test_token_schedules_are_those_of_the_configurations():
    (table,) = build_tables(["schedules"])
    blocks = {label: part["tokens"].tolist() for label, part in table.frame.groupby("label")}
    assert blocks["SHaRPose α = 0.4"] == [66] * 12 + [17 + 4 * 20 + 28] * 12
    assert blocks["ViTPose-B"] == [192] * 12 and blocks["SHaRPose, coarse exit"] == [66] * 12
    assert blocks["DynamicViT"][:4] == [209, 209, 209, 151]
    assert "66 × 12, 125 × 12" in table.shown["tokens × blocks"].tolist()


def test_counters_agree_stage_by_stage_and_fvcore_adds_norms():
    (table,) = build_tables(["counters"])
    frame = table.frame.set_index(["label", "stage"])
    row = frame.loc[("SHaRPose-B 256x192", "total")]
    assert row["fvcore"] == pytest.approx(17.06, abs=0.005) and row["torch"] == pytest.approx(17.04, abs=0.005)
    parts = frame.loc["SHaRPose-B 256x192"]
    assert parts.loc[["coarse", "fine"], "torch"].sum() == pytest.approx(row["torch"])
    assert table.frame["spread_percent"].max() < 0.001
    assert (frame["fvcore"] / frame["formula_all"] - 1).abs().max() < 1e-5


def record(ap: float, noise: int = 0) -> Record:
    replicates = (ap + np.random.default_rng(0).normal(0, 0.01, 100) + noise * 0.001).tolist()
    metrics = {
        "ap": ap,
        "ap_bootstrap": replicates,
        "bootstrap_seed": 0,
        "bootstrap_images": "a",
        "annotations_sha256": "b",
    }
    return Record({"measure": "accuracy", "version": 1, "ap": ap}, metrics, "small", "x", "nano")


SPEC = """
title: t
base: {model: sharpose-base-256x192, dataset: coco-val}
measure: [accuracy]
columns: [ap, ap_seeds]
seeds: [0, 1, 2]
pairs: [[A, B], [B, A], [A, C]]
rows: [{label: A}, {label: B}, {label: C}]
"""


@pytest.fixture
def loaded(tmp_path) -> LoadedSpec:
    path = tmp_path / "small.yaml"
    path.write_text(SPEC)
    return load_spec(path)


def lines(loaded: LoadedSpec) -> list[Line]:
    scores = {"A": record(0.8), "B": record(0.7)}
    own = {"accuracy": Cell("small", "A", "accuracy", "nano", "m", {})}
    weights = loaded.path.with_suffix(".safetensors")
    weights.with_suffix(".json").write_text("{}")
    trainings = [replace(own["accuracy"], seed=seed, weights=weights) for seed in range(2)]
    trainings.append(replace(own["accuracy"], seed=2, blocked="no weights of m-seed2 (train them)"))
    seeds = {"A": tuple(map(Stored, trainings, [record(0.76), record(0.84), None]))}
    return [
        Line(row, own, {"accuracy": scores[row.label]} if row.label in scores else {}, seeds.get(row.label, ()))
        for row in loaded.spec.rows
    ]


def test_pairs_say_which_row_is_higher(loaded):
    said = pairs_text(loaded, lines(loaded))
    assert "A minus B: +10.0 [+10.0, +10.0], p .04, higher; B minus A: -10.0 [-10.0, -10.0], p .04, lower." in said[0]
    assert said[0].startswith("AP of the comparisons that this table is read for (2 measured)")
    assert said[1] == "– not compared, as a score is missing: A and C."


def test_seeds_give_a_mean_and_say_who_is_missing(loaded):
    first, second, _ = lines(loaded)
    assert seed_scores(first) == [76.0, 84.0]
    assert seeds_score_text(first) == "80.0 (2 of 3)" and seeds_score_text(second) is None
    said = seeds_text(loaded, lines(loaded))
    assert "trained with seeds 0, 1, 2, each with random weights and an order of people of its own" in said[0]
    assert said[1:] == ["– training with seed 2 of A: no weights of m-seed2 (train them)."]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("pairs: [[A, B]", "pairs: [[A, D]"), "pairs: no row is labelled 'D'"),
        (("seeds: [0, 1, 2]\n", ""), "`seeds` and the column ap_seeds need each other"),
        (("columns: [ap, ap_seeds]\nseeds: [0, 1, 2]\n", ""), "kind rows needs `columns`"),
        (("title: t\n", "title: t\nkind: tokens\n"), "kind tokens cannot use `columns`"),
        (("title: t\n", "title: t\nkind: gates\n"), "kind = 'gates' does not work"),
        (("title: t\n", "title: t\nthresholds: [0.5]\n"), "kind rows cannot use `thresholds`"),
        (("measure: [accuracy]\n", "measure: []\n"), "kind rows needs `measure`"),
        (("{label: A}", "{label: A, load: {refine_rate: 2}}"), "rows[0].load.refine_rate = 2 does not work"),
    ],
)
def test_mistakes_in_new_keys_are_named(tmp_path, change, said):
    path = tmp_path / "broken.yaml"
    assert change[0] in SPEC
    path.write_text(SPEC.replace(*change, 1))
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert str(caught.value).startswith(str(path)) and said in str(caught.value)


def test_kind_gate_needs_both_measures(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text((FOLDER / "figure6.yaml").read_text().replace("[predictions, cost]", "[predictions]"))
    with pytest.raises(SpecError, match="kind gate needs cost in `measure`"):
        load_spec(path)
    assert YamlFile(path).path == path


def test_speeds_are_drawn_where_they_were_measured():
    frame = pd.DataFrame({"label": ["M, 1", "M, 2", "N, 1"], "batch_size": [1, 2, 1], "images_per_s": [4.0, 5.0, None]})
    _, axis = plt.subplots()
    schedules.batches(frame, axis)
    assert [line.get_xydata().tolist() for line in axis.lines] == [[[1, 4], [2, 5]]]
    rates = pd.DataFrame({"refine_rate": [0.0, 0.5, 1.0], "images_per_s": [10.0, 6.0, 5.0]})
    _, axis = plt.subplots()
    schedules.refine_rates(rates, axis)
    # from both ends: 0.1 s, 0.15 s and 0.2 s per image
    assert axis.lines[0].get_ydata().tolist() == pytest.approx([10, 1 / 0.15, 5])
    plt.close("all")
