"""Specs by their names, each read from its file and checked: a fault is one line with file, line and key."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from experiments.spec.columns import COLUMNS
from experiments.spec.measures import MEASURES, own_columns
from experiments.spec.spec import (
    BOXES,
    FOLDER,
    KEYS,
    MEAN_POSE,
    OPTION,
    PATTERNS,
    Kind,
    LoadedSpec,
    Measure,
    Row,
    Spec,
    is_ours,
)
from experiments.spec.yamlfile import SpecError, YamlFile, dotted
from sharpose.models.registry import list_models, load_plugins, resolve_config
from sharpose.runtime.errors import InputError, nearest

NO_TABLES = ("tiers", "bench")
"""YAML files beside the tables' specs that are something else."""


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
    """Check that measures and columns are known, here or by a plug-in. Raises SpecError for one that is not."""
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
    """Check what a kind of spec must have and cannot use. Raises SpecError where it lacks that, or has it."""
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
    """Check the keys of `base` or a `set`, and the types of those that are no model option.

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
        unknown = (key == "boxes" and value not in BOXES) or not re.search(PATTERNS.get(key, ""), str(value))
        # a pattern's end allows a line's
        if wrong or unknown or "\n" in str(value):
            raise loaded.file.error(here, f"{dotted(here)} = {value!r} does not work: it must be {KEYS[key]}")


def check_model(loaded: LoadedSpec, row: Row, index: int) -> None:
    """Check the row's model and its options, by asking the model's own configuration.

    Raises SpecError, blaming the key that sets it.
    """
    settings = loaded.settings(row)
    if settings.training is not None and (settings.weights is not None or not is_ours(settings.model)):
        raise loaded.row_error(row, "training goes with a model of ours and the tier's weights alone; leave it out")
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
    """Return where the option stands that a configuration's error message names first."""
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


def load_one_spec(name: str, tier: str | None = None) -> LoadedSpec:
    """Return the one spec that `name` means. Raises SpecError where it means none, or several."""
    first, *others = load_specs([name], tier)
    if others:
        raise SpecError(f"{name!r} means {len(others) + 1} specs: {', '.join(one.id for one in (first, *others))}")
    return first


def load_specs(names: Iterable[str | Path] = (), tier: str | None = None) -> list[LoadedSpec]:
    """Return the specs that `names` mean (`6`, `6a`, `table6a`, a path), each once; without names, all of them.

    Of a `tier`, those that mean something there. Raises SpecError where none of those that were named does.
    """
    paths = [path for name in list(names) or ["all"] for path in find_specs(str(name))]
    loaded = [load_spec(path) for path in dict.fromkeys(paths)]
    found = [one for one in loaded if tier is None or not one.spec.tiers or tier in one.spec.tiers]
    if loaded and not found:
        raise loaded[0].file.error(("tiers",), f"this table is of tier {', '.join(loaded[0].spec.tiers)}; give --tier")
    return found
