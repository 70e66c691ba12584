"""What a table is, declared in YAML: a base, rows that differ from it, what to measure, and the published values."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from experiments.spec.datasets import DataSet, Strict
from experiments.spec.measures import MEASURES, own_columns
from experiments.spec.yamlfile import SpecError, YamlFile, dotted
from sharpose.models.registry import list_models, load_plugins, resolve_config
from sharpose.runtime.errors import InputError, nearest
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
COLUMNS = {
    **dict.fromkeys(
        ("ap", "ap50", "ap75", "ap_m", "ap_l", "ar", "pck", "pckh", "ap_seeds", "refined", "kept"), "accuracy"
    ),
    **dict.fromkeys(("params", "gflops"), "cost"),
    "gflops_expected": "accuracy",
    **dict.fromkeys(("batch_size", "refine_rate", "images_per_s", "speed"), "throughput"),
}
"""The columns of a spec, each with the measure behind it."""
Column = Annotated[str, Field(json_schema_extra={"anyOf": [{"enum": list(COLUMNS)}, {"pattern": "^[a-z][a-z0-9_]*$"}]})]
"""One of `COLUMNS`, or a metric of a plug-in's measure."""
SETTINGS_SHOWN = ("batch_size", "refine_rate")
"""Settings of a speed that may differ between rows only where they are columns."""

MEAN_POSE = "mean-pose"
"""A control in place of a model: it puts the mean pose of the training people into every box."""

PEER = "peer:"
"""Before the name of another project's model in tiers.yaml, in place of one of ours."""


def is_ours(model: str) -> bool:
    """Whether a row's model is one of `sharpose.models`, not a control or a peer: then it has cost, speed, weights."""
    return model != MEAN_POSE and not model.startswith(PEER)


NO_TABLES = ("tiers", "bench")
"""YAML files beside the tables' specs that are something else."""

OPTION = "model."
KEYS = {
    "model": "the name of a model, mean-pose, or peer:NAME of a peer in tiers.yaml",
    "dataset": "the name of a data set in tiers.yaml",
    "boxes": "ground-truth or detections",
    "flip_test": "true or false",
    "weights": "best, shared, start, photos, distilled or use, or a .safetensors file beside the spec",
}
FILES = {"weights": r"\.safetensors$"}
CHOICES = {
    "boxes": ["ground-truth", "detections"],
    "weights": ["best", "shared", "start", "photos", "distilled", "use"],
}
"""`best` weights are the best that a system has here; `shared` ones were trained with one budget for all systems,
`start` are those that this budget begins with, `photos` ones were trained on photographs after generated people,
`distilled` ones by the recipe nano-distilled, `use` ones for use on photographs, whatever they started from; all lie in
folders of these names."""


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
                "boxes": {"enum": CHOICES["boxes"]},
                "weights": {"anyOf": [{"enum": CHOICES["weights"]}, {"pattern": FILES["weights"]}]},
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
        description="also measure shared-budget trainings, NAME (seed 0) and NAME-seedN, for the column ap_seeds",
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
    """A row with its base filled in."""

    model: str
    options: dict[str, Any]
    dataset: str
    boxes: str
    flip_test: bool
    weights: str


@dataclass(frozen=True)
class LoadedSpec:
    """A checked spec; `id` is the name of its file."""

    id: str
    path: Path
    spec: Spec
    file: YamlFile

    def settings(self, row: Row) -> Settings:
        """What `row` measures."""
        merged = {**self.spec.base, **row.set}
        weights = merged.get("weights", "best")
        return Settings(
            model=merged["model"],
            options={key.removeprefix(OPTION): option_value(v) for key, v in merged.items() if key.startswith(OPTION)},
            dataset=merged.get("dataset", ""),
            boxes=merged.get("boxes", "ground-truth"),
            flip_test=merged.get("flip_test", True),
            weights=str(self.path.parent / weights) if re.search(FILES["weights"], weights) else weights,
        )

    def measures(self, row: Row) -> list[Measure]:
        """Return what is measured of a row: its own list, else the spec's."""
        return self.spec.measure if row.measure is None else row.measure

    def seeds(self, row: Row) -> list[int]:
        """Return the seeds of a row's further trainings: its own list, else the spec's."""
        return self.spec.seeds if row.seeds is None else row.seeds

    def row_error(self, row: Row, message: str) -> SpecError:
        """An exception that points at a row."""
        return self.file.error(("rows", self.spec.rows.index(row)), f"row {row.label!r}: {message}")


def load_spec(path: Path | str) -> LoadedSpec:
    """Read and check a spec. Raises SpecError naming file, line and key."""
    path = Path(path)
    file = YamlFile(path)
    loaded = LoadedSpec(path.stem, path, file.validate(Spec), file)
    try:
        load_plugins(loaded.spec.plugins, path.parent)
    except InputError as error:
        raise file.error(("plugins",), str(error)) from error
    check_names(loaded)
    check_kind(loaded)
    check_labels(loaded)
    check_changes(loaded, loaded.spec.base, ("base",))
    if "model" not in loaded.spec.base:
        raise file.error(("base",), "key 'model' in base is missing")
    for index, row in enumerate(loaded.spec.rows):
        check_changes(loaded, row.set, ("rows", index, "set"))
        check_model(loaded, row, index)
    return loaded


def check_names(loaded: LoadedSpec) -> None:
    """Measures and columns are known, here or by a plug-in. Raises SpecError for one that is not."""
    columns = [*COLUMNS, *own_columns()]
    named: list[tuple[tuple[str | int, ...], str, list[str]]] = [
        (("columns", place), name, columns) for place, name in enumerate(loaded.spec.columns)
    ]
    named += [(("measure", place), name, list(MEASURES)) for place, name in enumerate(loaded.spec.measure)]
    for index, row in enumerate(loaded.spec.rows):
        named += [(("rows", index, "measure", i), name, list(MEASURES)) for i, name in enumerate(row.measure or ())]
    for key, name, known in named:
        if name not in known:
            what = "column" if key[0] == "columns" else "measure"
            raise loaded.file.error(key, f"{dotted(key)}: no {what} is called {name!r}{nearest(name, known)}")


NEEDS: dict[Kind, tuple[Measure, ...]] = {
    "rows": (),
    "gate": ("predictions", "cost"),
    "tokens": (),
    "counters": ("cost",),
}


def check_kind(loaded: LoadedSpec) -> None:
    """What a kind of spec must have and cannot use. Raises SpecError where it lacks that, or has it."""
    spec, kind = loaded.spec, loaded.spec.kind
    for key, wanted in (("columns", kind == "rows"), ("thresholds", kind == "gate")):
        if bool(getattr(spec, key)) != wanted:
            raise loaded.file.error((key,), f"kind {kind} {'needs' if wanted else 'cannot use'} `{key}`")
    for measure in NEEDS[kind]:
        if measure not in spec.measure:
            raise loaded.file.error(("measure",), f"kind {kind} needs {measure} in `measure`")
    if kind == "rows" and not spec.measure:
        raise loaded.file.error(("measure",), "kind rows needs `measure`")
    if bool(spec.seeds) != ("ap_seeds" in spec.columns):
        raise loaded.file.error(("seeds",), "`seeds` and the column ap_seeds need each other")


def check_labels(loaded: LoadedSpec) -> None:
    """Raise SpecError where labels repeat, or rows to compare with are not named or not there."""
    labels = [row.label for row in loaded.spec.rows]
    for label, times in Counter(labels).items():
        if times > 1:
            last = len(labels) - 1 - labels[::-1].index(label)
            raise loaded.file.error(("rows", last, "label"), f"label {label!r} is used {times} times; make them differ")
    wanted = loaded.spec.compare_with
    if wanted is None and "speed" in loaded.spec.columns:
        raise loaded.file.error(("columns",), "the column speed needs `compare_with`, the label of a row")
    named = [(("compare_with",), wanted)] if wanted is not None else []
    named += [(("pairs",), label) for pair in loaded.spec.pairs for label in pair]
    for place, label in named:
        if label not in labels:
            raise loaded.file.error(place, f"{place[0]}: no row is labelled {label!r}{nearest(label, labels)}")


def check_changes(loaded: LoadedSpec, changes: dict[str, Any], location: tuple[str | int, ...]) -> None:
    """The keys of `base` or a `set`, and the types of those that are no model option.

    Raises SpecError for one that does not work.
    """
    for key, value in changes.items():
        here = (*location, key)
        if key.startswith(OPTION):
            continue
        if key not in KEYS:
            raise loaded.file.error(
                here, f"unknown key {key!r} in {dotted(location)}{nearest(key, [*KEYS, OPTION + 'alpha'])}"
            )
        wrong = not isinstance(value, bool if key == "flip_test" else str)
        named = value in CHOICES.get(key, [value]) or (key in FILES and re.search(FILES[key], str(value)))
        if wrong or not named:
            raise loaded.file.error(here, f"{dotted(here)} = {value!r} does not work: it must be {KEYS[key]}")


def check_model(loaded: LoadedSpec, row: Row, index: int) -> None:
    """The row's model and its options, by asking the model's own configuration.

    Raises SpecError, blaming the key that sets it.
    """
    settings = loaded.settings(row)
    place: tuple[str | int, ...] = ("rows", index, "set") if row.set else ("base",)
    if not is_ours(settings.model):
        what = settings.model if settings.model == MEAN_POSE else "a peer"
        if loaded.measures(row) != ["accuracy"]:
            raise loaded.row_error(row, f"{what} has neither cost nor speed; give the row `measure: [accuracy]`")
        return
    if settings.model not in list_models():
        key = (*place, "model") if "model" in row.set else ("base", "model")
        known = nearest(settings.model, [*list_models(), MEAN_POSE])
        raise loaded.file.error(key, f"{dotted(key)}: no model is called {settings.model!r}{known}")
    try:
        resolve_config(settings.model, **settings.options)
    except InputError as error:
        raise loaded.file.error(blamed(str(error), loaded.spec, row, index), f"row {row.label!r}: {error}") from None
    except TypeError:
        raise loaded.row_error(row, "a model option has a value of the wrong kind") from None


def blamed(message: str, spec: Spec, row: Row, index: int) -> tuple[str | int, ...]:
    """Where the option stands that a configuration's error message names first."""
    words = re.findall(r"\w+", message)
    for word in words:
        if OPTION + word in row.set:
            return ("rows", index, "set", OPTION + word)
        if OPTION + word in spec.base:
            return ("base", OPTION + word)
    return ("rows", index)


def find_specs(name: str, folder: Path = FOLDER) -> list[Path]:
    """Return the spec files that `name` means.

    A path, a spec's name (`table6a`), a number (`6a`; `6` is 6a and 6b), the beginning of names (`photos` is
    photos-coco and photos-lspet), or `all`.

    Raises SpecError, listing what there is, when it means none.
    """
    if name.endswith((".yaml", ".yml")):
        return [Path(name)]
    wanted = re.compile(rf"(?:table)?{re.escape(name)}(?:[a-z]?|-.*)")
    specs = sorted(path for path in folder.glob("*.yaml") if path.stem not in NO_TABLES)
    if name == "all":
        return specs
    exact = [path for path in specs if path.stem in (name, f"table{name}")]
    matches = exact or [path for path in specs if wanted.fullmatch(path.stem)]
    if not matches:
        raise SpecError(f"no spec is called {name!r} in {folder}{nearest(name, [path.stem for path in specs])}")
    return matches


def load_specs(names: Iterable[str | Path] = (), tier: str | None = None) -> list[LoadedSpec]:
    """The specs that `names` mean (`6`, `6a`, `table6a`, a path), each once; without names, all of them.

    Of a `tier`, those that mean something there. Raises SpecError where none of those that were named does.
    """
    paths = [path for name in list(names) or ["all"] for path in find_specs(str(name))]
    loaded = [load_spec(path) for path in dict.fromkeys(paths)]
    found = [one for one in loaded if tier is None or not one.spec.tiers or tier in one.spec.tiers]
    if loaded and not found:
        raise loaded[0].file.error(("tiers",), f"this table is of tier {', '.join(loaded[0].spec.tiers)}; give --tier")
    return found


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a spec, for editors that check YAML while it is typed."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Spec.model_json_schema()}


def save_schema(path: Path = SCHEMA) -> Path:
    """Write the JSON Schema beside the specs, which name it in their first line."""
    path.write_text(json.dumps(json_schema(), indent=1) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    print(save_schema())
