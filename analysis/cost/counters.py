"""The counters of multiply-adds side by side, stage by stage, and where they differ."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.tables.lines import Line
from experiments.spec.spec import LoadedSpec
from sharpose.models.registry import recorded_cost

STAGES = ("coarse", "fine")
COUNTS = {
    "torch": "torch (products)",
    "products": "fvcore (products)",
    "formula": "closed form (products)",
    "fvcore": "fvcore (all)",
    "formula_all": "closed form (all)",
}
"""The counts, and how they are printed."""
DIFFERENCES = {"spread_percent": "products apart by", "elements_percent": "norms and resizing"}


def counter_frame(lines: list[Line]) -> pd.DataFrame:
    """One line per row and stage, in 1e9 multiply-adds. `head` is inside the stages, and the total is their sum.

    `torch`, `products` (fvcore's) and `formula` count matrix products and convolutions, `fvcore` and `formula_all` also
    norms and resizing; `spread_percent` is how far the first three are apart.
    """
    rows = [row for line in lines if "cost" in line.records for row in counted(line)]
    frame = pd.DataFrame(rows, columns=["label", "stage", *COUNTS, "cost_run_id"])
    numbers = list(COUNTS)
    frame[numbers] = frame[numbers].astype(float) / 1e9
    products = frame[["torch", "products", "formula"]]
    frame["spread_percent"] = 100 * (products.max(axis=1) / products.min(axis=1) - 1)
    frame["elements_percent"] = 100 * (frame["fvcore"] / frame["products"] - 1)
    return frame


def counted(line: Line) -> Iterator[dict[str, object]]:
    """Yield the multiply-adds of a row by stage, by every counter; stages that its cost record lacks are left out."""
    record = line.records["cost"]
    model, metrics = record.identity["model"], record.metrics
    formulas = formula(model)
    for stage in (*STAGES, "head", "total"):
        suffix = "" if stage == "total" else f"_{stage}"
        if f"macs_torch{suffix}" not in metrics:
            continue
        macs, everything = formulas.get(stage, (None, None))
        yield {
            "label": line.row.label,
            "stage": stage,
            "torch": metrics[f"macs_torch{suffix}"],
            "products": metrics[f"macs_products{suffix}"],
            "formula": macs,
            "fvcore": metrics[f"macs_fvcore{suffix}"],
            "formula_all": everything,
            "cost_run_id": record.run_id,
        }


def formula(model: dict[str, object]) -> dict[str, tuple[int, int]]:
    """The closed form's two counts by stage; of systems of one piece the total alone, of those without a form none."""
    cost = recorded_cost(model)
    counts = {} if cost is None else {**cost.parts, "total": cost}
    return {stage: (count.macs, count.fvcore) for stage, count in counts.items()}


def counter_shown(loaded: LoadedSpec, frame: pd.DataFrame, dash: str) -> pd.DataFrame:
    """As it is printed: whole digits enough to see the counters agree."""

    def number(value: float, form: str) -> str:
        return dash if pd.isna(value) else format(value, form)

    shown = {loaded.spec.row_header: frame["label"], "stage": frame["stage"]}
    shown |= {header: frame[key].map(lambda value: number(value, ".4f")) for key, header in COUNTS.items()}
    shown[DIFFERENCES["spread_percent"]] = frame["spread_percent"].map(lambda value: number(value, ".4f") + " %")
    shown[DIFFERENCES["elements_percent"]] = frame["elements_percent"].map(lambda value: f"+{number(value, '.2f')} %")
    return pd.DataFrame(shown)


def counter_text(frame: pd.DataFrame) -> list[str]:
    """What is counted by whom, and how far apart the counts are."""
    if frame.empty:
        return []
    total = frame[frame["stage"] == "total"]
    most = total.sort_values("elements_percent").iloc[-1]
    return [
        "1e9 multiply-adds of one image. torch's counter sees products and convolutions alone; fvcore adds norms (5 "
        "per element), bilinear (4) and nearest (1) resizing; softmax and GELU are counted by neither.",
        f"Of all rows the products are at most {frame['spread_percent'].max():.4f} % apart; what fvcore adds is at "
        f"most {most['elements_percent']:.2f} % of a total ({most['label']}).",
        "`head` is a part of every stage, and is not added to the total again.",
    ]
