"""What a table is, declared in YAML: a base, rows that differ from it, what to measure, and the published values."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from experiments.spec.columns import COLUMNS
from experiments.spec.datasets import DataSet, Strict
from experiments.spec.measures import MEASURES
from experiments.spec.yamlfile import SpecError, YamlFile
from sharpose.runtime.plain_text import one_line
from sharpose.runtime.plain_yaml import option_value

FOLDER = Path(__file__).resolve().parents[1] / "specs"
SCHEMA = FOLDER / "spec.schema.json"

Measure = Annotated[
    str, Field(json_schema_extra={"anyOf": [{"enum": list(MEASURES)}, {"pattern": "^[a-z][a-z0-9_]*$"}]})
]
"""A name of `MEASURES`, which holds those of plug-ins too."""
Kind = Literal["rows", "gate", "tokens", "counters"]
"""What is made of the rows: a line each; a line per quality threshold, block of tokens, or stage and counter."""
Figure = Literal["alpha-curve", "gate", "frontier", "semantics", "tokens", "counters", "batch", "refine-rates"]
Column = Annotated[str, Field(json_schema_extra={"anyOf": [{"enum": list(COLUMNS)}, {"pattern": "^[a-z][a-z0-9_]*$"}]})]
"""One of `COLUMNS`, or a metric of a plug-in's measure."""
SETTINGS_SHOWN = ("batch_size", "refine_rate")
"""Settings of a speed that may differ between rows only where they are columns."""

MEAN_POSE = "mean-pose"
"""A control in place of a model: it puts the mean pose of the training people into every box."""

PEER = "peer:"
"""Before the name of another project's model in tiers.yaml, in place of one of ours."""


def is_ours(model: str) -> bool:
    """Return whether a row's model is one of `sharpose.models`, no control or peer: it has cost, speed, weights."""
    return model != MEAN_POSE and not model.startswith(PEER)


OPTION = "model."
KEYS = {
    "model": "the name of a model, mean-pose, or peer:NAME of a peer in tiers.yaml",
    "dataset": "the name of a data set in tiers.yaml",
    "boxes": "ground-truth or detections",
    "flip_test": "true or false",
    "weights": "a .safetensors file, its path from the spec's folder; left out: those of the tier",
    "training": "which training of it, the last words of its weights' name (guided, guided-640k); left out: the usual",
}
BOXES = ["ground-truth", "detections"]
PATTERNS = {"weights": r"\.safetensors$", "training": r"^[a-z][a-z0-9-]*$"}
"""Of the text of these keys."""


Line = Annotated[str, AfterValidator(one_line)]
"""What is printed: in one line, and no character that a terminal, a browser or TeX would obey."""


# `model.<option>` keys go to the model's configuration, which checks them
Changes = Annotated[
    dict[str, Any],
    Field(
        description="; ".join(f"{key}: {meaning}" for key, meaning in KEYS.items()) + "; model.<option>: its value",
        json_schema_extra={
            "propertyNames": {"pattern": rf"^({'|'.join(KEYS)}|{re.escape(OPTION)}\w+)$"},
            "properties": {
                "flip_test": {"type": "boolean"},
                "boxes": {"enum": BOXES},
                **{key: {"type": "string", "pattern": pattern} for key, pattern in PATTERNS.items()},
            },
        },
    ),
]
Score = Annotated[float, Field(ge=0, le=100)]
Amount = Annotated[float, Field(gt=0)]


class Paper(Strict):
    """Published values of a row, as printed.

    AP and PCKh@.5 are in percent, `gflops` in 1e9 multiply-adds, `params` in millions, `images_per_s` is the paper's
    FPS, whose device it does not state.
    """

    ap: Score | None = None
    ap50: Score | None = None
    ap75: Score | None = None
    ap_m: Score | None = None
    ap_l: Score | None = None
    ar: Score | None = None
    pck: Score | None = None
    pckh: Score | None = None
    params: Amount | None = None
    gflops: Amount | None = None
    images_per_s: Amount | None = None


class Load(Strict):
    """What a row changes in how its speed is measured.

    `refine_rate`: the share of the batch that the quality predictor is made to send to the fine stage.
    """

    batch_size: int | None = Field(None, ge=1, le=4096)
    refine_rate: float | None = Field(None, ge=0, le=1)


class Row(Strict):
    """One line of a table: what it changes in the base, and what the paper gives for it."""

    label: Line = Field(min_length=1)
    set: Changes = Field(default_factory=dict)
    paper: Paper = Paper()
    measure: list[Measure] | None = Field(None, description="in place of the spec's")
    load: Load = Field(default_factory=lambda: Load.model_validate({}), description="of its speed")
    seeds: list[Annotated[int, Field(ge=0)]] | None = Field(None, description="in place of the spec's")
    note: Line | None = Field(None, description="printed under the table, marked in the row")


class Throughput(Strict):
    """How speed is measured: input tensor to heatmaps, all rows interleaved round by round."""

    batch_size: int = Field(1, ge=1, le=4096)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    rounds: int = Field(12, ge=10, le=10_000)
    scope: Literal["model"] = "model"
    mode: Literal["eager", "compiled"] = Field("eager", description="compiled: torch.compile, on a GPU CUDA graphs")


class Spec(Strict):
    """A table."""

    title: Line = Field(min_length=1)
    plugins: list[str] = Field(
        default_factory=list, description="modules that register systems of one's own; file.py: beside the spec"
    )
    datasets: dict[str, DataSet] = Field(
        default_factory=dict, description="people of one's own, as in tiers.yaml; paths are those beside the spec"
    )
    kind: Kind = "rows"
    figure: Figure | None = Field(None, description="how `sharpose figures` draws it; left out: it does not")
    base: Changes
    measure: list[Measure] = Field(default_factory=list)
    row_header: Line = Field("row", description="what the labels are")
    columns: list[Column] = Field(default_factory=list, description="of kind rows; the other kinds have their own")
    thresholds: list[float] = Field(default_factory=list, description="of the predicted quality, for kind gate")
    chosen_on: str | None = Field(None, description="of kind gate: the spec on whose people thresholds are chosen")
    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        default_factory=list,
        description="also measure trainings with other seeds, NAME (seed 0) and NAME-seedN, for the column ap_seeds",
    )
    compare_with: Line | None = Field(
        None, description="the label of the row that others' speed and AP are compared with"
    )
    throughput: Throughput = Field(default_factory=lambda: Throughput.model_validate({}))
    rows: list[Row] = Field(min_length=1)
    paired_with: Literal["previous"] | None = Field(None, description="print paired AP differences to the row before")
    pairs: list[tuple[Line, Line]] = Field(
        default_factory=list, description="labels of two rows: is the AP of the first higher? by paired bootstrap"
    )
    notes: list[Line] = Field(default_factory=list)
    tiers: list[str] = Field(default_factory=list, description="at which it means something; left out: at every tier")


@dataclass(frozen=True)
class Settings:
    """A row with its base filled in; `weights` is None for those of the tier, `training` for the usual one."""

    model: str
    options: dict[str, Any]
    dataset: str
    boxes: str
    flip_test: bool
    weights: Path | None
    training: str | None = None


@dataclass(frozen=True)
class LoadedSpec:
    """A checked spec; `id` is the name of its file."""

    id: str
    path: Path
    spec: Spec
    file: YamlFile

    def settings(self, row: Row) -> Settings:
        """Return what `row` measures."""
        merged = {**self.spec.base, **row.set}
        return Settings(
            model=merged["model"],
            options={key.removeprefix(OPTION): option_value(v) for key, v in merged.items() if key.startswith(OPTION)},
            dataset=merged.get("dataset", ""),
            boxes=merged.get("boxes", "ground-truth"),
            flip_test=merged.get("flip_test", True),
            weights=self.path.parent / merged["weights"] if "weights" in merged else None,
            training=merged.get("training"),
        )

    def measures(self, row: Row) -> list[Measure]:
        """Return what is measured of a row: its own list, else the spec's."""
        return self.spec.measure if row.measure is None else row.measure

    def seeds(self, row: Row) -> list[int]:
        """Return the seeds of a row's further trainings: its own list, else the spec's."""
        return self.spec.seeds if row.seeds is None else row.seeds

    def row_error(self, row: Row, message: str) -> SpecError:
        """Return an exception that points at a row."""
        return self.file.error(("rows", self.spec.rows.index(row)), f"row {row.label!r}: {message}")


def paper_first(name: str) -> tuple[bool, bool]:
    """Return what sorts specs by their names: the paper's tables, those of its figures, then our own."""
    return not name.startswith("table"), not name.startswith("figure")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a spec, for editors that check YAML while it is typed."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Spec.model_json_schema()}


def save_schema(path: Path = SCHEMA) -> Path:
    """Write the JSON Schema beside the specs, which name it in their first line."""
    path.write_text(json.dumps(json_schema(), indent=1) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    print(save_schema())
