"""Who may import whom, and which commands must not load torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOUSE = {"sharpose", "experiments", "analysis", "results", "notebooks", "tests"}
LOWEST = {"runtime", "pose", "codecs", "models", "data", "weights", "backends"}
# rooms of the library, from those that know nothing of others to those that know nearly all
ROOMS = {
    "runtime": set(),
    "pose": {"runtime"},
    "codecs": {"runtime", "pose"},
    "models": {"runtime", "pose"},
    "data": {"runtime", "pose"},
    "weights": {"runtime", "pose", "models", "data"},
    "backends": LOWEST - {"data"},
    "evaluation.metrics": {"runtime", "pose", "data"},
    "training": LOWEST,
    "inference": LOWEST | {"evaluation.metrics"},
    "evaluation": LOWEST | {"evaluation.metrics", "inference"},
    "efficiency": LOWEST | {"evaluation.metrics", "inference", "evaluation"},
}
# `cli` may see all, lazily
FOLDERS = {
    "sharpose": set(),
    "results": {"sharpose.runtime"},
    "experiments": {"sharpose", "results"},
    # of experiments, what describes cells; nothing that could measure one. Of sharpose, COCO's protocol and the
    # registry, which need no torch: there is one AP, whether predictions are fresh or stored
    "analysis": {
        "results",
        "experiments.spec",
        "experiments.cells.cells",
        "experiments.cells.provenance",
        "sharpose.evaluation.metrics",
        "sharpose.data.annotations",
        "sharpose.models",
        "sharpose.pose",
        "sharpose.runtime",
    },
}


def imports(path: Path) -> set[str]:
    """Every module a file imports, at any depth of its code."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def room(module: str) -> str | None:
    """The room of the library that a module lies in; None for what is no part of it."""
    first, _, rest = module.partition(".")
    if first != "sharpose" or not rest:
        return None
    return "evaluation.metrics" if rest.startswith("evaluation.metrics") else rest.split(".")[0]


def within(module: str, places: set[str]) -> bool:
    return any(module == place or module.startswith(place + ".") for place in places)


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_import_one_way(folder):
    allowed = FOLDERS[folder] | {folder}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for module in imports(path):
            assert module.split(".")[0] not in HOUSE or within(module, allowed), f"{path} imports {module}"
            assert folder != "analysis" or not within(module, {"torch", "torchvision", "timm"}), path


def test_rooms_of_the_library_import_one_way():
    seen = set()
    for path in sorted((ROOT / "sharpose").rglob("*.py")):
        own = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
        if own in ("cli", "__init__"):
            continue
        seen.add(own)
        for module in imports(path):
            other = room(module)
            assert other in (None, own, *ROOMS[own]), f"{path} imports {module}"
    assert seen == set(ROOMS), "a room without a rule, or a rule without a room"


def test_nothing_lies_loose_at_the_root_of_the_library():
    assert {path.name for path in (ROOT / "sharpose").glob("*.py")} == {"__init__.py"}


TABLE = """
import sys
from experiments.run.run import run_specs, status
from analysis.tables.tables import build_tables
from analysis.tables.render import render
status(["6"])
assert all(render(table) for table in build_tables(["6"]))
from analysis.gate import choose
from analysis.gate import gate_table
from analysis.cost.tokens import token_frame
assert "torch" not in sys.modules
"""


def test_status_and_tables_load_no_torch():
    subprocess.run([sys.executable, "-c", TABLE], cwd=ROOT, check=True, timeout=600)


def test_pictures_and_evaluations_load_nothing_that_takes_longer_than_torch():
    program = """
import sys
import sharpose.evaluation.evaluate, sharpose.inference.pose, sharpose.training.engine
assert not {"timm", "torchvision", "torch._dynamo", "pandas"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=600)


def test_a_run_with_everything_stored_loads_no_torch(tmp_path):
    program = f"""
import sys
from pathlib import Path
from experiments.spec.catalog import open_catalog
from experiments.cells.cells import cells
from experiments.cells.provenance import local_device
from experiments.run.run import run_specs
from experiments.spec.reading import load_specs
from results.records import Record
from results.store import Store
store = Store(Path({str(tmp_path)!r}))
for loaded in load_specs(["6"]):
    for cell in cells(loaded, open_catalog(), local_device("cpu")):
        if cell.identity:
            store.save(Record(cell.identity, {{}}, cell.spec, cell.row, cell.tier))
assert run_specs(["6"], store=store).measured == 0
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=600)
