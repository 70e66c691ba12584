"""The table of systems: what is known of each, and the copy of it in docs/systems.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.tables import systems
from analysis.tables.systems import BEGIN, END
from experiments.conformance.case import Comparison
from experiments.conformance.run import Verdict, digest, save_verdicts
from experiments.spec.catalog import Catalog, Places
from results.records import Record
from results.store import Store
from sharpose import cli
from sharpose.models.overview import all_models, as_text
from sharpose.models.registry import list_models

ROOT = Path(__file__).resolve().parents[2]


MODELS = {one.name: one for one in all_models()}


def test_readme_has_the_present_table():
    store = Store(published_only=True)
    rows = systems.in_tables(systems.system_rows(MODELS.values(), store))
    shown = "\n\n".join([systems.as_markdown(rows), " ".join(systems.notes(systems.latest_conformance(store)))])
    text = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")
    assert systems.replaced_between_markers(text, shown) == text, "run `sharpose models --into docs/systems.md`"


def test_every_cell_comes_from_where_it_should(tmp_path):
    catalog = Catalog("nano", Places(weights=tmp_path / "weights"))
    for tier in ("nano", "photos"):
        (tmp_path / "weights" / tier).mkdir(parents=True)
        (tmp_path / "weights" / tier / "sharpose-nano-128x96.safetensors").touch()
    store = Store(tmp_path / "results")
    identity = systems.cost_identity("sharpose-base-256x192", {})
    assert identity["model"]["quality_threshold"] is None
    store.save(Record(identity, {"macs_fvcore": 17_060_000_000, "macs_torch": 17_040_000_000}, "x", "y", "paper-size"))
    base, nano, hrnet = systems.system_rows(
        [MODELS[name] for name in ("sharpose-base-256x192", "sharpose-nano-128x96", "hrnet-w48-384x288")],
        store,
        catalog,
    )
    name, size, params, closed, fvcore, torch_count, paper, tokens, conformance, weights = base.cells.values()
    assert (name, size, params, fvcore, torch_count) == (
        "sharpose-base-256x192",
        "256x192",
        "94.12",
        "17.060",
        "17.040",
    )
    assert closed == "17.059" and paper == "17.1" and tokens == "66×12 125×12"
    assert (conformance, weights) == ("–", "nano, photos")
    assert nano.weights == ("nano", "photos") and nano.paper_gflops == () and nano.macs_fvcore is None
    # plain HRNet at 384x288 is a row of two tables; DARK's 32.9 belongs to another codec
    assert list(hrnet.cells.values())[6:] == ["35.5", "–", "–", "–"]
    assert [row.model.name for row in systems.in_tables([base, nano])] == ["sharpose-base-256x192", nano.model.name]
    assert as_text([base.cells], systems.NUMBERS).count("\n") == 1
    assert systems.as_markdown([base]).endswith("| nano, photos |")


def test_a_run_of_cases_is_stored_and_read(tmp_path):
    verdicts = [
        Verdict("t", "passed", "TokenPose-T", 2, Comparison("heatmaps", 1e-7, 1e-5)),
        Verdict("l", "FAILED", "TokenPose-L", 2, Comparison("heatmaps", float("inf"), 1e-5)),
        Verdict("r", "passed", "HRNet", 1, Comparison("features", 0.0, 1e-5)),
        Verdict("x", "skipped", "Perceiver", problem="no such system yet"),
    ]
    cases, store = tmp_path / "cases", Store(tmp_path / "results")
    (cases / "t").mkdir(parents=True)
    (cases / "t/case.json").write_text("{}")
    record = save_verdicts(cases, verdicts, store)
    before = digest(cases)
    assert record.identity["cases_sha256"] == before and record.provenance["git_commit"]
    stored = systems.latest_conformance(store)
    assert systems.conformance_by_system(stored) == {"TokenPose": "1 of 2", "HRNet": "1 of 1", "Perceiver": "0 of 1"}
    assert "at commit" in systems.notes(stored)[1] and "no run is stored" in systems.notes(None)[1]
    assert systems.latest_conformance(Store(tmp_path / "results", published_only=True)) is None
    (cases / "t/case.json").write_text("{ }")
    assert digest(cases) != before


def test_the_command_writes_between_the_markers(tmp_path, capsys, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{BEGIN}\nold\n{END}\nafter\n")
    monkeypatch.setattr("sys.argv", ["sharpose", "models", "--into", str(page)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith(f"{END}\nafter\n")
    assert "| `hrnet-w48-256x192` | 256x192 | 63.60 | 15.746 |" in text and "old" not in text
    page.write_text("no markers")
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2 and "page.md: needs the two lines" in capsys.readouterr().err
    assert page.read_text() == "no markers"


def test_json_of_every_model_has_its_counts(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["sharpose", "models", "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    rows = json.loads(capsys.readouterr().out)
    assert list(rows) == list_models()
    row = rows["evit-base-256x192"]
    assert row["paper_gflops"] == [12.8] and abs(row["macs"] - 12.850e9) < 5e6 and row["tokens_per_block"][0] == 209
