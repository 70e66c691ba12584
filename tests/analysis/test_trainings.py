"""Fair comparisons are said to be: crops in all, starts, slopes; what started otherwise stands below a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from analysis.figures.curves import curve_frame, curves, system
from analysis.report.report import table_context
from analysis.tables.lines import Line, Stored
from analysis.tables.manifests import LABEL_FREE, POSE_NETWORK, RANDOM, read_training
from analysis.tables.render import as_dict, render, write_csv
from analysis.tables.tables import Table, build
from analysis.tables.trainings import over_trainings, seed_scores
from experiments.cells.cells import Cell, cells
from experiments.cells.provenance import local_device
from experiments.spec.catalog import Catalog, Places
from experiments.spec.reading import load_spec
from experiments.spec.spec import FOLDER, Row
from results.records import Record
from results.store import Store
from sharpose.runtime.files import sha256_of

SPEC = """\
title: "Table 9: systems, COCO val"
row_header: model
pairs: [[HRNet, ViTPose], [SHaRPose, ViTPose], [SHaRPose, OKDHP], [SHaRPose, mean pose]]
base: {model: hrnet-w48-256x192, dataset: coco-val, boxes: detections}
measure: [accuracy]
columns: [ap, ap_seeds, ap50]
seeds: [0, 1, 2]
rows:
  - {label: SHaRPose, set: {model: sharpose-base-256x192, model.quality_threshold: null}, paper: {ap: 75.5}}
  - {label: HRNet, paper: {ap: 75.1}}
  - {label: ViTPose, set: {model: vitpose-base-256x192}}
  - {label: mean pose, set: {model: mean-pose}}
  - {label: OKDHP, set: {model: hrformer-base-256x192}}
"""
AP = {"SHaRPose": 0.30, "HRNet": 0.40, "ViTPose": 0.50, "mean pose": 0.01}


def manifest(model: str, steps: int = 20_000, **more: Any) -> dict[str, Any]:
    """The facts of a training in batches of 16."""
    recipe = {"batch_size": 16, "learning_rate": 1e-3}
    return {"model": model, "steps": steps, "recipe": recipe, "init": None, "seed": 0, **more}


def curve(*scores: float, last: int = 320_000) -> list[dict[str, Any]]:
    """Validations at halves of the way to `last` crops."""
    crops = [last // 2**halved for halved in reversed(range(len(scores)))]
    return [
        {"step": c // 16, "crops": c, "photos-val_ap": ap, "photos-val_pck": 2 * ap}
        for c, ap in zip(crops, scores, strict=True)
    ]


def start(made: dict[str, Any] | None, unexpected: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a manifest says of `--init`."""
    return {"file": "start.safetensors", "sha256": "0123456789", "manifest": made, "taken": {"unexpected": unexpected}}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Makes a file that passes for weights of the race, with its manifest."""

    def write(name: str, made: dict[str, Any], folder: str = "photos") -> Path:
        path = tmp_path / "weights" / folder / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        path.with_suffix(".json").write_text(json.dumps({"sha256": sha256_of(path), **made}))
        return path

    return write


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """The tier of photographs, as a race from random weights."""
    found = Catalog("photos", Places(weights=tmp_path / "weights"))
    found.tier = found.tier.model_copy(update={"starts": RANDOM})
    return found


def test_crops_count_what_a_training_started_from(write: Callable[..., Path]) -> None:
    model = "vitpose-small-256x192"
    phase = manifest(model, 1000, init=start(None, ("cls_token", "mask_token")), curve=curve(0.1, 0.2, last=16_000))
    whole = read_training(write("a", manifest(model, 500, init=start(phase), curve=curve(0.3, last=8_000))))
    # an earlier phase of the same model is no start of its own
    assert (whole.crops, whole.start) == (24_000, LABEL_FREE)
    assert whole.started_from == "start.safetensors (01234567), which has seen no keypoint"
    assert [row["crops"] for row in whole.curve] == [8_000, 16_000, 24_000]
    # half of 24,000 lies between 8,000 and 16,000, at log(12/8) of log 2 of the way
    before = 0.1 + 0.1 * np.log(1.5) / np.log(2)
    assert whole.last_doubling("photos-val") == pytest.approx(100 * (0.3 - before))
    use = read_training(write("b", manifest("sharpose-small-256x192", 100, init=start(phase))))
    assert (use.crops, use.start, use.started_from) == (17_600, POSE_NETWORK, f"weights of {model}")
    assert read_training(write("c", manifest(model))).start == RANDOM
    assert read_training(write("d", manifest(model, init=start(None)))).started_from.endswith("of unknown origin")


def test_only_trainings_that_continue_no_pose_network_count_as_repeats(write: Callable[..., Path]) -> None:
    own = write("own", manifest("m", init=start(None, ("cls_token",))))
    other = write("other", manifest("m", init=start(manifest("teacher"))))
    cell = Cell("t", "A", "accuracy", "nano", "m", {})
    stored = Record({"measure": "accuracy", "version": 1}, {"ap": 0.5}, "t", "A", "nano")
    seeds = tuple(Stored(replace(cell, seed=seed, weights=made), stored) for seed, made in enumerate((own, other)))
    assert seed_scores(Line(Row(label="A"), {"accuracy": cell}, {}, seeds)) == [50.0]


def test_three_trainings_of_both_rows_say_how_far_their_difference_is_known(write: Callable[..., Path]) -> None:
    def trained(name: str, *scores: float) -> Line:
        cell = Cell("t", name, "accuracy", "nano", "m", {})
        stored = (Record({"measure": "accuracy", "version": 1}, {"ap": ap}, "t", name, "nano") for ap in scores)
        files = (write(f"{name}-seed{seed}", manifest("m", seed=seed)) for seed in range(len(scores)))
        seeds = zip(files, stored, strict=True)
        return Line(
            Row(label=name),
            {"accuracy": cell},
            {},
            tuple(Stored(replace(cell, seed=seed, weights=file), one) for seed, (file, one) in enumerate(seeds)),
        )

    # other options of the same weights, then other weights
    fine, coarse = trained("sharpose", 0.12, 0.14, 0.19), trained("sharpose", 0.08, 0.10, 0.15)
    assert over_trainings(fine, coarse) == ", over 3 trainings +4.0 [+4.0, +4.0]"
    # 7 ± 2.776 * sqrt(13/3 + 13/3), four degrees of freedom, as the spreads are alike
    assert over_trainings(fine, trained("alone", 0.05, 0.07, 0.12)) == ", over 3 trainings +7.0 [-1.2, +15.2]"
    assert over_trainings(fine, trained("alone", 0.05, 0.07, 0.12, 0.08)).startswith(", over 3 and 4 trainings +7.0 [")
    assert over_trainings(fine, trained("alone", 0.05, 0.07)) == ""


def test_a_slope_needs_a_curve_that_reaches_back_to_half(write: Callable[..., Path]) -> None:
    flat = read_training(write("a", manifest("m", curve=curve(0.1, 0.3, 0.305))))
    assert flat.last_doubling("photos-val") == pytest.approx(0.5) and flat.last_doubling("pelota") is None
    assert read_training(write("b", manifest("m", curve=curve(0.3)))).last_doubling("photos-val") is None
    late = [{"crops": 300_000, "photos-val_ap": 0.2}, {"crops": 320_000, "photos-val_ap": 0.3}]
    assert read_training(write("c", manifest("m", curve=late))).last_doubling("photos-val") is None
    # the point at half of 20,001 steps lies one step behind it
    odd = [{"crops": 10_001 * 16, "photos-val_ap": 0.2}, {"crops": 20_001 * 16, "photos-val_ap": 0.3}]
    assert read_training(write("d", manifest("m", curve=odd))).last_doubling("photos-val") == pytest.approx(10)


def metrics(ap: float) -> dict[str, Any]:
    ap = max(0.0, ap)
    replicates = (ap + np.random.default_rng(0).normal(0, 0.01, 200)).clip(0, 1).tolist()
    sizes = {"annotated_people": 398, "images": 296, "bootstrap_seed": 0, "bootstrap_images": "a"}
    pck = {"pck": 2 * ap, "pck_low": max(0.0, 2 * ap - 0.05), "pck_high": min(1.0, 2 * ap + 0.05)}
    return {"ap": ap, "ap50": ap + 0.1, "ap_bootstrap": replicates, "annotations_sha256": "c", **sizes, **pck}


def race(tmp_path: Path, catalog: Catalog, score: Callable[[Cell], float]) -> Table:
    """The table with a record for every cell that is known."""
    path, store = tmp_path / "table9.yaml", Store(tmp_path / "results")
    path.write_text(SPEC)
    for cell in cells(load_spec(path), catalog, local_device("cpu")):
        if cell.identity is not None:
            made = {"utc": "2026-01-02T03:04:05+00:00", "model": cell.model, "dataset": cell.dataset}
            store.save(Record(cell.identity, metrics(score(cell)), cell.spec, cell.row, cell.tier, made))
    return build(load_spec(path), catalog, local_device("cpu"), store)


def by_people(cell: Cell) -> float:
    return AP[cell.row] + {None: 0, "coco-mini-val": -0.01}.get(cell.test_set, -0.02) + 0.01 * (cell.seed or 0)


@pytest.fixture
def table(tmp_path: Path, catalog: Catalog, write: Callable[..., Path]) -> Table:
    """SHaRPose from other weights, HRNet from random ones three times, ViTPose from random ones, HRFormer untrained."""
    rates = {"chosen": 1e-3, "judged_on": "photos-val", "score": "pck", "crops_each": 16_000}
    rates |= {"tried": [{"rate": 5e-4, "pck": 0.1}, {"rate": 1e-3, "pck": 0.2}]}
    trained = {"curve": curve(0.2, 0.3, 0.36), "learning_rates": rates}
    write("hrnet-nano-128x96", manifest("hrnet-nano-128x96", **trained))
    for seed in (1, 2):
        write(f"hrnet-nano-128x96-seed{seed}", manifest("hrnet-nano-128x96", seed=seed))
    write("vitpose-nano-128x96", manifest("vitpose-nano-128x96", teacher={"file": "t.safetensors"}, **trained))
    other = manifest("vitpose-nano-128x96")
    sharpose = manifest("sharpose-nano-128x96", init=start(other))
    write("sharpose-nano-128x96", sharpose | {"recipe": {**sharpose["recipe"], "attention": 0.01}})
    return race(tmp_path, catalog, by_people)


def test_a_column_per_test_set_never_called_coco_val(table: Table) -> None:
    assert list(table.shown.columns) == [
        "model", "AP, photos-val (photos tier)", "AP (paper)", "PCK, photos-val", "AP, coco-mini-val", "AP, pelota",
        "PCK, lspet-val", "AP over trainings, mean ± 95 % t-interval, photos-val (photos tier)",
        "AP50, photos-val (photos tier)",
    ]  # fmt: skip
    hrnet = table.shown.set_index("model").loc["HRNet"]
    assert hrnet["AP, photos-val (photos tier)"].startswith("40.0 [38.")
    assert hrnet["PCK, photos-val"] == "80.0 [75.0, 85.0]" and hrnet["AP, coco-mini-val"].startswith("39.0 [37.")
    assert hrnet["PCK, lspet-val"] == "76.0 [71.0, 81.0]" and hrnet["AP50, photos-val (photos tier)"] == "50.0"
    # t of two degrees of freedom times an sd of 1 over the root of three
    assert hrnet.filter(like="t-interval").item() == f"41.0 ± {4.3027 / 3**0.5:.1f} (3 of 3)"
    assert table.title == (
        "Table 9: systems, photographs (photos tier: not converged, the last doubling of crops gained up to 6.0 AP)"
    )
    row = as_dict(table)["rows"][0]
    assert row["ap_coco-mini-val"] == pytest.approx(39) and row["pck_photos-val_low"] == pytest.approx(75)
    assert len(row["accuracy_pelota_run_id"]) == 16 and row["accuracy_pelota_run_id"] != row["accuracy_run_id"]
    assert (row["crops"], row["start"], row["learning_rate"]) == (320_000, "random", 1e-3)
    assert row["last_doubling_ap"] == pytest.approx(6)


def test_what_started_otherwise_stands_below_a_line(table: Table, tmp_path: Path) -> None:
    assert table.shown["model"].tolist() == ["HRNet", "ViTPose", "mean pose", "OKDHP", "SHaRPose"] and table.below == 1
    footer = "\n".join(table.footer)
    for said in (
        "Crops of people seen in all, starts included: 320,000: HRNet, ViTPose; 640,000: SHaRPose.",
        "Started from: random weights: HRNet, ViTPose; weights of vitpose-nano-128x96: SHaRPose.",
        "Learning rate: 0.001 (the largest of 0.0005, 0.001, by PCK on photos-val after 16,000 crops each): HRNet, "
        "ViTPose; 0.001, not chosen from a list: SHaRPose.",
        "The last doubling of crops gained: +6.0 AP: HRNet, ViTPose; not known, no curve: SHaRPose.",
        "Taught while it learnt: ViTPose from t.",
        "Their attention had a loss of its own beside the paper's: weight 0.01: SHaRPose.",
        "Below the line, not in the comparison, as they began with something else or were guided: SHaRPose.",
        # of those that had unequal starts nothing is said; a control has none
        "AP of the comparisons that this table is read for (2 measured)",
        "HRNet minus ViTPose: -10.0 [-10.0, -10.0], p .02, lower; SHaRPose minus mean pose: +29.0 [",
        "– not compared, as they had unequal starts: SHaRPose and ViTPose.",
        "– not compared, as a score is missing: SHaRPose and OKDHP.",
        "agreement with it, not truth",
        "coco-mini-val (398 people in 296 images)",
        "– accuracy of OKDHP: no weights of hrformer-nano-128x96 (sharpose train-missing --tier photos).",
        "– training with seed 1 of ViTPose, SHaRPose: no weights of vitpose-nano-128x96-seed1, sharpose-",
    ):
        assert said in footer, said
    markdown = render(table, "markdown").splitlines()
    rows = [line.split(" | ")[0].removeprefix("| ") for line in markdown if line.startswith("|")]
    assert rows[2:] == ["HRNet", "ViTPose", "mean pose", "OKDHP", "*not in the comparison*", "SHaRPose"]
    latex = render(table, "latex").splitlines()
    assert latex[latex.index(r"\bottomrule") - 2] == r"\midrule"
    lines = render(table, "text", width=300).splitlines()
    (last,) = (number for number, line in enumerate(lines) if line.strip().startswith("SHaRPose "))
    assert set(lines[last - 1]) == {"─", " "}
    assert [row["line"] for row in table_context(table)["rows"]] == [False] * 4 + [True]
    # a line is drawn inside `render` alone: files hold the rows
    assert write_csv(table, tmp_path / "csv") == tmp_path / "csv/table9.csv"


def test_unequal_crops_and_an_end_of_learning_are_said(
    tmp_path: Path, catalog: Catalog, write: Callable[..., Path]
) -> None:
    write("hrnet-nano-128x96", manifest("hrnet-nano-128x96", curve=curve(0.30, 0.305)))
    write("vitpose-nano-128x96", manifest("vitpose-nano-128x96", 10_000, curve=curve(0.30, 0.309, last=160_000)))
    table = race(tmp_path, catalog, by_people)
    assert table.title.endswith("(photos tier: converged, the last doubling of crops gained less than 1 AP)")
    said = "320,000: HRNet; 160,000: ViTPose, NOT the same for all that are compared."
    assert any(said in line for line in table.footer) and table.below == 0


def test_where_nothing_is_trained_there_are_dashes_with_reasons(tmp_path: Path, catalog: Catalog) -> None:
    table = race(tmp_path, catalog, by_people)
    assert table.title == "Table 9: systems, photographs (photos tier: nothing trained yet)"
    rows = table.shown[table.shown["model"] != "mean pose"].drop(columns=["model", "AP (paper)"])
    assert set(rows.to_numpy().ravel()) == {"–"} and not any("t-interval" in name for name in rows)
    assert any("no weights of sharpose-nano-128x96" in line for line in table.footer)


def test_a_table_of_other_people_keeps_its_title_and_says_why_it_is_empty(tmp_path: Path, catalog: Catalog) -> None:
    table = build(load_spec(FOLDER / "table5.yaml"), catalog, local_device("cpu"), Store(tmp_path / "results"))
    assert table.title == "Table 5: MPII val, 256x256, 16 keypoints" and "PCKh@.5 (photos tier)" in table.shown
    footer = "\n".join(table.footer)
    assert "no photograph here has MPII's 16 joints and head boxes" in footer and "coco-mini-val" not in footer


def test_a_table_names_the_people_in_the_place_of_the_papers() -> None:
    store, device, nano = Store(published_only=True), local_device("cpu"), Catalog("nano")
    titles = {
        name: build(load_spec(FOLDER / f"{name}.yaml"), nano, device, store).title for name in ("table4", "photos-coco")
    }
    # followed on other people than it is judged on
    assert titles["table4"].startswith(
        "Table 4: generated people, 384x288 (nano tier: not converged, the last doubling"
    )
    assert titles["table4"].endswith(" AP on mannequin2-val)")
    assert titles["photos-coco"].startswith("Real photographs: a few pictures of COCO val2017 (nano tier: ")


def test_a_label_free_tier_compares_what_started_so(tmp_path: Path, write: Callable[..., Path]) -> None:
    small = Catalog("small", Places(weights=tmp_path / "weights"))
    model = "vitpose-small-256x192"
    write(model, manifest(model, init=start(None, ("cls_token",))), "small")
    write("sharpose-small-256x192", manifest("sharpose-small-256x192"), "small")
    table = race(tmp_path, small, by_people)
    assert table.shown["model"].tolist()[-1] == "SHaRPose" and table.below == 1
    assert "small tier: not known whether converged" in table.title


def test_learning_curves_are_drawn_of_every_training_that_was_followed(
    catalog: Catalog, write: Callable[..., Path]
) -> None:
    assert curve_frame(catalog).empty
    for name, scores in {"hrnet-nano-128x96": (0.1, 0.3), "hrnet-nano-128x96-seed1": (0.1, 0.28)}.items():
        write(name, manifest("hrnet-nano-128x96", curve=curve(*scores)))
    write("vitpose-nano-128x96", manifest("vitpose-nano-128x96"))
    frame = curve_frame(catalog)
    assert frame["weights"].tolist() == ["hrnet-nano-128x96"] * 2 + ["hrnet-nano-128x96-seed1"] * 2
    assert frame["photos-val_ap"].tolist() == pytest.approx([10, 30, 10, 28])
    left, right = curves(frame, "photos-val", "photos").axes
    for axis, measure in ((left, "AP"), (right, "PCK")):
        assert " ".join(axis.get_ylabel().split()) == f"{measure} on photos-val with flip test, photos tier, %"
    assert left.get_xscale() == "log"
    assert left.lines[0].get_xydata().tolist() == [[160_000, pytest.approx(10)], [320_000, pytest.approx(30)]]
    # further seeds have the colour of the first, and one name serves them all
    assert left.lines[0].get_color() == left.lines[1].get_color()
    assert [text.get_text() for text in left.texts] == ["hrnet"]
    assert system("sharpose-nano-128x96-coarse-seed2") == "sharpose-coarse"
    assert system("sharpose-small-256x192") == "sharpose" and system("sharpose-nano-192x144") == "sharpose-192x144"
    assert system("vitpose-nano-small-128x96") == "vitpose-small"
    plt.close("all")


def test_tier_nano_has_no_such_columns(tmp_path: Path) -> None:
    path = tmp_path / "table9.yaml"
    path.write_text(SPEC)
    nano = Catalog("nano", Places(weights=tmp_path / "none"))
    table = build(load_spec(path), nano, local_device("cpu"), Store(tmp_path / "results"))
    assert list(table.shown.columns) == ["model", "AP (nano tier)", "AP (paper)", "AP50 (nano tier)"]
    assert table.title == "Table 9: systems, generated people (nano tier: nothing trained yet)"
    assert pd.isna(table.frame["ap"]).all() and replace(table).below == 0
