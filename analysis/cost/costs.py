"""Multiply-adds of SHaRPose by stage and by counter, side by side."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from results.records import Record
from results.store import Store
from sharpose.models.registry import recorded_cost

COUNTERS = {"torch": "torch", "fvcore": "fvcore", "products": "products alone"}
STAGES = ("coarse", "fine")


def cost_by_stage(records: Iterable[Record] | None = None) -> pd.DataFrame:
    """One line per stored cost of a SHaRPose of two stages, stage and counter.

    Columns: `size` (256x192), `width`, `alpha`, `stage` with its head, `counter` and `gmacs` (1e9 multiply-adds).
    The closed form is given in both conventions: products alone as torch counts, with norms and resizing as fvcore.
    """
    chosen = Store().records("cost") if records is None else records
    return pd.DataFrame([line for record in chosen for line in lines(record)])


def lines(record: Record) -> list[dict[str, object]]:
    """Return a line per stage and counter of a cost record, in 1e9 multiply-adds; none for a system without stages."""
    model = record.identity["model"]
    cost = recorded_cost(model)
    if cost is None or not set(STAGES) <= set(cost.parts):
        return []
    height, width = model["image_size"]
    named = {"size": f"{height}x{width}", "width": model["embed_dim"], "alpha": model["alpha"]}
    found = []
    for stage in STAGES:
        counts = {title: record.metrics[f"macs_{name}_{stage}"] for name, title in COUNTERS.items()}
        both = cost.parts[stage]
        counts |= {"closed form": both.macs, "closed form, as fvcore": both.fvcore}
        found += [{**named, "stage": stage, "counter": name, "gmacs": macs / 1e9} for name, macs in counts.items()]
    return found
