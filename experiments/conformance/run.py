"""Run a folder of conformance cases: one line each, a closing count, and a record for those who lack the cases."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.cells.cells import VERSIONS
from experiments.cells.provenance import local_device, provenance
from experiments.conformance import codecs, evaluation, training
from experiments.conformance.case import Case, Comparison, load_case
from results.records import Record
from results.store import Store
from sharpose.models.registry import systems
from sharpose.models.system import load
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import sha256_of

Check = Callable[[Case], list[Comparison]]

CHECKERS: dict[str, Check] = {
    "SHaRPose optimizer": training.check_parameter_groups,
    "ViTPose optimizer": training.check_parameter_groups,
    "HRFormer optimizer": training.check_hrformer_decay,
    "step schedule with linear warm-up": training.check_learning_rates,
    "codec_decoding": codecs.check_codec_decoding,
    "codec_flip_loss": codecs.check_codec_flip_loss,
    "codec_geometry": codecs.check_codec_geometry,
    "codec_targets": codecs.check_codec_targets,
    "coco_postprocessing": evaluation.check_coco_postprocessing,
    "instance_oks": evaluation.check_instance_oks,
    "mpii_pckh": evaluation.check_mpii_pckh,
}
"""Of what is no system; those declare their own."""


def checker(name: str) -> Check | None:
    """Return what checks the cases of a system or of something else; None for what nobody knows."""
    references = {case: check for system in systems().values() for case, check in system.cases.items()}
    return load(references[name]) if name in references else CHECKERS.get(name)


@dataclass(frozen=True)
class Verdict:
    """What became of one case; `worst` is the comparison nearest to, or furthest beyond, its bound."""

    case: str
    status: str
    system: str
    comparisons: int = 0
    worst: Comparison | None = None
    problem: str = ""

    @property
    def line(self) -> str:
        """Return the verdict as one line: status, case, system, and the worst comparison or the problem."""
        text = f"{self.status:7} {self.case:28} {self.system}"
        if self.worst:
            text += f": {self.comparisons} comparisons, worst {self.worst.name} {self.worst.error:.2e}"
            text += f" (bound {self.worst.bound:.1e})"
        return text + (f": {self.problem}" if self.problem else "")


def run_cases(folder: Path) -> list[Verdict]:
    """Check every case below `folder` (or `folder` itself, when it is one). Raises InputError where there is none."""
    folders = sorted(
        {path.parent for path in folder.glob("*/case.json")} | {p.parent for p in folder.glob("case.json")}
    )
    if not folders:
        raise InputError(f"{folder}: no conformance cases here; give a folder of folders with a case.json each")
    return [run_case(one) for one in folders]


def run_case(folder: Path) -> Verdict:
    """Check a case; one that cannot even run has failed, with the reason; one of an unknown system is skipped."""
    try:
        case = load_case(folder)
        check = checker(case.system)
        if check is None:
            return Verdict(folder.name, "skipped", case.system, problem="no such system yet")
        comparisons = check(case)
    # whatever a foreign case makes a check do, the other cases still run
    except Exception as error:
        return Verdict(
            folder.name, "FAILED", "", problem=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        )
    if not comparisons:
        return Verdict(folder.name, "FAILED", case.system, problem="nothing was compared")
    worst = max(comparisons, key=severity)
    # written so that not-a-number fails
    passed = all(comparison.error <= comparison.bound for comparison in comparisons)
    return Verdict(folder.name, "passed" if passed else "FAILED", case.system, len(comparisons), worst)


def severity(comparison: Comparison) -> float:
    """Return the error in units of its bound; not-a-number is worst."""
    if math.isnan(comparison.error):
        return math.inf
    if comparison.bound:
        return comparison.error / comparison.bound
    return math.inf if comparison.error else 0.0


def closing_line(verdicts: list[Verdict]) -> str:
    """Return `N passed, M failed, K skipped (no such system yet)`."""
    counts = {status: sum(v.status == status for v in verdicts) for status in ("passed", "FAILED", "skipped")}
    return f"{counts['passed']} passed, {counts['FAILED']} failed, {counts['skipped']} skipped (no such system yet)"


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
    """Return one hash over the names and contents of all files below `folder`."""
    lines = [f"{path.relative_to(folder)} {sha256_of(path)}" for path in sorted(folder.rglob("*")) if path.is_file()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
