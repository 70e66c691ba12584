"""Speeds of systems, back-ends and peers from the store, as tables and a figure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from analysis.tables.columns import Source
from analysis.tables.footers import APART, DASH, marked, marks_text, origin
from analysis.tables.lines import pick_device, stored_devices
from analysis.tables.raw import with_keys
from analysis.tables.statistics import ap_interval, paired_difference
from analysis.tables.tables import Table
from experiments.cells.provenance import Device
from experiments.spec.bench_spec import BENCH, DEPLOYED, Bench, BenchRow, deployments, load_bench, timings
from experiments.spec.catalog import open_catalog
from results.records import Record
from results.store import Store

GIGA = 1e9
NUMBERS = (
    *("images_per_s", "latency_ms_p50", "latency_ms_p90", "latency_ms_p99", "batch_size", "noisy", "peak_memory_mib"),
    *("macs", "macs_per_s", "macs_per_byte", "share_of_matmul_rate", "share_of_roof", "joules_per_image"),
    *("matmul_macs_per_s", "copy_bytes_per_s", "refine_rate", "images_per_call"),
)
"""Metrics of a record that go into the CSV."""

SPEED_KEYS = {
    "images/s": "images_per_s",
    "times its speed": "ratio",
    "latency p50 / p90 / p99 (ms)": "latency_ms_p50",
    "peak memory (MiB)": "peak_memory_mib",
    "% of matmul rate": "share_of_matmul_rate",
    "% of roof": "share_of_roof",
    "J/image": "joules_per_image",
}
DEPLOYED_KEYS = {
    "AP (nano tier)": "ap",
    "AP minus the first row's": "ap_minus_first",
    "error of heatmaps": "heatmaps_relative_error",
}
"""By printed header: the column of raw numbers."""


@dataclass(frozen=True)
class Timed:
    """A row and its record, if there is one."""

    row: BenchRow
    record: Record | None
    lacking: str | None

    def metric(self, key: str) -> Any:
        """Return a metric of the record; None where there is no record, or it lacks the metric."""
        return None if self.record is None else self.record.metrics.get(key)


def bench_tables(*, device: str = "cpu", store: Store | None = None) -> list[Table]:
    """Return the tables of speeds on a device, of where the time goes, and of what back-ends do to accuracy.

    device: this machine's `cpu` or `cuda`, or a stored name. Nothing is measured.
    """
    store = store or Store()
    bench, chosen = load_bench(), pick_device(device, store)
    timed = read_timed(bench, chosen, store)
    return [speed_table(bench, timed, chosen), operator_table(timed, chosen), deployed_table(bench, store)]


def for_files(tables: list[Table], store: Store | None = None) -> list[Table]:
    """Return the tables with the raw numbers of every device that was timed.

    So nothing published is lost where they are written on another machine.
    """
    store = store or Store()
    everywhere = [bench_tables(device=str(device), store=store) for device in stored_devices(store, BENCH)]
    if not everywhere:
        return tables
    *speeds, deployed = zip(*everywhere, strict=True)
    models = {row.label: row.model for row in load_bench().rows}
    keyed = [replace(same[0], frame=with_keys("bench", timed_rows(same), models)) for same in speeds]
    frame = deployed[0].frame
    model = load_bench().deployed.model
    rows = [f"backends: {row.backend} {row.precision}" for row in frame.itertuples()]
    return [*keyed, replace(deployed[0], frame=frame.assign(row_id=rows, model=model))]


def timed_rows(tables: Sequence[Table]) -> pd.DataFrame:
    """Return the raw numbers of rows that have a record, of the same table on several devices, one below the other."""
    return pd.concat([table.frame.dropna(subset="bench_run_id") for table in tables], ignore_index=True)


def read_timed(bench: Bench, device: Device, store: Store) -> list[Timed]:
    """Return every row of the spec with its stored record on `device`, if there is one."""
    return [Timed(one.row, store.find(one.identity), one.lacking) for one in timings(bench, open_catalog(), device)]


def speed_table(bench: Bench, timed: list[Timed], device: Device) -> Table:
    """Return the table of speeds, with the column of energy only where some row has it."""
    by_label = {one.row.label: one for one in timed}
    frame = pd.DataFrame([raw_numbers(one, by_label) for one in timed]).assign(device=str(device))
    shown = pd.DataFrame(
        {
            "row": [one.row.label for one in timed],
            "batch": [str(one.row.batch_size or bench.batch_size) for one in timed],
            "scope": [one.row.scope for one in timed],
            "images/s": [speed_text(one) for one in timed],
            "against": [one.row.against or DASH for one in timed],
            "times its speed": [ratio_text(one, by_label) for one in timed],
            "wanted": [DASH if one.row.wanted is None else f"≥ {one.row.wanted:g}" for one in timed],
            "latency p50 / p90 / p99 (ms)": [latency_text(one) for one in timed],
            "peak memory (MiB)": [number_text(one.metric("peak_memory_mib"), "{:.0f}") for one in timed],
            "% of matmul rate": [percent_text(one.metric("share_of_matmul_rate")) for one in timed],
            "% of roof": [percent_text(one.metric("share_of_roof")) for one in timed],
            "J/image": [number_text(one.metric("joules_per_image"), "{:.2f}") for one in timed],
        }
    )
    if not any(one.metric("joules_per_image") for one in timed):
        shown = shown.drop(columns="J/image")
    notes = [*speed_notes(timed, by_label, device), *bench.notes]
    return Table("bench", bench.title, frame, shown, notes, sources=sources(SPEED_KEYS, BENCH))


def sources(keys: Mapping[str, str], measure: str) -> dict[str, Source]:
    """Return where printed columns come from, by header: all from records of one measure."""
    return {header: Source(key, measure) for header, key in keys.items()}


def raw_numbers(one: Timed, others: Mapping[str, Timed]) -> dict[str, Any]:
    """Return a row's facts and metrics under the names of the CSV; None for what was not measured."""
    row = one.row
    facts = {
        name: getattr(row, name) for name in ("label", "model", "backend", "precision", "scope", "against", "wanted")
    }
    found = {key: one.metric(key) for key in NUMBERS}
    return {**facts, **found, "ratio": ratio(one, others), "bench_run_id": one.record.run_id if one.record else None}


def ratio(one: Timed, others: Mapping[str, Timed]) -> float | None:
    """Return how many times as fast per image a row is as the one it is set against.

    The median over rounds where both were timed in one session, as neighbours in time are loaded alike; else from both
    medians.
    """
    if one.row.against is None:
        return None
    other = others[one.row.against]
    if one.record is None or other.record is None:
        return None
    if not together(one, other):
        return one.metric("images_per_s") / other.metric("images_per_s")
    pairs = zip(one.metric("samples_ms"), other.metric("samples_ms"), strict=True)
    size = images_of(one) / images_of(other)
    return statistics.median(theirs / ours * size for ours, theirs in pairs)


def images_of(one: Timed) -> int:
    """People in a timed call: a batch, or several that are streamed."""
    return one.metric("images_per_call") or one.metric("batch_size")


def together(one: Timed, other: Timed) -> bool:
    """Return whether two rows were timed in one session."""
    return one.metric("session") == other.metric("session")


def speed_text(one: Timed) -> str:
    """Return images per second in three digits, marked where the machine was busy; a dash where it was not timed."""
    value = one.metric("images_per_s")
    return DASH if value is None or one.record is None else marked(f"{value:#.3g}", one.record.metrics)


def ratio_text(one: Timed, others: Mapping[str, Timed]) -> str:
    """Return how many times as fast a row is as the one it is set against, or a dash; marked if timed apart."""
    value = ratio(one, others)
    if value is None or one.row.against is None:
        return DASH
    return f"{value:.2f}" + ("" if together(one, others[one.row.against]) else f" {APART}")


def latency_text(one: Timed) -> str:
    """Return the percentiles of a batch's latency in milliseconds; a dash if it was not timed, or batches stream."""
    # several batches that are streamed have no latency of one
    if one.record is None or one.row.refine_rate is not None:
        return DASH
    return " / ".join(f"{one.metric(f'latency_ms_{name}'):.0f}" for name in ("p50", "p90", "p99"))


def number_text(value: float | None, form: str) -> str:
    """Return a number in a format such as `{:.0f}`; a dash for None."""
    return DASH if value is None else form.format(value)


def percent_text(value: float | None) -> str:
    """Return a fraction in whole percent; a dash for None."""
    return number_text(None if value is None else 100 * value, "{:.0f}")


def speed_notes(timed: list[Timed], others: Mapping[str, Timed], device: Device) -> list[str]:
    """What has to be known to read the speeds."""
    records = [one.record for one in timed if one.record is not None]
    notes = []
    if records:
        first = records[0].metrics
        peaks = sorted(record.metrics["matmul_macs_per_s"] / GIGA for record in records)
        sessions = {record.metrics["session"] for record in records}
        which = "all rows" if len(sessions) == 1 else "rows that are set against each other"
        notes.append(
            f"{device}, random weights, fp32 unless a row says otherwise, median of {first['rounds']} rounds with "
            f"{which} interleaved, latencies of a whole batch; {origin(records)}."
        )
        notes.append(
            f"Matmul rate: a large fp32 product in the same rounds, {statistics.median(peaks):.1f} G multiply-adds/s; "
            "roof: the lower of it and what a large copy's bandwidth allows for weights, input and heatmaps. "
            "Multiply-adds are the products that are executed; "
            "the rate is that of fp32, so fewer bits show as a higher share."
        )
    notes += marks_text(records)
    if any(APART in ratio_text(one, others) for one in timed):
        notes.append(f"{APART} not timed in one session with the row it is set against.")
    reached = [one for one in timed if one.row.wanted is not None and ratio(one, others) is not None]
    short = [one.row.label for one in reached if (ratio(one, others) or 0) < (one.row.wanted or 0)]
    if reached:
        notes.append(f"Wanted and not reached: {', '.join(short) or 'none'}.")
    for reason in dict.fromkeys(one.lacking or "" for one in timed if one.record is None):
        labels = ", ".join(one.row.label for one in timed if one.record is None and (one.lacking or "") == reason)
        notes.append(f"{DASH} {labels}: {reason or 'not measured yet (make bench)'}.")
    return notes


def operator_table(timed: list[Timed], device: Device) -> Table:
    """Where the time goes, by kind of operator, in the rows that torch runs operator by operator."""
    found = [(one, one.metric("operators")) for one in timed if one.metric("operators")]
    kinds = sorted(
        {kind for _, shares in found for kind in shares},
        key=lambda kind: (-max(s.get(kind, 0) for _, s in found), kind),
    )
    frame = pd.DataFrame(
        [
            {"label": one.row.label, **shares, "bench_run_id": one.record.run_id if one.record else None}
            for one, shares in found
        ],
        columns=["label", *kinds, "bench_run_id"],
    ).assign(device=str(device))
    shown = pd.DataFrame(
        {
            "row": frame["label"],
            **{
                f"{kind} %": [number_text(100 * shares.get(kind, 0), "{:.1f}") for _, shares in found] for kind in kinds
            },
        }
    )
    notes = [
        f"{device}, torch's profiler, self time on the CPU over three calls after the timed rounds; products include a "
        "GELU and a bias that are computed with them, copies the bias that an eager product begins with.",
        *([f"{origin([one.record for one, _ in found if one.record])}.".capitalize()] if found else []),
    ]
    found_in = sources({f"{kind} %": kind for kind in kinds}, BENCH)
    return Table("operators", "Where the time goes, by kind of operator", frame, shown, notes, sources=found_in)


def deployed_table(bench: Bench, store: Store) -> Table:
    """What a back-end and its precision do to the result."""
    found = [(one, store.find(one.identity)) for one in deployments(bench, open_catalog())]
    first = found[0][1]
    rows, shown = [], []
    for one, record in found:
        interval = ap_interval(record.metrics) if record else None
        paired = paired_difference(record.metrics, first.metrics) if record and first and record is not first else None
        error = record.metrics["heatmaps_relative_error"] if record else None
        ap = 100 * record.metrics["ap"] if record else None
        rows.append(
            {
                "backend": one.row.backend,
                "precision": one.row.precision,
                "ap": ap,
                "ap_minus_first": paired and 100 * paired.value,
                "ap_minus_first_low": paired and 100 * paired.low,
                "ap_minus_first_high": paired and 100 * paired.high,
                "heatmaps_relative_error": error,
                "deployed_run_id": record.run_id if record else None,
            }
        )
        shown.append(
            {
                "back-end": one.row.backend,
                "precision": one.row.precision,
                "AP (nano tier)": DASH
                if ap is None or interval is None
                else f"{ap:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]",
                "AP minus the first row's": DASH
                if paired is None
                else f"{100 * paired.value:+.2f} [{100 * paired.low:+.2f}, {100 * paired.high:+.2f}]",
                "error of heatmaps": number_text(error, "{:.1e}"),
            }
        )
    records = [record for _, record in found if record is not None]
    notes = [f"{bench.deployed.model} on {bench.data}, ground-truth boxes, flip test, paired bootstrap of images."]
    notes.append("Error of heatmaps: ‖a − b‖ / ‖b‖ over 32 people, b by torch in fp32.")
    notes += [f"{origin(records).capitalize()}."] if records else []
    title, frame = "Back-ends: what they do to the result", pd.DataFrame(rows)
    return Table("backends", title, frame, pd.DataFrame(shown), notes, sources=sources(DEPLOYED_KEYS, DEPLOYED))
