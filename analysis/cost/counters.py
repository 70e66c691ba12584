"""The counters of multiply-adds side by side, stage by stage, and where they differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from analysis.tables.lines import Line
from experiments.spec.spec import LoadedSpec
from results.records import Record
from results.store import Store
from sharpose.models.registry import recorded_cost

STAGES = ("coarse", "fine")
COUNTS = {
    "torch": "torch (matmuls)",
    "products": "fvcore (matmuls)",
    "formula": "closed form (matmuls)",
    "fvcore": "fvcore (all)",
    "formula_all": "closed form (all)",
}
"""The counts, and how they are printed."""
DIFFERENCES = {"spread_percent": "matmuls apart by", "elements_percent": "norms and resizing"}


def counter_frame(lines: list[Line]) -> pd.DataFrame:
    """Return one line per row and stage, in 1e9 multiply-adds. `head` is inside the stages, and the total is their sum.

    `torch`, `products` (fvcore's) and `formula` count matmuls and convolutions, `fvcore` and `formula_all` also
    norms and resizing; `spread_percent` is how far the first three are apart.
    """
    rows = [
        {"label": line.row.label, **counts, "cost_run_id": line.records["cost"].run_id}
        for line in lines
        if "cost" in line.records
        for counts in counted(line.records["cost"])
    ]
    frame = pd.DataFrame(rows, columns=["label", "stage", *COUNTS, "cost_run_id"])
    numbers = list(COUNTS)
    frame[numbers] = frame[numbers].astype(float) / 1e9
    matmuls = frame[["torch", "products", "formula"]]
    frame["spread_percent"] = 100 * (matmuls.max(axis=1) / matmuls.min(axis=1) - 1)
    frame["elements_percent"] = 100 * (frame["fvcore"] / frame["products"] - 1)
    return frame


def counted(record: Record) -> Iterator[dict[str, Any]]:
    """Yield multiply-adds by stage, by every counter; stages that the cost record lacks are left out.

    The closed form's are of systems of one piece those of the total alone, of those without a form None.
    """
    cost = recorded_cost(record.identity["model"])
    forms = {} if cost is None else {**cost.parts, "total": cost}
    for stage in (*STAGES, "head", "total"):
        suffix = "" if stage == "total" else f"_{stage}"
        if f"macs_torch{suffix}" in record.metrics:
            found = {name: record.metrics[f"macs_{name}{suffix}"] for name in ("torch", "products", "fvcore")}
            form = forms.get(stage)
            yield {"stage": stage, **found, "formula": form and form.macs, "formula_all": form and form.fvcore}


def cost_by_stage() -> pd.DataFrame:
    """Return one line per stored cost of a SHaRPose of two stages, stage and counter.

    Columns: `size` (256x192), `width`, `alpha`, `stage` with its head, `counter` and `gmacs` (1e9 multiply-adds).
    The closed form is given in both conventions: matmuls alone as torch counts, with norms and resizing as fvcore.
    """
    titles = {"products": "matmuls alone", "formula": "closed form", "formula_all": "closed form, as fvcore"}
    rows = []
    for record in Store().records("cost"):
        model, stages = record.identity["model"], [one for one in counted(record) if one["stage"] in STAGES]
        if len(stages) == len(STAGES) and all(one["formula"] is not None for one in stages):
            named = {"size": "{}x{}".format(*model["image_size"]), "width": model["embed_dim"], "alpha": model["alpha"]}
            rows += [named | one for one in stages]
    wide = pd.DataFrame(rows, columns=["size", "width", "alpha", "stage", *COUNTS]).rename(columns=titles)
    long = wide.melt(["size", "width", "alpha", "stage"], var_name="counter", value_name="gmacs")
    return long.assign(gmacs=long["gmacs"] / 1e9)


def counter_shown(loaded: LoadedSpec, frame: pd.DataFrame, dash: str) -> pd.DataFrame:
    """Return it as it is printed: whole digits enough to see the counters agree."""
    shown = {loaded.spec.row_header: frame["label"], "stage": frame["stage"]}
    forms = {**dict.fromkeys(COUNTS, "{:.4f}"), "spread_percent": "{:.4f} %", "elements_percent": "+{:.2f} %"}
    for key, header in {**COUNTS, **DIFFERENCES}.items():
        shown[header] = frame[key].map(forms[key].format, na_action="ignore").fillna(dash)
    return pd.DataFrame(shown)


def counter_text(frame: pd.DataFrame) -> list[str]:
    """Return what is counted by whom, and how far apart the counts are."""
    if frame.empty:
        return []
    total = frame[frame["stage"] == "total"]
    most = total.sort_values("elements_percent").iloc[-1]
    return [
        "1e9 multiply-adds of one image. torch's counter sees matmuls and convolutions alone; fvcore adds norms (5 "
        "per element), bilinear (4) and nearest (1) resizing; softmax and GELU are counted by neither.",
        f"Of all rows the matmuls are at most {frame['spread_percent'].max():.4f} % apart; what fvcore adds is at "
        f"most {most['elements_percent']:.2f} % of a total ({most['label']}).",
        "`head` is a part of every stage, and is not added to the total again.",
    ]
