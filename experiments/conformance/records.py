"""A run of conformance cases as a record, so that those who lack the cases can see what passed, and when."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.cells.cells import VERSIONS
from experiments.cells.provenance import local_device, provenance
from results.records import Record
from results.store import Store
from sharpose.runtime.files import sha256_of

if TYPE_CHECKING:
    from experiments.conformance.run import Verdict


def save_verdicts(folder: Path, verdicts: Sequence[Verdict], store: Store | None = None) -> Record:
    """Store what became of every case in `folder`; identified by the content of the cases."""
    identity = {"measure": "conformance", "version": VERSIONS["conformance"], "cases_sha256": digest(folder)}
    cases = {
        verdict.case: {
            "system": verdict.system,
            "status": verdict.status,
            "comparisons": verdict.comparisons,
            "worst": verdict.worst and verdict.worst.name,
            # an infinite error is no JSON
            "error": verdict.worst and f"{verdict.worst.error:.3g}",
            "bound": verdict.worst and f"{verdict.worst.bound:.3g}",
        }
        for verdict in verdicts
    }
    made = provenance(local_device("cpu"))
    record = Record(identity, {"cases": cases}, "conformance", "all", "paper-size", made)
    (store or Store()).save(record)
    return record


def digest(folder: Path) -> str:
    """One hash over the names and contents of all files below `folder`."""
    lines = [f"{path.relative_to(folder)} {sha256_of(path)}" for path in sorted(folder.rglob("*")) if path.is_file()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
