"""Where a number came from is told from the published records alone."""

from __future__ import annotations

import json

from tests.command_line import call


def test_a_cell_of_a_table_is_told_with_its_files(capsys):
    code, out, _ = call(capsys, "show", "table3:ViTPose-B 256x192:ap", "--tier", "photos", "--json")
    # and on three sets of further people
    one, *further = json.loads(out)
    assert code == 0 and list(one["values"]) == ["ap"] and len(further) == 3
    assert one["values"]["ap"] == {"text": "27.6 [24.1, 31.2]", "paper": 75.8}
    assert one["table"].startswith("Table 3: photographs (photos tier: not converged, ")
    assert "stands for vitpose-base-256x192" in one["asked for"]
    assert one["weights"].startswith("results/weights/photos/vitpose-nano-128x96.safetensors, sha256 e471d575")
    assert one["began with"] == "start.safetensors (0dd5ff35), which has seen no keypoint"
    assert one["crops seen"] == "416,128"
    assert one["people"] == "photos-val (398 people in 296 images), annotated boxes, with flip test"
    assert len(one["commit"]) == 40 and one["measured"].startswith("20") and "threads" in one["measured"]
    assert one["again"].startswith(f"sharpose verify {one['run_id']}")
    # and the same number by its run id, with the other table that it stands in
    code, out, _ = call(capsys, "show", one["run_id"][:8], "--json")
    (same,) = json.loads(out)
    assert same["run_id"] == one["run_id"] and same["place"] == "table1 ViTPose-B 256x192: accuracy"
    assert same["stands also in"].startswith("table3 ViTPose-B 256x192: accuracy")
    assert {"ap50", "ap75", "ap_m", "ap_l", "ar"} < set(same["values"])


def test_a_row_is_told_measure_by_measure_and_a_dash_with_its_reason(capsys):
    code, out, _ = call(capsys, "show", "table4:SimpleBaseline-R152")
    assert code == 0 and "table4 SimpleBaseline-R152: cost" in out and "28.678 (multiply-adds)  (paper: 28.7)" in out
    code, out, _ = call(capsys, "show", "6a:0.3:ap_seeds", "--json")
    assert [one["place"] for one in json.loads(out)] == [f"table6a 0.3 (seed {n}): accuracy" for n in (0, 1, 2)]
    code, out, _ = call(capsys, "show", "table3:SHaRPose-B 256x192", "--tier", "paper")
    assert code == 0 and "not stored" in out and "sharpose run table3 --measure accuracy --tier paper" in out


def test_bad_names_are_one_line(capsys):
    code, _, err = call(capsys, "show", "table3:ViTPose-B 256x192:app")
    assert code == 2 and "did you mean 'ap'" in err
    code, _, err = call(capsys, "show", "ffffffff")
    assert code == 2 and "'ffffffff' is neither a spec nor the beginning of a record's id" in err
    code, _, err = call(capsys, "show", "bench:x")
    assert code == 2 and "records of bench stand in no table" in err
