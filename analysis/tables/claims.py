"""Which sentences of the paper are read from which rows (`claims.yaml`), and those rows' records at a tier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, RootModel

from analysis.tables.lines import Line, most_timed, read_lines, row_of
from experiments.cells.cells import cells
from experiments.cells.provenance import Device, local_device
from experiments.spec.catalog import Catalog, open_catalog
from experiments.spec.datasets import Strict
from experiments.spec.reading import load_specs
from experiments.spec.spec import LoadedSpec
from results.store import Store

CLAIMS = Path(__file__).with_name("claims.yaml")
TIERS = ("nano", "photos", "small")
Pairs = list[tuple[str, str]]


def listed(rows: object) -> object:
    """Return one row as a list of it."""
    return [rows] if isinstance(rows, str) else rows


class Claims(Strict):
    """What a table is read for: pairs of rows by kind; `both` are of accuracy and speed.

    The second of `controls` may be several rows, whose mean is meant.
    """

    table: str
    both: Pairs = Field(default_factory=list)
    accuracy: Pairs = Field(default_factory=list)
    speed: Pairs = Field(default_factory=list)
    cost_ratio: Pairs = Field(default_factory=list)
    controls: list[tuple[str, Annotated[list[str], BeforeValidator(listed)]]] = Field(default_factory=list)
    statement: list[str] = Field(default_factory=list)
    bench: Pairs = Field(default_factory=list)


class AllClaims(RootModel[list[Claims]]):
    """The whole of `claims.yaml`."""


class Reader:
    """Specs and records, each read once. `devices` have stored speeds, the first of them most."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.devices = most_timed(store) or [local_device("cpu")]
        self.catalogs: dict[str, Catalog] = {tier: open_catalog(tier) for tier in TIERS}
        self.known: dict[tuple[str, str, Device], tuple[LoadedSpec, list[Line]]] = {}

    def lines(self, table: str, tier: str = "nano", device: Device | None = None) -> tuple[LoadedSpec, list[Line]]:
        """Return a spec with its rows and their records at a tier, with speeds of the first device or another."""
        place = table, tier, device or self.devices[0]
        if place not in self.known:
            (loaded,) = load_specs([table])
            self.known[place] = loaded, read_lines(loaded, cells(loaded, self.catalogs[tier], place[2]), self.store)
        return self.known[place]

    def row(self, table: str, label: str, tier: str = "nano", device: Device | None = None) -> Line:
        """Return a row by its label. Raises SpecError where there is none."""
        return row_of(self.lines(table, tier, device)[1], label, f"{CLAIMS}: {table}")
