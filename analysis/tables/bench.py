"""Speeds of systems, back-ends and peers from the store, as tables and a figure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from analysis.tables.cell_text import interval_of, speed_text
from analysis.tables.columns import Source
from analysis.tables.footers import APART, DASH, marks_text, origin
from analysis.tables.lines import grouped, pick_device, stored_devices
from analysis.tables.raw import with_keys
from analysis.tables.statistics import paired_difference, spread_text, value_and_ends
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
    *("matmul_macs_per_s", "copy_bytes_per_s"),
)
"""Metrics of a record that go into the CSV."""
KIND_TITLES = {"products": "matmuls"}
"""How kinds of operators are printed, where records have another word."""


@dataclass(frozen=True)
class Timed:
    """A row and its record, and that of the row it is set against; None where there is none."""

    row: BenchRow
    record: Record | None
    other: Record | None
    lacking: str | None
    batch_size: int

    def metric(self, key: str) -> Any:
        """Return a metric of the record; None where there is no record, or it lacks the metric."""
        return None if self.record is None else self.record.metrics.get(key)

    @property
    def run_id(self) -> str | None:
        """Return the id of the record, if there is one."""
        return None if self.record is None else self.record.run_id

    @property
    def ratio(self) -> float | None:
        """Return how many times as fast per image it is as the row it is set against; None where one has no speed."""
        return None if self.record is None or self.other is None else times_as_fast(self.record, self.other)

    @property
    def apart(self) -> bool:
        """Return whether both have a speed, and were not timed in one session."""
        return self.record is not None and self.other is not None and not together(self.record, self.other)


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
    keyed = []
    for same in speeds:
        timed = pd.concat([table.frame.dropna(subset="bench_run_id") for table in same], ignore_index=True)
        keyed.append(replace(same[0], frame=with_keys("bench", timed, models)))
    frame = deployed[0].frame
    rows = "backends: " + frame["backend"] + " " + frame["precision"]
    return [*keyed, replace(deployed[0], frame=frame.assign(row_id=rows, model=load_bench().deployed.model))]


def read_timed(bench: Bench, device: Device, store: Store) -> list[Timed]:
    """Return every row of the spec with its stored record on `device`, if there is one."""
    asked = timings(bench, open_catalog(), device)
    found = {one.row.label: store.find(one.identity) for one in asked}
    return [
        Timed(
            one.row,
            found[one.row.label],
            found.get(one.row.against or ""),
            one.lacking,
            one.row.batch_size or bench.batch_size,
        )
        for one in asked
    ]


def speed_table(bench: Bench, timed: list[Timed], device: Device) -> Table:
    """Return the table of speeds, with the column of energy only where some row has it."""
    frame = pd.DataFrame([raw_numbers(one) for one in timed]).assign(device=str(device))
    shown = pd.DataFrame([{header: text(one) for header, (_, text) in SPEEDS.items()} for one in timed])
    if not any(one.metric("joules_per_image") for one in timed):
        shown = shown.drop(columns="J/image")
    keys = {header: key for header, (key, _) in SPEEDS.items() if key is not None}
    notes = [*speed_notes(timed, device), *bench.notes]
    return Table("bench", bench.title, frame, shown, notes, sources=sources(keys, BENCH))


def sources(keys: Mapping[str, str], measure: str) -> dict[str, Source]:
    """Return where printed columns come from, by header: all from records of one measure."""
    return {header: Source(key, measure) for header, key in keys.items()}


def raw_numbers(one: Timed) -> dict[str, Any]:
    """Return a row's facts and metrics under the names of the CSV; None for what was not measured."""
    names = ("label", "model", "backend", "precision", "scope", "against", "wanted")
    facts = {name: getattr(one.row, name) for name in names}
    found = {key: one.metric(key) for key in NUMBERS}
    return {**facts, **found, "ratio": one.ratio, "bench_run_id": one.run_id}


def times_as_fast(ours: Record, theirs: Record) -> float:
    """Return how many times as fast per image one is as another.

    Where both were timed in one session, that is what a record says, or the median over rounds, as neighbours in time
    are loaded alike; else from both medians.
    """
    if ours.metrics.get("reference_run_id") == theirs.run_id:
        return ours.metrics["images_per_s"] / ours.metrics["reference_images_per_s"]
    if not together(ours, theirs):
        return ours.metrics["images_per_s"] / theirs.metrics["images_per_s"]
    mine, other = (one.metrics["batch_size"] for one in (ours, theirs))
    pairs = zip(ours.metrics["samples_ms"], theirs.metrics["samples_ms"], strict=True)
    return statistics.median(second / first * (mine / other) for first, second in pairs)


def together(ours: Record, theirs: Record) -> bool:
    """Return whether two rows were timed in one session."""
    return ours.metrics.get("session") is not None and ours.metrics["session"] == theirs.metrics.get("session")


def latency_text(one: Timed) -> str:
    """Return the percentiles of a batch's latency in milliseconds; a dash if it was not timed."""
    if one.record is None:
        return DASH
    return " / ".join(f"{one.metric(f'latency_ms_{name}'):.0f}" for name in ("p50", "p90", "p99"))


def number_text(value: float | None, form: str, scale: float = 1) -> str:
    """Return a number, times `scale`, in a format such as `{:.0f}`; a dash for None."""
    return DASH if value is None else form.format(scale * value)


# header: the raw number behind it in the report, if there is one, and how it is printed
SPEEDS: dict[str, tuple[str | None, Callable[[Timed], str]]] = {
    "row": (None, lambda one: one.row.label),
    "batch": (None, lambda one: str(one.batch_size)),
    "scope": (None, lambda one: one.row.scope),
    "images/s": ("images_per_s", lambda one: speed_text(one.record) or DASH),
    "against": (None, lambda one: one.row.against or DASH),
    "times its speed": ("ratio", lambda one: number_text(one.ratio, "{:.2f}") + (f" {APART}" if one.apart else "")),
    "wanted": (None, lambda one: number_text(one.row.wanted, "≥ {:g}")),
    "latency p50 / p90 / p99 (ms)": ("latency_ms_p50", latency_text),
    "peak memory (MiB)": ("peak_memory_mib", lambda one: number_text(one.metric("peak_memory_mib"), "{:.0f}")),
    "% of matmul rate": (
        "share_of_matmul_rate",
        lambda one: number_text(one.metric("share_of_matmul_rate"), "{:.0f}", 100),
    ),
    "% of roof": ("share_of_roof", lambda one: number_text(one.metric("share_of_roof"), "{:.0f}", 100)),
    "J/image": ("joules_per_image", lambda one: number_text(one.metric("joules_per_image"), "{:.2f}")),
}


def speed_notes(timed: list[Timed], device: Device) -> list[str]:
    """Return what has to be known to read the speeds."""
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
            f"Matmul rate: a large fp32 matmul in the same rounds, {statistics.median(peaks):.1f} G multiply-adds/s; "
            "roof: the lower of it and what a large copy's bandwidth allows for weights, input and heatmaps. "
            "Multiply-adds are those of the matmuls that are executed; "
            "the rate is that of fp32, so fewer bits show as a higher share."
        )
    notes += marks_text(records)
    if any(one.apart for one in timed):
        notes.append(f"{APART} not timed in one session with the row it is set against.")
    reached = [(one.row.label, one.ratio < one.row.wanted) for one in timed if one.row.wanted and one.ratio is not None]
    if reached:
        notes.append(f"Wanted and not reached: {', '.join(label for label, short in reached if short) or 'none'}.")
    missing = [one for one in timed if one.record is None]
    reasons = grouped((one.row.label, one.lacking or "not measured yet (make bench)") for one in missing)
    return notes + [f"{DASH} {', '.join(labels)}: {reason}." for reason, labels in reasons.items()]


def operator_table(timed: list[Timed], device: Device) -> Table:
    """Return where the time goes, by kind of operator, in the rows that torch runs operator by operator."""
    found = [(one, one.metric("operators")) for one in timed if one.metric("operators")]
    most = pd.DataFrame([shares for _, shares in found]).max().sort_index()
    kinds = list(most.sort_values(ascending=False, kind="stable").index)
    rows = [{"label": one.row.label, **shares, "bench_run_id": one.run_id} for one, shares in found]
    frame = pd.DataFrame(rows, columns=["label", *kinds, "bench_run_id"]).assign(device=str(device))
    shown = frame[["label"]].set_axis(["row"], axis=1)
    headers = {kind: f"{KIND_TITLES.get(kind, kind)} %" for kind in kinds}
    for kind, header in headers.items():
        shown[header] = [number_text(shares.get(kind, 0), "{:.1f}", 100) for _, shares in found]
    notes = [
        f"{device}, torch's profiler, self time on the CPU over three calls after the timed rounds; matmuls include a "
        "GELU and a bias that are computed with them, copies the bias that an eager matmul begins with.",
        *([f"{origin([one.record for one, _ in found if one.record])}.".capitalize()] if found else []),
    ]
    found_in = sources({header: kind for kind, header in headers.items()}, BENCH)
    return Table("operators", "Where the time goes, by kind of operator", frame, shown, notes, sources=found_in)


def deployed_table(bench: Bench, store: Store) -> Table:
    """Return what a back-end and its precision do to the result."""
    found = [(one, store.find(one.identity)) for one in deployments(bench)]
    first, ap = found[0][1], f"AP ({bench.deployed.tier} tier)"
    rows, shown = [], []
    for one, record in found:
        interval = interval_of(record, "ap")
        paired = paired_difference(record.metrics, first.metrics) if record and first and record is not first else None
        error = None if record is None else record.metrics["heatmaps_relative_error"]
        rows.append(
            {
                "backend": one.row.backend,
                "precision": one.row.precision,
                "ap": record and 100 * record.metrics["ap"],
                **value_and_ends("ap_minus_first", paired),
                "heatmaps_relative_error": error,
                "deployed_run_id": record and record.run_id,
            }
        )
        shown.append(
            {
                "back-end": one.row.backend,
                "precision": one.row.precision,
                ap: DASH if interval is None else spread_text(interval, ".1f"),
                "AP minus the first row's": DASH if paired is None else spread_text(paired, "+.2f"),
                "error of heatmaps": number_text(error, "{:.1e}"),
            }
        )
    records = [record for _, record in found if record is not None]
    model, data = bench.deployed.model, bench.deployed.data
    notes = [f"{model} on {data}, ground-truth boxes, flip test, paired bootstrap of images."]
    notes.append("Error of heatmaps: ‖a − b‖ / ‖b‖ over 32 people, b by torch in fp32.")
    notes += [f"{origin(records).capitalize()}."] if records else []
    keys = {
        ap: "ap",
        "AP minus the first row's": "ap_minus_first",
        "error of heatmaps": "heatmaps_relative_error",
    }
    title, frame = "Back-ends: what they do to the result", pd.DataFrame(rows)
    return Table("backends", title, frame, pd.DataFrame(shown), notes, sources=sources(keys, DEPLOYED))
