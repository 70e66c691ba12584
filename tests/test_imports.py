"""Who may import whom, and which commands must not load torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOUSE = {"sharpose", "experiments", "analysis", "results", "notebooks", "tests"}
ALLOWED = {
    "sharpose": set(),
    "results": set(),
    "experiments": {"sharpose", "results"},
    # of experiments, what describes cells; nothing that could measure one. Of sharpose, COCO's protocol and the
    # registry, which need no torch: there is one AP, whether predictions are fresh or stored
    "analysis": {
        "results",
        "experiments.spec",
        "experiments.bench_spec",
        "experiments.yamlfile",
        "experiments.catalog",
        "experiments.cells",
        "experiments.provenance",
        "sharpose.metrics.coco_ap",
        "sharpose.metrics.postprocess",
        "sharpose.data.annotations",
        "sharpose.models.registry",
        "sharpose.models.overview",
        "sharpose.models.layers.cost",
    },
}


def imports(path: Path) -> set[str]:
    """Every module a file imports, at any depth of its code."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("folder", ALLOWED)
def test_import_rules(folder):
    allowed = ALLOWED[folder] | {folder}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for module in imports(path):
            top = module.split(".")[0]
            assert top not in HOUSE or top in allowed or module in allowed, f"{path} imports {module}"
            assert folder != "analysis" or top not in {"torch", "torchvision", "timm"}, f"{path} imports {module}"


TABLE = """
import sys
from experiments.run import run_specs, status
from analysis.tables import build_tables
from analysis.render import render
status(["6"])
assert all(render(table) for table in build_tables(["6"]))
from analysis import choose, gate_table
from analysis.tokens import token_frame
assert "torch" not in sys.modules
"""


def test_status_and_tables_load_no_torch():
    subprocess.run([sys.executable, "-c", TABLE], cwd=ROOT, check=True, timeout=60)


def test_a_run_with_everything_stored_loads_no_torch(tmp_path):
    program = f"""
import sys
from pathlib import Path
from experiments.catalog import open_catalog
from experiments.cells import cells
from experiments.provenance import local_device
from experiments.run import run_specs
from experiments.spec import load_specs
from results.store import Record, Store
store = Store(Path({str(tmp_path)!r}))
for loaded in load_specs(["6"]):
    for cell in cells(loaded, open_catalog(), local_device("cpu")):
        if cell.identity:
            store.save(Record(cell.identity, {{}}, cell.spec, cell.row, cell.tier))
assert run_specs(["6"], store=store).measured == 0
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)
