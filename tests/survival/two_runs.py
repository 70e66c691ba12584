"""Runs the specs in a store of its own and prints their tables, as `sharpose run --table` does; notes each measurement.

python tests/survival/two_runs.py STORE JOURNAL SPEC
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from analysis.tables.render import render
from analysis.tables.tables import build_tables
from experiments.run import run
from results.store import Store

root, journal, spec = (Path(argument) for argument in sys.argv[1:])
store = Store(root)
whole = run.measure


def measure(*arguments):  # type: ignore[no-untyped-def]
    for cell, metrics in whole(*arguments):
        with journal.open("a") as file:
            os.write(file.fileno(), f"{cell.name}\n".encode())
        # long enough for the other process to come by
        time.sleep(0.1)
        yield cell, metrics


run.measure = measure
run.run_specs([spec], measures=["cost"], store=store)
print("\n".join(render(table) for table in build_tables([str(spec)], store=store)))
