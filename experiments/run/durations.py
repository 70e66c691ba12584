"""How long a measurement is expected to take: as its like took on this device, as far as the store knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

from experiments.cells.cells import VERSIONS, Cell
from experiments.cells.provenance import Device
from results.records import Record
from results.store import Store

MARGIN = 1.3
"""Expectations are multiplied by this before something is started."""

# where the store knows nothing of this device: on the slow side, so that nothing is begun in vain
COST_S = 8.0
SET_UP_S = 3.0
MACS_PER_S = {"cpu": 2e10, "cuda": 3e11}
UNKNOWN_MACS = 4e10
WARM_UP_ROUNDS = 2
ACCURACY_S = {("nano", "cpu"): 240.0, ("nano", "cuda"): 90.0, ("paper", "cpu"): 1e5, ("paper", "cuda"): 3600.0}


@dataclass(frozen=True)
class Durations:
    """What the store says of durations on one device, as it is when first asked."""

    store: Store
    device: Device

    def expected(self, job: Sequence[Cell], reference: Cell | None = None) -> float:
        """Return seconds that measuring `job` in one go should take, with a margin."""
        if job[0].measure != "throughput":
            return MARGIN * sum(self.one(cell) for cell in job)
        timed = [*job, *([reference] if reference is not None and reference not in job else [])]
        rounds = job[0].details["rounds"] + WARM_UP_ROUNDS
        macs = sum(self.stored_macs((cell.identity or {})["model"]) or UNKNOWN_MACS for cell in timed)
        work = macs * job[0].details["batch_size"] * rounds
        return MARGIN * (SET_UP_S * len(timed) + work / self.macs_per_s)

    def one(self, cell: Cell) -> float:
        """Return the seconds of a cost or accuracy: the median of comparable records, else a guess."""
        known = [seconds for record in self.like(cell) if (seconds := record.provenance.get("seconds")) is not None]
        if known:
            return median(known)
        if cell.measure == "cost":
            return COST_S
        return ACCURACY_S.get((cell.tier, self.device.kind), ACCURACY_S["paper", self.device.kind])

    def like(self, cell: Cell) -> list[Record]:
        """Return this device's records of the cell's measure, and of accuracies those on the same people."""
        same: dict[str, Any] = {} if cell.measure == "cost" else {"dataset": (cell.identity or {}).get("dataset")}
        return [
            record
            for record in self.records
            if record.measure == cell.measure
            and record.provenance.get("device") == str(self.device)
            and all(record.identity.get(key) == value for key, value in same.items())
        ]

    def stored_macs(self, model: dict[str, Any]) -> float | None:
        """Return torch's count of multiply-adds of one image through a model; None where its cost is not stored."""
        record = self.store.find({"measure": "cost", "version": VERSIONS["cost"], "model": model})
        return None if record is None else record.metrics.get("macs_torch")

    @cached_property
    def records(self) -> list[Record]:
        """Return all records of the store, read once."""
        return self.store.records()

    @cached_property
    def macs_per_s(self) -> float:
        """Return the slowest rate at which this device ran a model so far."""
        rates = [
            record.metrics["images_per_s"] * macs
            for record in self.records
            if record.measure == "throughput"
            and (record.identity["device"], record.identity["threads"]) == (self.device.name, self.device.threads)
            and (macs := self.stored_macs(record.identity["model"]))
        ]
        return min(rates, default=MACS_PER_S[self.device.kind])
