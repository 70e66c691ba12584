"""The columns that a spec asks for: as they are printed, the paper's beside ours, and as raw numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import mean, stdev
from typing import Any, NamedTuple

from analysis.tables.footers import APART, marked
from analysis.tables.kept import expected_macs, kept_people, mean_kept
from analysis.tables.lines import (
    Line,
    compared_row,
    identity,
    previous_difference,
    relative_speed,
    seed_scores,
    timed_together,
)
from analysis.tables.starts import start_of
from analysis.tables.statistics import SCORES as RESAMPLED
from analysis.tables.statistics import (
    off_centre_median,
    other_interval,
    replicates_of,
    score_interval,
    t_interval,
)
from analysis.tables.trainings import curve_key, seeds_interval, training_numbers
from experiments.cells.provenance import Device, choose_device
from experiments.spec.catalog import Catalog
from experiments.spec.measures import own_columns
from experiments.spec.spec import SETTINGS_SHOWN, LoadedSpec
from results.store import Record
from sharpose.evaluation.metrics.significance import LEAST_TRAININGS

SETTINGS_TITLES = {"batch_size": "batch", "refine_rate": "share refined"}
HELD = ("pck",)
"""Scores whose interval a record holds, in place of its replicates."""
SCORES = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_m": "AP_M",
    "ap_l": "AP_L",
    "ar": "AR",
    "pck": "PCK",
    "pckh": "PCKh@.5",
}


class Amount(NamedTuple):
    """A cost as it is printed: its metric in a record, divided by `scale`."""

    title: str
    unit: str
    metric: str
    scale: float


AMOUNTS = {
    "gflops": Amount("GFLOPs", " (multiply-adds)", "macs_fvcore", 1e9),
    "params": Amount("params", " (M)", "params", 1e6),
}


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


def printed_columns(loaded: LoadedSpec, lines: list[Line], catalog: Catalog, device: Device) -> Iterator[Column]:
    """The columns a spec asks for, each with the paper's beside it; beside AP those on the tier's further people.

    Raises SpecError for a column that nothing knows.
    """
    spec, tier = loaded.spec, catalog.name
    dataset = spec.base.get("dataset", "")
    # where people of several kinds stand side by side, the header says whose score it is
    whose = f", {catalog.people(dataset)}" if catalog.tier.also.get(dataset) else ""
    for name in spec.columns:
        paper = Source(f"{name}_paper")
        if name in SCORES:
            yield Column(
                f"{SCORES[name]}{whose} ({tier} tier)", partial(score_text, key=name), source=Source(name, "accuracy")
            )
            yield Column(f"{SCORES[name]} (paper)", partial(paper_text, key=name), optional=True, source=paper)
            if name == "ap":
                yield from further_columns(catalog, dataset)
        elif name == "ap_seeds" and catalog.tier.starts is not None:
            title = f"AP, mean ± 95 % t-interval over trainings from own random weights{whose} ({tier} tier)"
            yield Column(title, seeds_interval_text, optional=True, source=Source("ap_seed_mean", "ap_seeds"))
        elif name == "ap_seeds":
            title = f"AP, mean ± sd over trainings with the shared budget ({tier} tier)"
            yield Column(title, seeds_score_text, optional=True, source=Source("ap_seed_mean", "ap_seeds"))
        elif name == "refined":
            yield Column("looked at again", refined_text)
        elif name == "kept":
            yield Column("patches refined", kept_text, source=Source(name, "accuracy"))
        elif name == "gflops_expected":
            yield Column("GFLOPs (expected)", partial(expected_text, loaded), source=Source(name, "accuracy"))
        elif name in SETTINGS_SHOWN:
            yield Column(SETTINGS_TITLES[name], partial(setting_text, key=name))
        elif name in AMOUNTS:
            title, unit = AMOUNTS[name].title, AMOUNTS[name].unit
            delta, difference = Source(f"{name}_delta_percent", "cost"), "Δ %" if name == "gflops" else f"{title} Δ %"
            yield Column(f"{title}{unit}", partial(amount_text, key=name), source=Source(name, "cost"))
            yield Column(f"{title} (paper)", partial(paper_text, key=name), optional=True, source=paper)
            yield Column(difference, partial(delta_text, key=name), optional=True, source=delta)
        elif name == "images_per_s":
            place = "this device" if device == choose_device(device.kind)[0] else str(device)
            yield Column(f"images/s on {place}", speed_per_second_text, source=Source(name, "throughput"))
            yield Column("FPS (paper)", partial(paper_text, key=name), optional=True, source=paper)
        elif name == "speed":
            title, reference = f"speed relative to {spec.row_header} = {spec.compare_with}", compared_row(loaded, lines)
            theirs = partial(paper_relative_text, reference=reference)
            yield Column(
                title, partial(relative_text, reference=reference), source=Source("speed_relative", "throughput")
            )
            yield Column("relative (paper)", theirs, optional=True, source=Source("speed_relative_paper"))
        elif (kind := own_columns().get(name)) is not None:
            text = partial(own_text, measure=kind.name, key=name)
            yield Column(kind.columns[name], text, source=Source(name, kind.name))
        else:
            raise loaded.file.error(("columns",), f"nothing is known of a column {name!r}")


def further_columns(catalog: Catalog, dataset: str) -> Iterator[Column]:
    """The scores on people beside those that stand for `dataset`, and further scores of these."""
    for people, score in catalog.tier.also.get(dataset, {}).items():
        own = people == catalog.people(dataset)
        measure = "accuracy" if own else f"accuracy_{people}"
        yield Column(
            f"{SCORES[score]}, {people}",
            partial(further_text, people=people, score=score),
            source=Source(f"{score}_{people}", measure),
        )


def record_on(line: Line, people: str) -> Record | None:
    """The accuracy of a row on further people, or on its own where these are meant."""
    return line.test_sets[people].record if people in line.test_sets else line.records.get("accuracy")


def further_text(line: Line, people: str, score: str) -> str | None:
    """Return a score on further people in percent with its interval; None where it was not measured."""
    record = record_on(line, people)
    return None if record is None else with_interval(record.metrics, score, score_bounds(record.metrics, score))


def score_text(line: Line, key: str) -> str | None:
    """Return a score of the row's accuracy in percent with its interval; None where it was not measured."""
    if "accuracy" not in line.records:
        return None
    metrics = line.records["accuracy"].metrics
    return with_interval(metrics, key, score_bounds(metrics, key))


def with_interval(metrics: Mapping[str, Any], key: str, bounds: tuple[float, float] | None) -> str | None:
    """A score in percent with its interval, where there is one; None where it was not measured."""
    value = metrics.get(key)
    if value is None:
        return None
    beside = ""
    if key in RESAMPLED and (interval := score_interval(metrics, key)) is not None:
        median = off_centre_median(interval, replicates_of(metrics, key))
        beside = "" if median is None else f" (median {100 * median:.1f})"
    return f"{100 * value:.1f}" + (f" [{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]{beside}" if bounds else "")


def score_bounds(metrics: Mapping[str, Any], key: str) -> tuple[float, float] | None:
    """The interval of a score: by its replicates, or as a record holds it."""
    interval = score_interval(metrics, key) if key in RESAMPLED else other_interval(metrics, key)
    return None if interval is None else (interval.low, interval.high)


def seeds_interval_text(line: Line) -> str | None:
    """Mean and half of its t-interval over the trainings that are there, and how many of all those are."""
    found = seeds_interval(line)
    if found is None:
        return None
    middle, half, count = found
    return f"{middle:.1f}" + (f" ± {half:.1f}" if half is not None else "") + f" ({count} of {len(line.seeds)})"


def seeds_score_text(line: Line) -> str | None:
    """Mean and sample standard deviation over the trainings that are there, and how many of all those are."""
    scores = [100 * score for score in seed_scores(line)]
    if len(scores) < 2:
        return None
    interval = ""
    if len(scores) >= LEAST_TRAININGS:
        one = t_interval(scores)
        interval = f" [{one.low:.1f}, {one.high:.1f}]"
    return f"{mean(scores):.1f} ± {stdev(scores):.1f}{interval} ({len(scores)} of {len(line.seeds)})"


def refined_text(line: Line) -> str | None:
    """Return the refine rate in percent; None where it was not measured, or the model has no fine stage."""
    rate = line.metric("accuracy", "refine_rate")
    return None if rate is None else f"{100 * rate:.1f} %"


def kept_text(line: Line) -> str | None:
    """Of a person who is looked at again, on average; and the range where people differ."""
    kept, mean_number = kept_people(line), mean_kept(line)
    if kept is None:
        return None
    return f"{mean_number:.1f}" + (f" ({min(kept)} to {max(kept)})" if len(kept) > 1 else "")


def expected_text(loaded: LoadedSpec, line: Line) -> str | None:
    """Return the expected cost per person in 1e9 multiply-adds, at the measured refine rate; None where not known."""
    macs = expected_macs(loaded, line)
    return None if macs is None else f"{macs / 1e9:#.3g}"


def setting_text(line: Line, key: str) -> str | None:
    """A setting of how the speed was measured."""
    value = identity(line, "throughput").get(key) if "throughput" in line.cells else None
    if value is None:
        return None
    return f"{100 * value:g} %" if key == "refine_rate" else str(value)


def own_text(line: Line, measure: str, key: str) -> str | None:
    """A metric of a plug-in's measure."""
    value = line.metric(measure, key)
    return None if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def paper_text(line: Line, key: str) -> str | None:
    """Return the paper's value of a column as it is printed there; None where it gives none."""
    value = getattr(line.row.paper, key)
    # the paper gives some speeds as whole numbers
    return None if value is None else f"{value:g}" if key == "images_per_s" else f"{value:.1f}"


def amount(line: Line, key: str) -> float | None:
    """A cost in the paper's unit."""
    value = line.metric("cost", AMOUNTS[key].metric)
    return None if value is None else value / AMOUNTS[key].scale


def amount_text(line: Line, key: str) -> str | None:
    """Return a cost in the paper's unit; None where it was not counted."""
    value = amount(line, key)
    return None if value is None else f"{value:.2f}"


def delta_percent(line: Line, key: str) -> float | None:
    """Ours against the paper's."""
    ours, paper = amount(line, key), getattr(line.row.paper, key)
    return None if ours is None or paper is None else 100 * (ours / paper - 1)


def delta_text(line: Line, key: str) -> str | None:
    """Return how far our cost is from the paper's, signed, in percent; None where one of them is not known."""
    value = delta_percent(line, key)
    return None if value is None else f"{value:+.1f}"


def speed_per_second_text(line: Line) -> str | None:
    """Return images per second in three digits, marked where the machine was busy; None where it was not timed."""
    value = line.metric("throughput", "images_per_s")
    return None if value is None else marked(f"{value:#.3g}", line.records["throughput"].metrics)


def relative_text(line: Line, reference: Line) -> str | None:
    """Return a row's speed as a multiple of the reference's, marked where they were timed apart; None without both."""
    value = relative_speed(line, reference)
    return None if value is None else f"{value:.2f}" + ("" if timed_together(line, reference) else f" {APART}")


def paper_relative(line: Line, reference: Line) -> float | None:
    """The paper's speed of a row relative to its speed of another."""
    ours, theirs = line.row.paper.images_per_s, reference.row.paper.images_per_s
    return ours / theirs if ours and theirs else None


def paper_relative_text(line: Line, reference: Line) -> str | None:
    """Return the paper's speed of a row as a multiple of the reference's; None where it gives not both."""
    value = paper_relative(line, reference)
    return None if value is None else f"{value:.2f}"


def raw_numbers(loaded: LoadedSpec, lines: list[Line], index: int, device: Device, catalog: Catalog) -> dict[str, Any]:
    """A row of the CSV: AP in percent, amounts in the paper's unit, None for what was not measured."""
    line = lines[index]
    raw: dict[str, Any] = {"label": line.row.label}
    for name in loaded.spec.columns:
        if name in SCORES:
            value = line.metric("accuracy", name)
            raw |= {name: None if value is None else 100 * value, f"{name}_paper": getattr(line.row.paper, name)}
            if name not in RESAMPLED and name != "pck":
                record = line.records.get("accuracy")
                other = other_interval(record.metrics, name) if record else None
                raw |= {f"{name}_low": other and 100 * other.low, f"{name}_high": other and 100 * other.high}
        if name == "ap_seeds":
            scores = [100 * score for score in seed_scores(line)]
            enough = len(scores) > 1
            raw |= {"ap_seed_mean": mean(scores) if enough else None, "ap_seed_sd": stdev(scores) if enough else None}
            one = t_interval(scores) if len(scores) >= LEAST_TRAININGS else None
            raw |= {"ap_seed_low": one and one.low, "ap_seed_high": one and one.high}
            if catalog.tier.starts is not None:
                found = seeds_interval(line)
                raw |= {"ap_seed_mean": found and found[0], "ap_seed_half_interval": found and found[1]}
            runs = [seed.record.run_id for seed in line.seeds if seed.record is not None]
            raw |= {"ap_seeds": len(scores), "ap_seeds_run_id": " ".join(runs) or None}
        if name == "refined":
            raw |= {name: line.metric("accuracy", "refine_rate")}
        if name == "kept":
            raw |= {name: mean_kept(line)}
        if name == "gflops_expected":
            macs = expected_macs(loaded, line)
            raw |= {name: None if macs is None else macs / 1e9}
        if name in SETTINGS_SHOWN and "throughput" in line.cells:
            raw |= {name: identity(line, "throughput").get(name)}
        if name in AMOUNTS:
            raw |= {
                name: amount(line, name),
                f"{name}_paper": getattr(line.row.paper, name),
                f"{name}_delta_percent": delta_percent(line, name),
            }
        if name == "images_per_s":
            keys = (name, "latency_ms_p50", "latency_ms_p90", "latency_ms_p99", "batch_size", "noisy")
            raw |= {key: line.metric("throughput", key) for key in keys} | {"device": str(device)}
            raw |= {f"{name}_paper": line.row.paper.images_per_s}
        if (kind := own_columns().get(name)) is not None:
            raw |= {name: line.metric(kind.name, name)}
        if name == "speed":
            reference = compared_row(loaded, lines)
            raw |= {"speed_relative": relative_speed(line, reference)}
            raw |= {"speed_relative_paper": paper_relative(line, reference)}
    if "accuracy" in line.cells:
        raw |= accuracy_numbers(loaded, lines, index)
        raw |= (
            further_numbers(line, catalog, loaded.spec.base.get("dataset", "")) if "ap" in loaded.spec.columns else {}
        )
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
    paired, start = previous_difference(loaded, lines, index), start_of(lines[index])
    return {
        f"{score}_low": interval and 100 * interval.low,
        f"{score}_high": interval and 100 * interval.high,
        f"{score}_minus_previous": paired and 100 * paired.value,
        f"{score}_minus_previous_low": paired and 100 * paired.low,
        f"{score}_minus_previous_high": paired and 100 * paired.high,
        "crops": start and start.crops,
        "start": start and start.text,
        "tier": lines[index].cells["accuracy"].tier,
        "people": lines[index].metric("accuracy", "annotated_people"),
    }
