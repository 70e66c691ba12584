"""Figures: drawn from what is stored, one point per row that has both numbers."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from analysis.figures import (
    OPERATING_POINTS,
    Example,
    all_figures,
    alpha_curve,
    concept,
    draw,
    latency_figure,
    load_example,
)
from analysis.figures.alpha import switches
from analysis.figures.reduction import token_reduction
from analysis.figures.schedules import tokens
from analysis.tables.tables import Table
from experiments.spec.catalog import examples_folder, open_catalog
from experiments.spec.reading import load_specs
from results.logs import read_lines
from results.records import StoreError
from results.store import Store


def test_curve_shows_complete_rows_with_their_intervals() -> None:
    frame = pd.DataFrame(
        {
            "label": ["0.0", "0.3", "1.0"],
            "ap": [50.0, 60.0, None],
            "ap_low": [49.0, 58.0, None],
            "ap_high": [52.0, 61.0, None],
            "gflops": [11.7, 15.7, 24.7],
        }
    )
    _, axis = plt.subplots()
    alpha_curve(frame, axis, "AP")
    assert axis.lines[0].get_xydata().tolist() == [[11.7, 50.0], [15.7, 60.0]]
    bars = axis.collections[0].get_segments()
    assert [segment[:, 1].tolist() for segment in bars] == [[49.0, 52.0], [58.0, 61.0]]
    assert [text.get_text() for text in axis.texts] == ["α = 0.0", "0.3"]
    plt.close("all")


def test_switches_are_drawn_without_a_cost_too() -> None:
    frame = pd.DataFrame(
        {"label": ["release", "paper"], "ap": [80.0, 66.0], "ap_low": [79.0, 65.0], "ap_high": [81.0, 67.0]}
    ).assign(gflops=[17.06, None], refined=[1.0, 0.5])
    _, axis = plt.subplots()
    switches(frame, axis, "AP")
    assert [text.get_text() for text in axis.texts] == ["17.06 G, 100 % refined", "50 % refined"]
    plt.close("all")


def test_two_batch_sizes_are_no_curve() -> None:
    (loaded,) = load_specs(["batch"])
    frame = pd.DataFrame({"label": ["M, 1", "M, 2", "M, 4"], "batch_size": [1, 2, 4], "images_per_s": [4.0, 5.0, None]})
    assert draw(loaded, Table("batch", "t", frame, frame, []), "nano") is None
    assert draw(loaded, Table("batch", "t", frame.fillna(6.0), frame, []), "nano") is not None
    plt.close("all")


def test_every_line_of_the_token_schedules_has_its_name_beside_it() -> None:
    rows = [("long", block, 100) for block in range(1, 5)] + [("short", block, 99) for block in (1, 2)]
    _, axis = plt.subplots()
    tokens(pd.DataFrame(rows, columns=["label", "block", "tokens"]), axis)
    named = {text.get_text(): text.xy for text in axis.texts}
    # neighbours are moved apart, and no name is lost where it leaves the axes
    assert named == {"long": (4, 108), "short": (2, 99)}
    assert all(text.get_annotation_clip() is False for text in axis.texts)
    plt.close("all")


def test_concept_marks_the_kept_patches() -> None:
    facts = {
        "coarse_grid": [4, 3],
        "keep_indices": [0, 7],
        "relevance": np.linspace(0, 1, 12).tolist(),
        "quality": 0.5,
        "alpha": 0.2,
        "fine_keypoints": [[3.0, 4.0], [10.0, 20.0]],
        "limbs": [[0, 1]],
    }
    figure = concept(Example(np.random.default_rng(0).random((32, 24, 3)), facts))
    assert "2 of 12 patches" in figure.axes[2].get_title(loc="left")
    # the pale cover, and four outlines for each kept patch
    assert len(figure.axes[2].patches) == 1 + 4 * 2
    plt.close("all")


def test_a_missing_example_is_one_line(tmp_path: object) -> None:
    with pytest.raises(StoreError, match="git checkout"):
        load_example("nobody", tmp_path)  # type: ignore[arg-type]


def test_a_tier_without_records_has_no_figures_of_another(tmp_path: Path) -> None:
    # nothing that is the same at every tier; people are the tier's own, curves the weights'
    found = dict(all_figures("photos", "cpu", Store(tmp_path / "empty")))
    assert list(found) == ["concept", "figure2", "figure5", "curves"]
    for name in ("concept", "figure2", "figure5"):
        assert "creativecommons.org/licenses/by/2.0" in "".join(text.get_text() for text in found[name].texts)
    plt.close("all")


@pytest.mark.parametrize("tier", ["nano", "photos", "small"])
def test_people_in_figures_are_as_the_weights_of_today_see_them(tier: str) -> None:
    catalog = open_catalog(tier)
    seen = [json.loads(path.read_text()) for path in sorted(examples_folder(tier).glob("*.json"))]
    assert len(seen) >= 8
    for facts in seen:
        manifest = catalog.weights(facts["model"]).with_suffix(".json")
        assert facts["weights_sha256"] == json.loads(manifest.read_text())["sha256"]
        # crops of photographs alone whose licence lets them be shown
        shown = [facts, *facts.get("people", ())][-1]
        assert tier == "nano" or shown["licence"].endswith("/licenses/by/2.0/")


def test_measured_over_predicted_speed_ups() -> None:
    systems = {
        "keypoint-vit": {"times_as_fast": {"macs": 1.0, "roofline": 1.0, "measured": 1.0}},
        "tome": {"times_as_fast": {"macs": 1.5, "roofline": 1.25, "measured": 0.75}},
    }
    common = {"device": "one, 2 threads", "threads": 1, "batch": 4, "systems": systems}
    lines = [{**common, "attention": kind, "throttled": kind == "unfused"} for kind in ("fused", "unfused")]
    figure = token_reduction(lines)
    for axis, predicted in zip(figure.axes, (1.5, 1.25), strict=True):
        points = [line for line in axis.lines if line.get_marker() == "o"]
        assert [(*line.get_xdata(), *line.get_ydata()) for line in points] == [(predicted, 0.75)] * 2
        assert [line.get_markerfacecolor() == "none" for line in points] == [False, True]
        assert [line.get_alpha() for line in points] == [1.0, 0.35]
    assert any("transformer, one, 1 thread" in text.get_text() for text in figure.findobj(Text))
    meant = [text.get_text() for text in figure.legends[0].get_texts()]
    assert meant == ["tome", "batch 4", "fused attention", "unfused attention"]
    plt.close("all")


def test_ap_over_latency_has_a_line_per_alpha_from_the_coarse_stage_on() -> None:
    ((name, figure),) = latency_figure("photos", None)
    line = [one for one in read_lines(OPERATING_POINTS) if one["tier"] == "photos"][-1]
    title = " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")
    assert name == "latency" and line["device"] in title
    drawn = {one.get_label(): one for one in figure.axes[0].lines}
    for alpha, fine in line["fine_ms"].items():
        times = drawn[f"α = {float(alpha):g}"].get_xdata()
        assert (times[0], times[-1]) == pytest.approx((line["coarse_ms"], line["coarse_ms"] + fine))
    best = drawn["no other point is both cheaper and better"].get_ydata()
    assert (np.diff(best) > 0).all() and max(best) == max(max(one.get_ydata()) for one in drawn.values())
    assert not list(latency_figure("small", None))
    plt.close("all")
