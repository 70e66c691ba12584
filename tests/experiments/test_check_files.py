"""What hooks keep out of commits."""

from __future__ import annotations

import json
from pathlib import Path

from experiments.tools.check_files import LARGEST, faults

ROOT = Path(__file__).resolve().parents[2]


def test_outputs_and_large_files_are_named(tmp_path: Path) -> None:
    clean, full, big = tmp_path / "a.ipynb", tmp_path / "b.ipynb", tmp_path / "c.bin"
    clean.write_text(json.dumps({"cells": [{"cell_type": "code", "outputs": []}, {"cell_type": "markdown"}]}))
    full.write_text(json.dumps({"cells": [{"cell_type": "code", "outputs": [{"text": "1"}]}]}))
    big.write_bytes(bytes(LARGEST + 1))
    assert faults([clean, full], notebooks=True, large=False) == [f"{full}: holds outputs; clear them"]
    assert [line.split(":")[0] for line in faults([clean, full, big], notebooks=False, large=True)] == [str(big)]


def test_our_own_notebooks_are_clean() -> None:
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert notebooks and faults(notebooks, notebooks=True, large=True) == []
