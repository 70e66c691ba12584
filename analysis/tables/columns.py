"""The columns that a spec asks for, one table of them: as they are printed, the paper's beside ours, and as numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import mean, stdev
from typing import Any, NamedTuple

from analysis.tables.cell_text import (
    AMOUNTS,
    amount,
    delta_percent,
    interval_of,
    kept_text,
    paper_relative,
    relative_text,
    score_text,
    seeds_score_text,
    speed_text,
)
from analysis.tables.kept import expected_macs, mean_kept
from analysis.tables.lines import Line, compared_row, identity, previous_difference, relative_speed
from analysis.tables.statistics import SCORES as RESAMPLED
from analysis.tables.statistics import ends, t_interval, value_and_ends
from analysis.tables.trainings import curve_key, seed_scores, training_numbers
from experiments.cells.provenance import Device, choose_device
from experiments.spec.catalog import Catalog
from experiments.spec.columns import SCORES
from experiments.spec.measures import own_columns
from experiments.spec.spec import LoadedSpec
from results.records import Record


class Source(NamedTuple):
    """Where a printed column comes from: its column in `frame`, and what its numbers were measured as.

    `measure` names the column with the run ids behind it (a measure, as a rule); None for the paper's values.
    """

    key: str
    measure: str | None = None


@dataclass(frozen=True)
class Column:
    """A printed column: a row's value, None for a dash, and how it is written.

    An `optional` column of dashes alone is left out.
    """

    header: str
    value: Callable[[Line], Any]
    written: Callable[[Any], str] = str
    optional: bool = False
    source: Source | None = None

    def text(self, line: Line) -> str | None:
        """Return the cell of a row; None for a dash."""
        value = self.value(line)
        return None if value is None else self.written(value)


@dataclass(frozen=True)
class Context:
    """The table that a column is of."""

    loaded: LoadedSpec
    lines: list[Line]
    catalog: Catalog
    device: Device

    @property
    def dataset(self) -> str:
        """Return the people that the spec is about."""
        return str(self.loaded.spec.base.get("dataset", ""))

    @property
    def whose(self) -> str:
        """Return whose score it is, for headers, where people of several kinds stand side by side."""
        own = str(self.catalog.people(self.dataset))
        return f", {own}" if self.further.keys() - {own} else ""

    @property
    def further(self) -> Mapping[str, str]:
        """Return further people that rows are measured on, and the score that is said of each."""
        return self.catalog.tier.also.get(self.dataset, {})


@dataclass(frozen=True)
class ColumnKind:
    """How a column of a spec is printed; both functions are given its name.

    printed: the columns of the table, the paper's among them. numbers: those of one row in the CSV file, AP in percent,
    amounts in the paper's unit, None for what was not measured.
    """

    printed: Callable[[str, Context], Iterator[Column]]
    numbers: Callable[[str, Context, Line], dict[str, Any]]


def single(
    title: str,
    number: Callable[[Context, Line], Any],
    written: Callable[[Any], str],
    source: str | None = None,
    shown: Callable[[Context, Line], Any] | None = None,
) -> ColumnKind:
    """Return a column of one number, or of what is `shown` in its place.

    `source` is the measure whose record stands behind it in the report.
    """

    def printed(name: str, table: Context) -> Iterator[Column]:
        of_row = partial(shown or number, table)
        yield Column(title, of_row, written, source=None if source is None else Source(name, source))

    return ColumnKind(printed, lambda name, table, line: {name: number(table, line)})


def score_columns(name: str, table: Context) -> Iterator[Column]:
    """Yield a score, the paper's, and beside AP those on the tier's further people."""
    title = f"{SCORES[name]}{table.whose} ({table.catalog.name} tier)"
    yield Column(title, lambda line: score_text(line.records.get("accuracy"), name), source=Source(name, "accuracy"))
    yield paper_column(f"{SCORES[name]} (paper)", name)
    for people, score in table.further.items() if name == "ap" else ():
        own = people == table.catalog.people(table.dataset)
        text = partial(further_text, people=people, score=score)
        header = f"{SCORES[score]}, {people}" if table.whose else f"{SCORES[score]} ({table.catalog.name} tier)"
        source = Source(f"{score}_{people}", "accuracy" if own else f"accuracy_{people}")
        yield Column(header, text, optional=True, source=source)


def score_numbers(name: str, table: Context, line: Line) -> dict[str, Any]:
    """Return a score in percent, the paper's, and the interval of one that is not resampled anew."""
    value = line.metric("accuracy", name)
    found = {name: None if value is None else 100 * value, f"{name}_paper": getattr(line.row.paper, name)}
    if name not in RESAMPLED and name != "pck":
        found |= ends(name, interval_of(line.records.get("accuracy"), name))
    return found


def record_on(line: Line, people: str) -> Record | None:
    """Return the accuracy of a row on further people, or on its own where these are meant."""
    return line.test_sets[people].record if people in line.test_sets else line.records.get("accuracy")


def further_text(line: Line, people: str, score: str) -> str | None:
    """Return a score on further people in percent with its interval; None where it was not measured."""
    return score_text(record_on(line, people), score)


def paper_column(header: str, name: str) -> Column:
    """Return the column of the paper's values."""
    # the paper gives some speeds as whole numbers
    written = ("{:g}" if name == "images_per_s" else "{:.1f}").format
    return Column(header, lambda line: getattr(line.row.paper, name), written, True, Source(f"{name}_paper"))


def seeds_columns(name: str, table: Context) -> Iterator[Column]:
    """Yield AP over several trainings, each with its own initialisation."""
    how = f"AP over trainings, mean ± 95 % t-interval{table.whose}"
    title = f"{how} ({table.catalog.name} tier)"
    yield Column(title, seeds_score_text, optional=True, source=Source("ap_seed_mean", "ap_seeds"))


def seeds_numbers(name: str, table: Context, line: Line) -> dict[str, Any]:
    """Return mean, deviation and interval of AP over several trainings, and their runs."""
    scores = seed_scores(line)
    enough = len(scores) > 1
    found: dict[str, Any] = {"ap_seed_mean": mean(scores) if enough else None}
    found |= {"ap_seed_sd": stdev(scores) if enough else None, **ends("ap_seed", t_interval(scores), 1)}
    runs = [seed.record.run_id for seed in line.seeds if seed.record is not None]
    return found | {"ap_seeds": len(scores), "ap_seeds_run_id": " ".join(runs) or None}


def expected_gmacs(table: Context, line: Line) -> float | None:
    """Return the multiply-adds of a person on average, in 1e9, at the measured refine rate."""
    macs = expected_macs(table.loaded, line)
    return None if macs is None else macs / 1e9


def setting(key: str, table: Context, line: Line) -> Any:
    """Return a setting of how the speed was measured, of a row that has one."""
    return identity(line, "throughput").get(key) if "throughput" in line.cells else None


def amount_columns(name: str, table: Context) -> Iterator[Column]:
    """Yield a cost, the paper's, and ours against it."""
    title, difference = AMOUNTS[name].title, "Δ %" if name == "gflops" else f"{AMOUNTS[name].title} Δ %"
    ours, delta = partial(amount, key=name), partial(delta_percent, key=name)
    yield Column(f"{title}{AMOUNTS[name].unit}", ours, "{:.2f}".format, source=Source(name, "cost"))
    yield paper_column(f"{title} (paper)", name)
    yield Column(difference, delta, "{:+.1f}".format, True, Source(f"{name}_delta_percent", "cost"))


def amount_numbers(name: str, table: Context, line: Line) -> dict[str, Any]:
    """Return a cost in the paper's unit, the paper's, and ours against it in percent."""
    paper = {f"{name}_paper": getattr(line.row.paper, name), f"{name}_delta_percent": delta_percent(line, name)}
    return {name: amount(line, name), **paper}


def speed_columns(name: str, table: Context) -> Iterator[Column]:
    """Yield images per second on the device, and the paper's."""
    place = "this device" if table.device == choose_device(table.device.kind)[0] else str(table.device)
    source = Source(name, "throughput")
    yield Column(f"images/s on {place}", lambda line: speed_text(line.records.get("throughput")), source=source)
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
    ours, theirs = partial(relative_text, reference=reference), partial(paper_relative, reference=reference)
    yield Column(title, ours, source=Source("speed_relative", "throughput"))
    yield Column("relative (paper)", theirs, "{:.2f}".format, True, Source("speed_relative_paper"))


def relative_numbers(name: str, table: Context, line: Line) -> dict[str, Any]:
    """Return the speed as a multiple of another row's, and the paper's."""
    reference = compared_row(table.loaded, table.lines)
    ours, theirs = relative_speed(line, reference), paper_relative(line, reference)
    return {"speed_relative": ours, "speed_relative_paper": theirs}


COLUMNS: dict[str, ColumnKind] = {
    **dict.fromkeys(SCORES, ColumnKind(score_columns, score_numbers)),
    "ap_seeds": ColumnKind(seeds_columns, seeds_numbers),
    "refined": single(
        "refine rate",
        lambda table, line: line.metric("accuracy", "refine_rate"),
        lambda rate: f"{100 * rate:.1f} %",
    ),
    "kept": single(
        "patches refined",
        lambda table, line: mean_kept(line),
        str,
        "accuracy",
        lambda table, line: kept_text(line),
    ),
    **dict.fromkeys(AMOUNTS, ColumnKind(amount_columns, amount_numbers)),
    "gflops_expected": single("GFLOPs (expected)", expected_gmacs, "{:#.3g}".format, "accuracy"),
    "batch_size": single("batch", partial(setting, "batch_size"), str),
    "refine_rate": single("refine rate", partial(setting, "refine_rate"), lambda rate: f"{100 * rate:g} %"),
    "images_per_s": ColumnKind(speed_columns, speed_numbers),
    "speed": ColumnKind(relative_columns, relative_numbers),
}
"""How each of a spec's columns is printed (`experiments.spec.columns` declares them)."""


def column_kind(name: str, loaded: LoadedSpec) -> ColumnKind:
    """Return what a column is. Raises SpecError for one that nothing knows."""
    if name in COLUMNS:
        return COLUMNS[name]
    if (kind := own_columns().get(name)) is not None:
        return single(
            kind.columns[name],
            lambda table, line: line.metric(kind.name, name),
            lambda value: f"{value:.4g}" if isinstance(value, float) else str(value),
            kind.name,
        )
    raise loaded.file.error(("columns",), f"nothing is known of a column {name!r}")


def printed_columns(table: Context) -> Iterator[Column]:
    """Yield the columns a spec asks for, each with the paper's beside it.

    Raises SpecError for a column that nothing knows.
    """
    for name in table.loaded.spec.columns:
        yield from column_kind(name, table.loaded).printed(name, table)


def raw_numbers(table: Context, index: int) -> dict[str, Any]:
    """Return a row of the CSV: AP in percent, amounts in the paper's unit, None for what was not measured."""
    loaded, line = table.loaded, table.lines[index]
    raw: dict[str, Any] = {"label": line.row.label}
    for name in loaded.spec.columns:
        raw |= column_kind(name, loaded).numbers(name, table, line)
    if "accuracy" in line.cells:
        raw |= accuracy_numbers(table, index)
        raw |= further_numbers(table, line) if "ap" in loaded.spec.columns else {}
        raw |= training_numbers(line, curve_key(table.dataset, table.catalog))
    return raw | {
        f"{measure}_run_id": cell.run_id if measure in line.records else None for measure, cell in line.cells.items()
    }


def further_numbers(table: Context, line: Line) -> dict[str, Any]:
    """Return scores on further people with their intervals, in percent, and the runs behind them."""
    raw: dict[str, Any] = {}
    for people, score in table.further.items():
        record, key = record_on(line, people), f"{score}_{people}"
        value = None if record is None else record.metrics.get(score)
        raw |= {key: None if value is None else 100 * value}
        raw |= ends(key, interval_of(record, score))
        if people in line.test_sets:
            raw |= {f"accuracy_{people}_run_id": record and record.run_id}
    return raw


def accuracy_numbers(table: Context, index: int) -> dict[str, Any]:
    """Return interval, tier and paired difference of one row's score, in percent."""
    line = table.lines[index]
    score = next((score for score in RESAMPLED if score in table.loaded.spec.columns), "ap")
    return {
        **ends(score, interval_of(line.records.get("accuracy"), score)),
        **value_and_ends(f"{score}_minus_previous", previous_difference(table.loaded, table.lines, index)),
        "tier": line.cells["accuracy"].tier,
        "people": line.metric("accuracy", "annotated_people"),
    }
