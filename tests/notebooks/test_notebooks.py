"""Notebooks import, call and show: short, without functions or outputs, and they run against the published records."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MOST_CODE_CELLS = 10


def test_there_are_notebooks():
    assert [path.stem.partition("-")[0] for path in NOTEBOOKS] == [str(number) for number in range(1, 7)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_thin_and_has_no_outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert cells[0].cell_type == "markdown" and cells[0].source.startswith("# ")
    assert 0 < len(code) <= MOST_CODE_CELLS
    for cell in code:
        words = [line.split(" ")[0] for line in cell.source.splitlines()]
        assert not {"def", "class", "async"} & set(words) and "lambda" not in cell.source, cell.source
        assert cell.outputs == [] and cell.execution_count is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, monkeypatch):
    from nbclient import NotebookClient

    # the kernel inherits these: pictures in the notebook, and no more cores than the machine's other work leaves
    monkeypatch.delenv("MPLBACKEND", raising=False)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    book = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    done = NotebookClient(book, timeout=600, kernel_name="python3", resources=resources).execute()
    for cell in [cell for cell in done.cells if cell.cell_type == "code"]:
        shown = {kind for output in cell.outputs for kind in output.get("data", {})}
        assert not [output for output in cell.outputs if output.output_type == "error"]
        assert ("plt.show()" in cell.source) <= ("image/png" in shown), cell.source
    assert any(cell.outputs for cell in done.cells if cell.cell_type == "code")
