"""The columns that a spec asks for, one table of them: as they are printed, the paper's beside ours, and as numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import mean, stdev
from typing import Any, NamedTuple

from analysis.tables.cell_text import (
    AMOUNTS,
    SCORES,
    amount,
    amount_text,
    delta_percent,
    delta_text,
    expected_text,
    further_text,
    kept_text,
    own_text,
    paper_relative,
    paper_relative_text,
    paper_text,
    record_on,
    refined_text,
    relative_text,
    score_bounds,
    score_text,
    seeds_interval_text,
    seeds_score_text,
    setting_text,
    speed_per_second_text,
)
from analysis.tables.kept import expected_macs, mean_kept
from analysis.tables.lines import Line, compared_row, identity, previous_difference, relative_speed, seed_scores
from analysis.tables.statistics import SCORES as RESAMPLED
from analysis.tables.statistics import other_interval, score_interval, t_interval
from analysis.tables.trainings import curve_key, noted_training, seeds_interval, training_numbers
from experiments.cells.provenance import Device, choose_device
from experiments.spec.catalog import Catalog
from experiments.spec.measures import own_columns
from experiments.spec.spec import LoadedSpec
from sharpose.evaluation.metrics.significance import LEAST_TRAININGS


class Source(NamedTuple):
    """Where a printed column comes from: its column in `frame`, and what its numbers were measured as.

    `measure` names the column with the run ids behind it (a measure, as a rule); None for the paper's values.
    """

    key: str
    measure: str | None = None


@dataclass(frozen=True)
class Column:
    """A printed column; `text` gives None for a dash, and an `optional` column of dashes alone is left out."""

    header: str
    text: Callable[[Line], str | None]
    optional: bool = False
    source: Source | None = None


@dataclass(frozen=True)
class Context:
    """The table that a column is of."""

    loaded: LoadedSpec
    lines: list[Line]
    catalog: Catalog
    device: Device

    @property
    def dataset(self) -> str:
        """The people that the spec is about."""
        return str(self.loaded.spec.base.get("dataset", ""))

    @property
    def whose(self) -> str:
        """Whose score it is, for headers, where people of several kinds stand side by side."""
        return f", {self.catalog.people(self.dataset)}" if self.catalog.tier.also.get(self.dataset) else ""


@dataclass(frozen=True)
class ColumnKind:
    """A column that a spec may ask for.

    measure, meaning: for docs/columns.md. printed: the columns of the table, the paper's among them; numbers: those of
    one row in the CSV file, AP in percent, amounts in the paper's unit, None for what was not measured. Both are given
    the column's name.
    """

    measure: str
    meaning: str
    printed: Callable[[str, Context], Iterator[Column]]
    numbers: Callable[[str, Context, Line], dict[str, Any]]


def score_columns(name: str, table: Context) -> Iterator[Column]:
    """Yield a score, the paper's, and beside AP those on the tier's further people."""
    title = f"{SCORES[name]}{table.whose} ({table.catalog.name} tier)"
    yield Column(title, partial(score_text, key=name), source=Source(name, "accuracy"))
    yield paper_column(f"{SCORES[name]} (paper)", name)
    if name == "ap":
        yield from further_columns(table.catalog, table.dataset)


def score_numbers(name: str, table: Context, line: Line) -> dict[str, Any]:
    """Return a score in percent, the paper's, and the interval of one that is not resampled anew."""
    value = line.metric("accuracy", name)
    found = {name: None if value is None else 100 * value, f"{name}_paper": getattr(line.row.paper, name)}
    if name not in RESAMPLED and name != "pck":
        record = line.records.get("accuracy")
        other = other_interval(record.metrics, name) if record else None
        found |= {f"{name}_low": other and 100 * other.low, f"{name}_high": other and 100 * other.high}
    return found


def paper_column(header: str, name: str) -> Column:
    """Return the column of the paper's values."""
    return Column(header, partial(paper_text, key=name), optional=True, source=Source(f"{name}_paper"))


def further_columns(catalog: Catalog, dataset: str) -> Iterator[Column]:
    """Yield the scores on people beside those that stand for `dataset`, and further scores of these."""
    for people, score in catalog.tier.also.get(dataset, {}).items():
        own = people == catalog.people(dataset)
        measure = "accuracy" if own else f"accuracy_{people}"
        yield Column(
            f"{SCORES[score]}, {people}",
            partial(further_text, people=people, score=score),
            source=Source(f"{score}_{people}", measure),
        )


def seeds_columns(name: str, table: Context) -> Iterator[Column]:
    """Yield AP over several trainings: by a t-interval where each had random weights of its own."""
    source = Source("ap_seed_mean", "ap_seeds")
    if table.catalog.tier.starts is not None:
        title = f"AP, mean ± 95 % t-interval over trainings from own random weights{table.whose}"
        yield Column(f"{title} ({table.catalog.name} tier)", seeds_interval_text, optional=True, source=source)
    else:
        title = f"AP, mean ± sd over trainings with the shared budget ({table.catalog.name} tier)"
        yield Column(title, seeds_score_text, optional=True, source=source)


def seeds_numbers(name: str, table: Context, line: Line) -> dict[str, Any]:
    """Return mean, deviation and interval of AP over several trainings, and their runs."""
    scores = [100 * score for score in seed_scores(line)]
    enough = len(scores) > 1
    found: dict[str, Any] = {"ap_seed_mean": mean(scores) if enough else None}
    found |= {"ap_seed_sd": stdev(scores) if enough else None}
    one = t_interval(scores) if len(scores) >= LEAST_TRAININGS else None
    found |= {"ap_seed_low": one and one.low, "ap_seed_high": one and one.high}
    if table.catalog.tier.starts is not None:
        own = seeds_interval(line)
        found |= {"ap_seed_mean": own and own[0], "ap_seed_half_interval": own and own[1]}
    runs = [seed.record.run_id for seed in line.seeds if seed.record is not None]
    return found | {"ap_seeds": len(scores), "ap_seeds_run_id": " ".join(runs) or None}


def refined_columns(name: str, table: Context) -> Iterator[Column]:
    """Yield how many people were looked at again."""
    yield Column("looked at again", refined_text)


def refined_numbers(name: str, table: Context, line: Line) -> dict[str, Any]:
    """Return the share of people who were looked at again."""
    return {name: line.metric("accuracy", "refine_rate")}


def kept_columns(name: str, table: Context) -> Iterator[Column]:
    """Yield how many patches were refined."""
    yield Column("patches refined", kept_text, source=Source(name, "accuracy"))


def kept_numbers(name: str, table: Context, line: Line) -> dict[str, Any]:
    """Return the mean number of refined patches of a person who was looked at again."""
    return {name: mean_kept(line)}


def expected_columns(name: str, table: Context) -> Iterator[Column]:
    """Yield the cost of a person on average."""
    yield Column("GFLOPs (expected)", partial(expected_text, table.loaded), source=Source(name, "accuracy"))


def expected_numbers(name: str, table: Context, line: Line) -> dict[str, Any]:
    """Return the multiply-adds of a person on average, in 1e9."""
    macs = expected_macs(table.loaded, line)
    return {name: None if macs is None else macs / 1e9}


def setting_columns(name: str, table: Context, title: str) -> Iterator[Column]:
    """Yield a setting of how the speed was measured."""
    yield Column(title, partial(setting_text, key=name))


def setting_numbers(name: str, table: Context, line: Line) -> dict[str, Any]:
    """Return a setting of how the speed was measured, of a row that has one."""
    return {name: identity(line, "throughput").get(name)} if "throughput" in line.cells else {}


def amount_columns(name: str, table: Context) -> Iterator[Column]:
    """Yield a cost, the paper's, and ours against it."""
    title, difference = AMOUNTS[name].title, "Δ %" if name == "gflops" else f"{AMOUNTS[name].title} Δ %"
    yield Column(f"{title}{AMOUNTS[name].unit}", partial(amount_text, key=name), source=Source(name, "cost"))
    yield paper_column(f"{title} (paper)", name)
    source = Source(f"{name}_delta_percent", "cost")
    yield Column(difference, partial(delta_text, key=name), optional=True, source=source)


def amount_numbers(name: str, table: Context, line: Line) -> dict[str, Any]:
    """Return a cost in the paper's unit, the paper's, and ours against it in percent."""
    paper = {f"{name}_paper": getattr(line.row.paper, name), f"{name}_delta_percent": delta_percent(line, name)}
    return {name: amount(line, name), **paper}


def speed_columns(name: str, table: Context) -> Iterator[Column]:
    """Yield images per second on the device, and the paper's."""
    place = "this device" if table.device == choose_device(table.device.kind)[0] else str(table.device)
    yield Column(f"images/s on {place}", speed_per_second_text, source=Source(name, "throughput"))
    yield paper_column("FPS (paper)", name)


def speed_numbers(name: str, table: Context, line: Line) -> dict[str, Any]:
    """Return images per second and latencies in milliseconds, with the device."""
    keys = (name, "latency_ms_p50", "latency_ms_p90", "latency_ms_p99", "batch_size", "noisy")
    found = {key: line.metric("throughput", key) for key in keys} | {"device": str(table.device)}
    return {**found, f"{name}_paper": line.row.paper.images_per_s}


def relative_columns(name: str, table: Context) -> Iterator[Column]:
    """Yield the speed as a multiple of another row's, and the paper's."""
    reference = compared_row(table.loaded, table.lines)
    title = f"speed relative to {table.loaded.spec.row_header} = {table.loaded.spec.compare_with}"
    source = Source("speed_relative", "throughput")
    yield Column(title, partial(relative_text, reference=reference), source=source)
    theirs = partial(paper_relative_text, reference=reference)
    yield Column("relative (paper)", theirs, optional=True, source=Source("speed_relative_paper"))


def relative_numbers(name: str, table: Context, line: Line) -> dict[str, Any]:
    """Return the speed as a multiple of another row's, and the paper's."""
    reference = compared_row(table.loaded, table.lines)
    ours, theirs = relative_speed(line, reference), paper_relative(line, reference)
    return {"speed_relative": ours, "speed_relative_paper": theirs}


def own_column(name: str, table: Context) -> Iterator[Column]:
    """Yield a metric of a plug-in's measure."""
    kind = own_columns()[name]
    text = partial(own_text, measure=kind.name, key=name)
    yield Column(kind.columns[name], text, source=Source(name, kind.name))


def own_numbers(name: str, table: Context, line: Line) -> dict[str, Any]:
    """Return a metric of a plug-in's measure."""
    return {name: line.metric(own_columns()[name].name, name)}


COLUMNS: dict[str, ColumnKind] = {
    **{
        name: ColumnKind("accuracy", f"{title} in percent, with its 95 % interval", score_columns, score_numbers)
        for name, title in SCORES.items()
    },
    "ap_seeds": ColumnKind(
        "accuracy of `seeds`",
        "AP over several trainings: mean, and how far they are apart",
        seeds_columns,
        seeds_numbers,
    ),
    "refined": ColumnKind(
        "accuracy", "share of people who were looked at again, finely", refined_columns, refined_numbers
    ),
    "kept": ColumnKind("accuracy", "patches that are refined of such a person, on average", kept_columns, kept_numbers),
    "params": ColumnKind(
        "cost", "parameters, in millions, and the difference from the paper's", amount_columns, amount_numbers
    ),
    "gflops": ColumnKind(
        "cost",
        "multiply-adds of a fully refined person, in 1e9, and the difference from the paper's",
        amount_columns,
        amount_numbers,
    ),
    "gflops_expected": ColumnKind(
        "accuracy and cost",
        "multiply-adds of a person on average, by who was refined and how much",
        expected_columns,
        expected_numbers,
    ),
    "batch_size": ColumnKind(
        "throughput", "people in a call", partial(setting_columns, title="batch"), setting_numbers
    ),
    "refine_rate": ColumnKind(
        "throughput",
        "share of a call's people who are refined, as the row asks for",
        partial(setting_columns, title="share refined"),
        setting_numbers,
    ),
    "images_per_s": ColumnKind(
        "throughput", "people a second on one device, beside the paper's FPS", speed_columns, speed_numbers
    ),
    "speed": ColumnKind(
        "throughput",
        "speed relative to the row named by `compare_with`, beside the paper's",
        relative_columns,
        relative_numbers,
    ),
}
"""Every column by the name that a spec asks for it with; a plug-in's measure brings its own."""


def column_kind(name: str, loaded: LoadedSpec) -> ColumnKind:
    """Return what a column is. Raises SpecError for one that nothing knows."""
    if name in COLUMNS:
        return COLUMNS[name]
    if (kind := own_columns().get(name)) is not None:
        return ColumnKind(kind.name, kind.columns[name], own_column, own_numbers)
    raise loaded.file.error(("columns",), f"nothing is known of a column {name!r}")


def printed_columns(loaded: LoadedSpec, lines: list[Line], catalog: Catalog, device: Device) -> Iterator[Column]:
    """Yield the columns a spec asks for, each with the paper's beside it.

    Raises SpecError for a column that nothing knows.
    """
    table = Context(loaded, lines, catalog, device)
    for name in loaded.spec.columns:
        yield from column_kind(name, loaded).printed(name, table)


def raw_numbers(loaded: LoadedSpec, lines: list[Line], index: int, device: Device, catalog: Catalog) -> dict[str, Any]:
    """Return a row of the CSV: AP in percent, amounts in the paper's unit, None for what was not measured."""
    table, line = Context(loaded, lines, catalog, device), lines[index]
    raw: dict[str, Any] = {"label": line.row.label}
    for name in loaded.spec.columns:
        raw |= column_kind(name, loaded).numbers(name, table, line)
    if "accuracy" in line.cells:
        raw |= accuracy_numbers(loaded, lines, index)
        raw |= further_numbers(line, catalog, table.dataset) if "ap" in loaded.spec.columns else {}
        raw |= training_numbers(line, curve_key(loaded, catalog)) if catalog.tier.starts else {}
    return raw | {
        f"{measure}_run_id": cell.run_id if measure in line.records else None for measure, cell in line.cells.items()
    }


def further_numbers(line: Line, catalog: Catalog, dataset: str) -> dict[str, Any]:
    """Scores on further people with their intervals, in percent, and the runs behind them."""
    raw: dict[str, Any] = {}
    for people, score in catalog.tier.also.get(dataset, {}).items():
        record, key = record_on(line, people), f"{score}_{people}"
        metrics: Mapping[str, Any] = {} if record is None else record.metrics
        value, bounds = metrics.get(score), score_bounds(metrics, score)
        raw |= {key: None if value is None else 100 * value}
        raw |= {f"{key}_{end}": bounds and 100 * bounds[place] for place, end in enumerate(("low", "high"))}
        if people in line.test_sets:
            raw |= {f"accuracy_{people}_run_id": None if record is None else record.run_id}
    return raw


def accuracy_numbers(loaded: LoadedSpec, lines: list[Line], index: int) -> dict[str, Any]:
    """Interval, tier and paired difference of one row's score, in percent."""
    score = next((score for score in RESAMPLED if score in loaded.spec.columns), "ap")
    record = lines[index].records.get("accuracy")
    interval = score_interval(record.metrics, score) if record else None
    paired, start = previous_difference(loaded, lines, index), noted_training(lines[index])
    return {
        f"{score}_low": interval and 100 * interval.low,
        f"{score}_high": interval and 100 * interval.high,
        f"{score}_minus_previous": paired and 100 * paired.value,
        f"{score}_minus_previous_low": paired and 100 * paired.low,
        f"{score}_minus_previous_high": paired and 100 * paired.high,
        "crops": start and start.crops,
        "start": start and start.taken,
        "tier": lines[index].cells["accuracy"].tier,
        "people": lines[index].metric("accuracy", "annotated_people"),
    }
