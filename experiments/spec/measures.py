"""What can be measured of a row: one table, to which plug-ins add. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sharpose.runtime.errors import InputError

Function = Callable[[str, dict[str, Any]], Mapping[str, Any]]
"""From a model's name and options to what was measured, by name."""


@dataclass(frozen=True)
class MeasureKind:
    """A measure: `cells` gives a row's cells, `run` the metrics of one, or of all `together`; both as "module:name".

    together: all cells of a spec are measured in one session. columns: of a plug-in's measure, its metrics by the
    header that they are printed under. function, version, on_device: what a plug-in measures, the number that it raises
    when its numbers change, and whether these are of one device alone.
    """

    name: str
    cells: str
    run: str
    together: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    function: Function | None = None
    version: int = 1
    on_device: bool = False


CELLS, RUN = "experiments.cells.cells", "experiments.cells.measures"
MEASURES = {
    "cost": MeasureKind("cost", f"{CELLS}:plain_cells", f"{RUN}:run_cost"),
    "accuracy": MeasureKind("accuracy", f"{CELLS}:accuracy_cells", f"{RUN}:run_accuracy"),
    "predictions": MeasureKind("predictions", f"{CELLS}:predictions_cells", f"{RUN}:run_predictions"),
    "throughput": MeasureKind("throughput", f"{CELLS}:throughput_cells", f"{RUN}:run_throughput", together=True),
}
"""In the order in which they are measured: what is cheap first, what wants the machine for itself last."""


def register_measure(
    name: str, function: Function, columns: Mapping[str, str], *, version: int = 1, on_device: bool = False
) -> MeasureKind:
    """Add a measure, so that a spec may name it under `measure` and its metrics under `columns`; returns it.

    function: from a model's name and options to numbers by the names in `columns`, whose values are printed headers.
    version: raised when a change of the function changes its numbers; records of older versions are not used then.
    on_device: whether numbers are of this device alone. Raises InputError for names that are taken or cannot be.
    """
    for word in (name, *columns):
        if not re.fullmatch("[a-z][a-z0-9_]*", word):
            raise InputError(f"measure {name!r}: {word!r} cannot be a name; use small letters, digits and _")
    known = MEASURES.get(name)
    if known is not None and (known.function is None or origin(known.function) != origin(function)):
        raise InputError(f"measure {name!r}: there is one of that name already; choose another")
    others = {column for kind in MEASURES.values() if kind.name != name for column in kind.columns}
    if taken := sorted(others & set(columns)):
        raise InputError(f"measure {name!r}: another has a column {taken[0]!r}; choose another name")
    kind = MeasureKind(
        name,
        f"{CELLS}:plain_cells",
        f"{RUN}:run_own",
        columns=dict(columns),
        function=function,
        version=version,
        on_device=on_device,
    )
    # before those that want the machine for themselves
    last = MEASURES.pop("throughput")
    MEASURES.update({name: kind, "throughput": last})
    return kind


def origin(function: Function) -> tuple[str, str]:
    """Return where a function is defined: a module that is imported again may register it again."""
    return getattr(function, "__module__", ""), getattr(function, "__qualname__", repr(function))


def own_columns() -> dict[str, MeasureKind]:
    """Return the measures of plug-ins by the columns they bring."""
    return {column: kind for kind in MEASURES.values() for column in kind.columns}
