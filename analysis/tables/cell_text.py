"""What is printed in a cell of a table, and the numbers behind it; None for what was not measured."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import mean, stdev
from typing import Any, NamedTuple

from analysis.tables.footers import APART, marked
from analysis.tables.kept import expected_macs, kept_people, mean_kept
from analysis.tables.lines import Line, identity, relative_speed, seed_scores, timed_together
from analysis.tables.statistics import SCORES as RESAMPLED
from analysis.tables.statistics import off_centre_median, other_interval, replicates_of, score_interval, t_interval
from analysis.tables.trainings import seeds_interval
from experiments.spec.spec import LoadedSpec
from results.records import Record
from sharpose.evaluation.metrics.significance import LEAST_TRAININGS

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
