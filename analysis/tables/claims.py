"""Which sentences of the paper are read from which rows (`claims.yaml`), and those rows' records at a tier."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pydantic import Field, RootModel

from analysis.tables.lines import Line, pick_device, read_lines
from experiments.cells.cells import cells
from experiments.spec.catalog import Catalog, open_catalog
from experiments.spec.datasets import Strict
from experiments.spec.reading import load_specs
from experiments.spec.spec import LoadedSpec
from experiments.spec.yamlfile import SpecError
from results.store import Store
from sharpose.runtime.errors import nearest

CLAIMS = Path(__file__).with_name("claims.yaml")
TIERS = ("nano", "photos", "small")
Pairs = list[tuple[str, str]]


class Claims(Strict):
    """What a table is read for: pairs of rows by kind, and rows whose cost the paper gives."""

    table: str
    accuracy: Pairs = Field(default_factory=list)
    speed: Pairs = Field(default_factory=list)
    cost: list[str] = Field(default_factory=list)
    cost_ratio: Pairs = Field(default_factory=list)
    params: list[str] = Field(default_factory=list)
    control: Pairs = Field(default_factory=list)
    statement: list[str] = Field(default_factory=list)
    bench: Pairs = Field(default_factory=list)


class AllClaims(RootModel[list[Claims]]):
    """The whole of `claims.yaml`."""


class Reader:
    """Specs and records, each read once. `device` is the one on which most speeds are stored."""

    def __init__(self, store: Store) -> None:
        self.store = store
        speeds = Counter(str(record.provenance.get("device")) for record in store.records("throughput"))
        self.device_name = speeds.most_common(1)[0][0] if speeds else "cpu"
        self.device = pick_device(self.device_name, store)
        known = open_catalog().tiers.tiers
        self.catalogs: dict[str, Catalog] = {tier: open_catalog(tier) for tier in TIERS if tier in known}
        self.known: dict[tuple[str, str], tuple[LoadedSpec, list[Line]]] = {}

    def lines(self, table: str, tier: str = "nano") -> tuple[LoadedSpec, list[Line]]:
        """A spec with its rows and their records at a tier."""
        if (table, tier) not in self.known:
            (loaded,) = load_specs([table])
            found = read_lines(loaded, cells(loaded, self.catalogs[tier], self.device), self.store)
            self.known[table, tier] = loaded, found
        return self.known[table, tier]

    def row(self, table: str, label: str, tier: str = "nano") -> Line:
        """A row by its label. Raises SpecError where there is none."""
        _, lines = self.lines(table, tier)
        for line in lines:
            if line.row.label == label:
                return line
        labels = [line.row.label for line in lines]
        raise SpecError(f"{CLAIMS}: {table} has no row {label!r}{nearest(label, labels)}")
