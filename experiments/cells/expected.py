"""What measuring a stored cell again must give: how far a number may lie from the stored one, and why.

- A cost is arithmetic: the same integers.
- The accuracy of the same weights on the same people is the same up to numerics. Another processor, thread count or
  version of a library changes heatmaps in their last bits, which may carry a person across an OKS threshold. COCO's
  precision is read at 101 recalls, so a person moves AP at one of its ten thresholds by at most a step of that curve,
  or by its share of the people where these are fewer: that much is allowed, and twice as much of people of one size.
- A speed varies from run to run: the median must lie between the fastest and the slowest stored round, on the same
  device alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.spec.measures import MEASURES
from results.packed import unpack
from results.records import Record

RECALLS, THRESHOLDS = 101, 10
MEANS = ("ap", "ar", "pck", "pckh")
ONE_THRESHOLD = ("ap50", "ap75")
OF_A_SIZE = ("ap_m", "ap_l")
COUNTS = ("people", "annotated_people", "images")
FILES = ("annotations_sha256", "boxes_sha256")
STAGES = ("coarse_oks", "fine_oks", "quality")


@dataclass(frozen=True)
class Recheck:
    """A metric as stored and as measured again; `low` and `high` are the ends of what is to be expected."""

    metric: str
    stored: Any
    now: Any
    low: Any
    high: Any

    @property
    def holds(self) -> bool:
        """Return whether the new value is as expected."""
        if isinstance(self.stored, str) or self.stored is None or self.now is None:
            return bool(self.now == self.stored)
        return bool(self.low <= self.now <= self.high)


def compare(record: Record, metrics: Mapping[str, Any]) -> list[Recheck]:
    """Return every metric of a record that can be judged, beside what was measured now."""
    judges = {"cost": cost, "accuracy": accuracy, "predictions": predictions, "throughput": speed}
    if record.measure in judges:
        return list(judges[record.measure](record.metrics, metrics))
    # a plug-in's: what it promised under its columns
    return list(exactly(MEASURES[record.measure].columns, record.metrics, metrics))


def exactly(names: Iterable[str], stored: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Recheck]:
    """Yield metrics that must not differ at all, where the record has them."""
    for name in names:
        if name in stored:
            yield Recheck(name, stored[name], now.get(name), stored[name], stored[name])


def cost(stored: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Recheck]:
    """Compare parameters and multiply-adds, which must be the same."""
    yield from exactly((name for name in stored if name == "params" or name.startswith("macs_")), stored, now)


def accuracy(stored: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Recheck]:
    """Compare scores, which may move by one step of the curves they are made of, and counts, which may not."""
    yield from exactly((*COUNTS, *FILES), stored, now)
    step = max(1 / RECALLS, 1 / max(stored.get("annotated_people") or stored.get("people") or 1, 1))
    allowed = {name: step / THRESHOLDS for name in MEANS} | {name: step for name in ONE_THRESHOLD}
    allowed |= {name: 2 * step / THRESHOLDS for name in OF_A_SIZE}
    # two people may be sent the other way
    allowed |= {"refine_rate": 2 / max(stored.get("people") or 1, 1)}
    for name, reach in allowed.items():
        value = stored.get(name)
        if value is not None:
            yield Recheck(name, value, now.get(name), *around(value, reach))


def predictions(stored: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Recheck]:
    """Compare people and files exactly; the means over people of what both stages are judged by, to a thousandth."""
    yield from exactly((*COUNTS, *FILES), stored, now)
    before, after = unpack(stored["arrays"]), unpack(now["arrays"])
    for name in STAGES:
        value = float(before[name].mean())
        # predicted quality ends in a GELU, so it is no share
        ends = (value - 0.001, value + 0.001) if name == "quality" else around(value, 0.001)
        yield Recheck(f"mean {name}", value, float(after[name].mean()), *ends)


def around(share: float, reach: float) -> tuple[float, float]:
    """Return the ends of what lies within `reach` of a share, which is from 0 to 1."""
    return max(0.0, share - reach), min(1.0, share + reach)


def speed(stored: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Recheck]:
    """Yield images a second, from the slowest to the fastest stored round."""
    rounds, batch = stored["samples_ms"], stored.get("batch_size", 1)
    slowest, fastest = (1000 * batch / end(rounds) for end in (max, min))
    yield Recheck("images_per_s", stored["images_per_s"], now.get("images_per_s"), slowest, fastest)
