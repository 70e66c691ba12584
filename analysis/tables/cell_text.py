"""What is printed in a cell of a table, and the numbers behind it; None for what was not measured."""

from __future__ import annotations

from statistics import mean
from typing import NamedTuple

from analysis.tables.footers import APART, marked
from analysis.tables.kept import kept_people, mean_kept
from analysis.tables.lines import Line, relative_speed, timed_together
from analysis.tables.statistics import SCORES as RESAMPLED
from analysis.tables.statistics import Interval, off_centre_median, replicates_of, score_interval, t_interval
from analysis.tables.trainings import seed_scores
from results.records import Record


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


def interval_of(record: Record | None, score: str) -> Interval | None:
    """Return the interval of a record's score, as fractions; None where there is none."""
    return None if record is None else score_interval(record.metrics, score)


def score_text(record: Record | None, score: str) -> str | None:
    """Return a score in percent with its interval, where there is one, and the median of an interval off its centre."""
    value = None if record is None else record.metrics.get(score)
    if record is None or value is None:
        return None
    text, interval = f"{100 * value:.1f}", interval_of(record, score)
    if interval is None:
        return text
    text += f" [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
    replicates = replicates_of(record.metrics, score) if score in RESAMPLED else []
    median = off_centre_median(interval, replicates) if replicates else None
    return text if median is None else f"{text} (median {100 * median:.1f})"


def seeds_score_text(line: Line) -> str | None:
    """Return mean and, from three on, half the t-interval of AP over the trainings that are there, and how many are."""
    scores = seed_scores(line)
    if len(scores) < 2:
        return None
    interval = t_interval(scores)
    spread = "" if interval is None else f" ± {(interval.high - interval.low) / 2:.1f}"
    return f"{mean(scores):.1f}{spread} ({len(scores)} of {len(line.seeds)})"


def kept_text(line: Line) -> str | None:
    """Return the mean number of refined patches per refined person, and their range where people differ."""
    kept = kept_people(line)
    if kept is None:
        return None
    return f"{mean_kept(line):.1f}" + (f" ({min(kept)} to {max(kept)})" if len(kept) > 1 else "")


def amount(line: Line, key: str) -> float | None:
    """Return a cost in the paper's unit."""
    value = line.metric("cost", AMOUNTS[key].metric)
    return None if value is None else value / AMOUNTS[key].scale


def delta_percent(line: Line, key: str) -> float | None:
    """Return ours against the paper's."""
    ours, paper = amount(line, key), getattr(line.row.paper, key)
    return None if ours is None or paper is None else 100 * (ours / paper - 1)


def speed_text(record: Record | None) -> str | None:
    """Return images per second in three digits, marked where the machine was busy; None where it was not timed."""
    return None if record is None else marked(f"{record.metrics['images_per_s']:#.3g}", record.metrics)


def relative_text(line: Line, reference: Line) -> str | None:
    """Return a row's speed as a multiple of the reference's, marked where they were timed apart; None without both."""
    value = relative_speed(line, reference)
    return None if value is None else f"{value:.2f}" + ("" if timed_together(line, reference) else f" {APART}")


def paper_relative(line: Line, reference: Line) -> float | None:
    """Return the paper's speed of a row relative to its speed of another."""
    ours, theirs = line.row.paper.images_per_s, reference.row.paper.images_per_s
    return ours / theirs if ours and theirs else None
