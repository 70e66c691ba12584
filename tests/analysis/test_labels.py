"""Labels and notes that a spreadsheet, a terminal, TeX, Markdown or a browser would obey stay text everywhere."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from analysis.tables import render as rendering
from analysis.tables.render import csv_folder, render, write_csv
from analysis.tables.tables import Table, build_tables
from experiments.spec.spec import FOLDER
from results.records import StoreError
from results.store import ROOT, Store
from sharpose.cli.tables import print_and_write
from tests.command_line import call

SPEC = r"""
title: "=HYPERLINK(\"http://x\",\"y\") <script>alert(1)</script> | \e[31m"
row_header: α
base: {model: sharpose-base-256x192, model.quality_threshold: null, dataset: coco-val}
measure: [cost]
columns: [gflops]
rows:
  - {label: "=cmd|'/C calc'!A0", set: {model.alpha: 0.1}, note: "**b** _em_ [x](http://x) `code` ~~no~~ ~no~ $x$ ~ 3"}
  - {label: "<img src=x onerror=alert(1)>", set: {model.alpha: 0.2}}
  - {label: "a\nb|c\e]0;pwn\a", set: {model.alpha: 0.3}}
  - {label: "*starred", set: {model.alpha: 0.4}, paper: {gflops: 12.5}}
  - {label: "＝1+1", set: {model.alpha: 0.5}}
  - {label: "\u202etxt", set: {model.alpha: 0.6}}
notes: ["</script><script>alert(2)</script>", "@SUM(1+1)\\input{/etc/passwd}", "> quoted"]
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "odd %name.yaml"
    path.write_text(SPEC, encoding="utf-8")
    return path


@pytest.fixture
def table(spec: Path, tmp_path: Path) -> Table:
    return build_tables([spec], store=Store(tmp_path / "results"))[0]


@pytest.mark.parametrize("form", ["text", "markdown", "csv", "latex"])
def test_no_control_character_is_left(table: Table, form: str) -> None:
    text = render(table, form, width=200)  # type: ignore[arg-type]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    text.encode()


def test_a_spreadsheet_computes_nothing(table: Table) -> None:
    rows = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    assert [row["label"] for row in rows] == [
        "'=cmd|'/C calc'!A0", "<img src=x onerror=alert(1)>", r"a b|c\x1b]0;pwn\x07", "*starred", "'＝1+1",
        r"\u202etxt",
    ]  # fmt: skip
    # numbers stay numbers
    assert rows[3]["gflops_paper"] == "12.5"


def test_markdown_shows_what_is_written(table: Table) -> None:
    lines = render(table, "markdown").splitlines()
    assert lines[0].startswith("**=HYPERLINK") and "<" not in "".join(lines)
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + 6 and len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert r"- ¹ \*\*b\*\* \_em\_ [x\](http://x) \`code\` \~\~no\~\~ \~no\~ \$x\$ ~ 3" in lines
    assert r"- \> quoted" in lines


def test_tex_sets_what_is_written(table: Table) -> None:
    text = render(table, "latex")
    assert r"\input" not in text and r"\textbackslash{}input\{/etc/passwd\}" in text
    assert r"\label{tab:odd--name}" in text
    # a star or bracket after a line break would be an argument of it
    assert not re.search(r"\\\\\s*[*\[]", text)


def test_raw_numbers_of_a_foreign_spec_go_beside_it(
    capsys: pytest.CaptureFixture[str], spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "table6a.yaml"
    own.write_bytes(spec.read_bytes())
    before = (ROOT / "csv" / "table6a.csv").read_bytes()
    code, out, err = call(capsys, "table", str(own))
    assert code == 0 and "=cmd" in out
    assert f"raw numbers: {tmp_path / 'table6a.csv'}" in err
    assert (tmp_path / "table6a.csv").read_text(encoding="utf-8").startswith("label,")
    assert (ROOT / "csv" / "table6a.csv").read_bytes() == before
    # another's file is not written over, and the table is read all the same
    (tmp_path / "table6a.csv").write_text("name,age\nme,7\n")
    code, out, err = call(capsys, "table", str(own), "--json")
    assert code == 0 and len(json.loads(out)) == 1 and "not written over" in err
    assert (tmp_path / "table6a.csv").read_text() == "name,age\nme,7\n"


def test_those_of_ours_leave_the_clone_clean(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert csv_folder(FOLDER / "table6a.yaml") == rendering.LOCAL_CSV
    monkeypatch.setattr(rendering, "LOCAL_CSV", tmp_path / "csv")
    before = (ROOT / "csv" / "table6a.csv").stat().st_mtime_ns
    code, _, err = call(capsys, "table", "6a")
    assert code == 0 and f"raw numbers: {tmp_path / 'csv' / 'table6a.csv'}" in err
    # those of another tier are left out of both
    print_and_write(["schedules", "usable", "6b"], "text", "nano", "cpu", False)
    written = [line.rpartition("/")[2] for line in capsys.readouterr().err.splitlines()]
    assert written == ["schedules.csv", "table6b.csv"]
    assert (ROOT / "csv" / "table6a.csv").stat().st_mtime_ns == before


def test_a_folder_that_cannot_be_written_costs_no_table(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "csv").write_text("a file where a folder should be")
    monkeypatch.setattr(rendering, "LOCAL_CSV", tmp_path / "csv")
    code, out, err = call(capsys, "table", "6a")
    assert code == 0 and "74.8" in out and "raw numbers: " in err and "cannot be written" in err
    with pytest.raises(StoreError, match="cannot be written"):
        write_csv(build_tables(["6a"])[0], tmp_path / "csv")
