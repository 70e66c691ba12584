"""The gate on people whose answers are known: what a threshold gives, what a good quality is worth, what is picked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from analysis.figures import gate as drawings
from analysis.gate import gate_table
from analysis.gate.choose import choose_threshold
from analysis.gate.gate import Cost, Gate, calibration, candidates, curve, first, minus_random, pick, sweep
from analysis.gate.gate_table import GateCurve, largest_exit_rate
from analysis.gate.predictions import Predictions
from analysis.tables.lines import read_lines
from experiments.cells.cells import cells
from experiments.cells.provenance import local_device
from experiments.spec.catalog import open_catalog
from experiments.spec.reading import load_spec, load_specs
from experiments.spec.yamlfile import SpecError
from results.packed import pack
from results.records import Record
from results.store import Store
from sharpose.cli.gate import multiply_adds
from sharpose.evaluation.metrics.coco_ap import annotations_of, coco_ap
from sharpose.runtime.errors import InputError

NAMES = [f"point_{number}" for number in range(8)]
COST = Cost(6e9, 10e9)
PEOPLE = 120


def make(seed: int = 0) -> Predictions:
    """Alone in their images; of half of the people the coarse stage is 12 pixels off, and the fine one about 1."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(20, 120, (PEOPLE, 8, 2))
    hard = rng.random(PEOPLE) < 0.5
    coarse = truth + rng.normal(0, 1, truth.shape) + np.where(hard, 12.0, 0.0)[:, None, None]
    fine = truth + rng.normal(0, 1, truth.shape)
    rows = [
        {
            "id": 1 + i, "image_id": 10 + i, "category_id": 1, "iscrowd": 0, "area": 5000.0, "bbox": [20, 20, 100, 100],
            "keypoints": np.column_stack([truth[i], np.full(8, 2)]).ravel().tolist(),
        }
        for i in range(PEOPLE)
    ]  # fmt: skip
    images = [{"id": 10 + i, "file_name": "x.jpg"} for i in range(PEOPLE)]
    category = {"id": 1, "name": "person", "keypoints": NAMES, "sigmas": [0.08] * 8}
    similar = [
        np.exp(-((stage - truth) ** 2).sum(-1) / (2 * (2 * 0.08) ** 2 * 5000)).mean(-1) for stage in (coarse, fine)
    ]
    return Predictions(
        keypoints=np.stack([coarse, fine]),
        scores=np.full((2, PEOPLE, 8), 0.9),
        oks=np.stack(similar),
        quality=similar[0].astype(np.float32),
        image_ids=np.arange(10, 10 + PEOPLE),
        instance_ids=np.arange(1, 1 + PEOPLE),
        box_scores=np.ones(PEOPLE),
        areas=np.full(PEOPLE, 10_000.0),
        truth=annotations_of({"images": images, "annotations": rows, "categories": [category]}),
    )


@pytest.fixture(scope="module")
def people() -> Predictions:
    return make()


@pytest.fixture(scope="module")
def frame(people: Predictions) -> pd.DataFrame:
    return curve(Gate(people, resamples=200), [0.3, 0.9, 2.0], COST)


def test_the_ends_are_the_two_stages(people, frame):
    for place, everybody in ((0, False), (-1, True)):
        alone = coco_ap(people.truth, people.choose(np.full(PEOPLE, everybody)), resamples=0)
        assert frame["ap"].iloc[place] == pytest.approx(100 * alone.ap)
    assert frame["exited_percent"].iloc[[0, -1]].tolist() == [100.0, 0.0]
    assert frame["gflops"].iloc[[0, -1]].tolist() == [6.0, 16.0]
    # thresholds that refine nobody or everybody are the ends already
    assert len(frame) == 4


def test_cost_is_coarse_and_the_refined_share_of_fine(people, frame):
    middle = frame.iloc[2]
    share = (people.quality < 0.9).mean()
    assert middle["exited_percent"] == pytest.approx(100 * (1 - share))
    assert middle["gflops"] == pytest.approx(6 + 10 * share)


def test_a_quality_that_knows_beats_exits_at_random(people):
    gate = Gate(people, resamples=200)
    good = gate.point(0.9)
    assert minus_random(gate, good).low > 0
    blind = Predictions(**{**vars(people), "quality": np.random.default_rng(1).random(PEOPLE).astype(np.float32)})
    point = Gate(blind, resamples=200).point(0.5)
    chance = minus_random(Gate(blind, resamples=200), point)
    assert chance.low < 0 < chance.high
    assert good.metrics.ap > point.metrics.ap


def test_how_many_may_exit_is_found_to_a_hundredth(people):
    gate, loss = Gate(people, resamples=0), 0.01
    whole, found = gate.ap(np.ones(PEOPLE, dtype=bool)).ap, gate.exits_worth(loss)
    for name, oracle in (("true_quality", gate.ap_by_true_quality), ("gain", gate.ap_by_gain)):
        lost, too_much = (whole - oracle(1 - share / 100) for share in (found[name], found[name] + 1))
        assert 0 < found[name] < 100 and lost <= loss < too_much
    # here quality is the true coarse OKS, and half of the people are lost by the coarse stage
    assert found["quality"] == found["true_quality"] and 30 < found["gain"] < 70
    assert set(gate.exits_worth(1.0).values()) == {100.0} and set(gate.exits_worth(-1.0).values()) == {0.0}


def test_random_exits_are_the_mean_over_all_choices(people):
    rng = np.random.default_rng(0)
    # ranked by scores that differ, as real ones do
    people = Predictions(**{**vars(people), "scores": rng.uniform(0.5, 1, people.scores.shape)})
    gate = Gate(people, resamples=50)
    for share in (0.0, 0.5, 1.0):
        # at the ends there is one choice
        draws = 60 if 0 < share < 1 else 1
        drawn = [gate.predictions.ap(first(rng.permutation(PEOPLE), share), resamples=0).ap for _ in range(draws)]
        expected, replicates = gate.at_random(share)
        # exact at the ends, else the mean of other draws
        assert expected == pytest.approx(np.mean(drawn), abs=1e-12 if share in (0, 1) else 0.01)
        assert len(replicates) == 50
    everybody = gate.ap(np.ones(PEOPLE, dtype=bool)).bootstrap.replicates
    assert gate.at_random(1.0)[1] == pytest.approx(everybody)


def test_a_gate_that_knew_the_gain_would_refine_whom_it_helps(people, frame):
    gate, (coarse, fine) = Gate(people, resamples=0), people.oks
    refined = np.argsort(fine - coarse)[-10:]
    expected = gate.ap(np.isin(np.arange(PEOPLE), refined)).ap
    assert gate.ap_by_gain(10 / PEOPLE) == expected
    worst = np.argsort(coarse, kind="stable")[:10]
    assert gate.ap_by_true_quality(10 / PEOPLE) == gate.ap(np.isin(np.arange(PEOPLE), worst)).ap
    # where there is no choice, there is no difference
    assert frame["ap_by_true_quality"].iloc[[0, -1]].tolist() == frame["ap"].iloc[[0, -1]].tolist()
    assert frame["ap_by_gain"].iloc[[0, -1]].tolist() == frame["ap"].iloc[[0, -1]].tolist()


def test_calibration_of_a_right_and_of_a_reversed_quality(people):
    right = calibration(people)
    assert right.rank == pytest.approx(1) and right.error == pytest.approx(0, abs=1e-6) and right.rank_gain < -0.7
    assert right.explained == pytest.approx(1)
    assert right.bins["people"].sum() == PEOPLE and right.bins["predicted"].is_monotonic_increasing
    reversed_ = calibration(Predictions(**{**vars(people), "quality": 1 - people.quality}))
    assert reversed_.rank == pytest.approx(-1) and reversed_.error > 0.2


def test_what_is_picked_keeps_to_its_limit_and_is_the_best_that_does(people):
    gate = Gate(people, resamples=0)
    points = {point.threshold: point for point in map(gate.point, candidates(people.quality))}
    found = sweep(gate)
    assert [one.threshold for one in found] == list(points)
    assert (found[0].refine_rate, found[-1].refine_rate) == (0, 1)
    within = points[pick(found, COST, budget=11e9).threshold]
    allowed = [point for point in points.values() if COST.expected(point.refine_rate) <= 11e9]
    assert within.metrics.ap == max(point.metrics.ap for point in allowed)
    cheap = points[pick(found, COST, max_ap_loss=0.02).threshold]
    assert -cheap.minus_all.value <= 0.02
    assert all(-point.minus_all.value > 0.02 for point in points.values() if point.refine_rate < cheap.refine_rate)
    assert pick(found, COST, budget=5e9) is None


def stored(people: Predictions) -> dict:
    """The record of these people, packed as a measurement packs them."""
    rows = people.truth.annotations
    points = np.array([row["keypoints"] for row in rows]).reshape(PEOPLE, -1, 3)
    whole = np.rint(people.keypoints * 100).astype(int)
    truth = np.rint(points[..., :2] * 100).astype(int)
    arrays = {
        "per_pixel": np.array(100), "per_score": np.array(1000), "truth_rows": np.arange(PEOPLE),
        "truth_keypoints": truth, "coarse_minus_truth": whole[0] - truth, "fine_minus_coarse": whole[1] - whole[0],
        "coarse_scores": np.rint(people.scores[0] * 1000), "fine_scores": np.rint(people.scores[1] * 1000),
        "coarse_oks": people.oks[0], "fine_oks": people.oks[1], "quality": people.quality,
        "box_scores": people.box_scores, "areas": people.areas, "all_image_ids": people.image_ids,
        "truth_ids": people.instance_ids, "truth_image_ids": people.image_ids,
        "truth_bbox_xywh": np.array([row["bbox"] for row in rows]), "truth_areas": np.full(PEOPLE, 5000.0),
        "truth_crowd": np.zeros(PEOPLE, bool), "truth_num_keypoints": np.full(PEOPLE, -1),
        "truth_visibility": points[..., 2],
    }  # fmt: skip
    return {"arrays": pack(arrays), "category": {"id": 1, "keypoints": NAMES, "sigmas": [0.08] * 8}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Other people in each of the two specs, and the cost of every row."""
    kept = Store(tmp_path)
    for seed, loaded in enumerate(load_specs(["figure6", "figure6-test"])):
        for cell in cells(loaded, open_catalog("photos"), local_device("cpu")):
            if cell.identity is None:
                continue
            metrics = stored(make(seed)) if cell.measure == "predictions" else {}
            metrics = metrics or {"macs_fvcore_coarse": COST.coarse, "macs_fvcore_fine": COST.fine}
            made = {"dataset": cell.dataset}
            kept.save(Record(cell.identity, metrics, cell.spec, cell.row, cell.tier, made))
    return kept


def test_a_threshold_is_chosen_on_some_people_and_reported_on_others(store):
    facts = choose_threshold("256x192", budget=11e9, tier="photos", store=store, resamples=100)
    assert [facts[place]["dataset"] for place in ("chosen_on", "reported_on")] == ["photos-val", "coco-mini-val"]
    first, second = Gate(make(0), 0), Gate(make(1), 0)
    threshold = pick(sweep(first), COST, budget=11e9).threshold
    assert facts["quality_threshold"] == threshold
    assert facts["chosen_on"]["macs"] <= 11e9
    assert facts["reported_on"]["ap"] == pytest.approx(second.point(threshold).metrics.ap, abs=0.01)
    assert facts["reported_on"]["exited"] == second.point(threshold).exited != facts["chosen_on"]["exited"]
    with pytest.raises(SpecError, match=r"the coarse stage alone takes 6\.00 G"):
        choose_threshold("256x192", budget=1e9, tier="photos", store=store)
    with pytest.raises(SpecError, match="no row '256x193'; did you mean '256x192'"):
        choose_threshold("256x193", budget=11e9, tier="photos", store=store)
    with pytest.raises(SpecError, match="chosen and reported on the same people"):
        choose_threshold("256x192", budget=11e9, specs=["figure6", "figure6"], tier="photos", store=store)
    with pytest.raises(SpecError, match="'6' means 2 specs: table6a, table6b"):
        choose_threshold("256x192", budget=11e9, specs=["6", "figure6"], tier="photos", store=store)
    with pytest.raises(SpecError, match="this table is of tier photos"):
        choose_threshold("guided", budget=11e9, specs=["guided-gate", "figure6"], tier="nano", store=store)
    with pytest.raises(SpecError, match="figure6 256x192: no predictions are stored: "):
        choose_threshold("256x192", budget=11e9, tier="photos", store=Store(store.local / "empty"))


def test_a_curve_is_computed_once_and_again_only_where_it_must(store, monkeypatch):
    asked = []
    monkeypatch.setattr(gate_table, "CURVE_RESAMPLES", 20)
    monkeypatch.setattr("analysis.gate.gate.DRAWS", 10)
    monkeypatch.setattr(gate_table, "curve", lambda *given: asked.append(1) or curve(*given))

    (loaded,) = load_specs(["figure6-test"])
    found = cells(loaded, open_catalog("photos"), local_device("cpu"))

    def built() -> pd.DataFrame:
        return gate_table.gate_frame(gate_table.gate_curves(loaded, read_lines(loaded, found, store), store))

    first, rows = built(), len(asked)
    pd.testing.assert_frame_equal(built(), first)
    kept = store.records("curve")
    assert len(asked) == rows == len(kept) > 0 and kept[0].identity["resamples"] == 20
    predictions = {record.run_id: record for record in store.records("predictions")}
    source = predictions[kept[0].identity["source"]]
    assert (kept[0].spec, kept[0].row, kept[0].provenance["dataset"]) == (source.spec, source.row, "coco-mini-val")
    # a damaged file is written anew
    path = store.local / "curve" / f"{kept[0].run_id}.json"
    path.write_bytes(path.read_bytes()[:-40])
    pd.testing.assert_frame_equal(built(), first)
    assert len(asked) == rows + 1 and len(store.records("curve")) == rows
    # the same predictions measured again, with other numbers
    store.save(replace(source, metrics=stored(make(7))))
    assert not built().equals(first) and len(asked) == rows + 2
    # where nothing can be written, everything is computed
    (store.local / "curve").rename(store.local / "away")
    (store.local / "curve").write_text("in the way")
    assert len(built()) == len(first) and len(asked) == 2 * rows + 2


def test_a_budget_is_read_with_its_unit():
    assert multiply_adds("12G") == multiply_adds("12e9") == 12e9 and multiply_adds("0.5g") == 5e8
    for wrong in ("", "G", "12 M", "-1G", "nan", "inf"):
        with pytest.raises(InputError, match="--budget"):
            multiply_adds(wrong)


def test_predictions_need_their_options(tmp_path):
    text = Path("experiments/specs/figure6.yaml").read_text() if Path("experiments/specs/figure6.yaml").exists() else ""
    path = tmp_path / "figure.yaml"
    path.write_text(text.replace("flip_test: false", "flip_test: true"))
    with pytest.raises(SpecError, match="predictions need `boxes: ground-truth`, `flip_test: false`"):
        cells(load_spec(path), open_catalog(), local_device("cpu"))


def test_figures_show_the_numbers_of_the_frame(people, frame):
    shown = [GateCurve(alpha, frame, calibration(people), {}) for alpha in ("0.3", "0.4")]
    figure = drawings.gate(shown)
    left, middle, right = figure.axes[:5:2]
    ap = next(line for line in left.lines if line.get_color() == drawings.BLUE)
    assert ap.get_ydata().tolist() == frame["ap"].tolist()
    assert middle.lines[0].get_xdata().tolist() == frame["gflops"].tolist()
    assert right.lines[1].get_ydata().tolist() == shown[0].calibration.bins["true"].tolist()
    _, axis = plt.subplots()
    drawings.frontier(shown, axis, "nano")
    assert {text.get_text() for text in axis.get_legend().get_texts()} >= {"α = 0.3", "α = 0.4"}
    lines = axis.lines[1:]
    assert (
        len({line.get_marker() for line in lines}) == len({str(line.get_linestyle()) for line in lines}) == len(lines)
    )
    plt.close("all")


def test_the_frontier_keeps_what_nothing_beats():
    frame = pd.DataFrame({"gflops": [1.0, 2.0, 3.0, 2.0, 4.0], "ap": [50.0, 60.0, 55.0, 61.0, 62.0]})
    best = drawings.pareto(frame)
    assert best[["gflops", "ap"]].to_numpy().tolist() == [[1.0, 50.0], [2.0, 61.0], [4.0, 62.0]]
    # a point without one of both is none, and beats nobody; by other columns
    frame = pd.DataFrame({"cost": [1.0, 2.0, 3.0, None], "score": [10.0, None, 20.0, 99.0]})
    assert drawings.pareto(frame, "cost", "score")["cost"].tolist() == [1.0, 3.0]


def test_how_many_may_leave_is_read_between_two_thresholds():
    frame = pd.DataFrame({"exited_percent": [100.0, 40.0, 20.0, 0.0], "ap": [70.0, 79.0, 80.0, 80.0]})
    assert largest_exit_rate(frame, "ap", 0.5) == pytest.approx(30)
    assert largest_exit_rate(frame, "ap", 1.0) == pytest.approx(40) and largest_exit_rate(frame, "ap", 20.0) == 100
