"""The work of a reproduction: counted by hand for one row, and what the page says is what the code gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.cost.scale import markdown, table_work
from experiments.spec.spec import load_spec, load_specs

ROOT = Path(__file__).resolve().parents[2]

SPEC = """\
title: "One row"
base: {model: sharpose-base-256x192, model.alpha: 0.3, dataset: coco-val}
measure: [accuracy, cost]
columns: [gflops]
rows:
  - {label: "early exit", set: {model.quality_threshold: 0.95}}
  - {label: "all refined", set: {model.quality_threshold: null}}
  - {label: mean pose, set: {model: mean-pose}, measure: [accuracy]}
"""


def test_a_model_is_trained_once_whatever_its_threshold(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(SPEC)
    work = table_work(load_spec(path))
    assert work.trainings == 1
    # 15.7e9 multiply-adds, three passes, 149,813 people, 210 epochs
    assert work.training == pytest.approx(2 * 15.7e9 * 3 * 149_813 * 210, rel=0.02)
    assert work.evaluation == pytest.approx(work.training * 2 * 104_125 / (3 * 149_813 * 210))
    assert work.hours("H100") == pytest.approx((work.training + work.evaluation) / (989e12 * 0.2 * 3600))
    assert work.hours("A100") > work.hours("H100")


def test_what_two_tables_share_is_trained_once() -> None:
    done: set[str] = set()
    (table,) = load_specs(["6a"])
    assert table_work(table, done).trainings > 0 and table_work(table, done).trainings == 0


def test_the_page_is_up_to_date() -> None:
    assert markdown() in (ROOT / "docs" / "scale.md").read_text()
