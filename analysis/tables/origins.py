"""Where a number comes from: its place in a table, what determines it, and the files, code and machine behind it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.tables.cell_text import AMOUNTS, score_text
from analysis.tables.footers import DASH, people_text, span
from analysis.tables.lines import read_lines
from analysis.tables.manifests import read_training
from analysis.tables.trainings import title
from experiments.cells.cells import PAPER_SIZE, Cell, cells
from experiments.cells.provenance import Device
from experiments.spec.catalog import EMBEDDED, Catalog, brief
from experiments.spec.columns import SCORES
from experiments.spec.spec import LoadedSpec
from results.records import Record
from results.store import Store

DIGESTS = ("annotations_sha256", "pictures_sha256", "boxes_sha256")
PACKAGES = ("python", "torch", "numpy", "opencv-python-headless", "pycocotools")


@dataclass(frozen=True)
class Origin:
    """What is known of one cell, in `facts` by a word, and its metrics with the paper's; dashes without a record."""

    place: str
    run_id: str | None
    values: dict[str, dict[str, Any]]
    facts: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for `--json`."""
        return {"place": self.place, "run_id": self.run_id, "values": self.values, **self.facts}


def heading(loaded: LoadedSpec, catalog: Catalog, device: Device, store: Store) -> str:
    """Return the title of a spec's table at a tier, as it is printed."""
    return title(loaded, read_lines(loaded, cells(loaded, catalog, device), store), catalog)


def origin(
    cell: Cell,
    record: Record | None,
    loaded: LoadedSpec,
    heading: str,
    column: str | None = None,
    others: Sequence[Cell] = (),
) -> Origin:
    """Return the origin of a cell's number; of the metric that `column` names, or of all.

    heading: the title of its table. others: further cells that it fills.
    """
    (row,) = (row for row in loaded.spec.rows if row.label == cell.row)
    papers = row.paper.model_dump()
    values = {name: {"text": text, "paper": papers.get(name)} for name, text in texts(cell, record, column)}
    facts = {"table": heading, "asked for": asked_for(cell, loaded.settings(row).model)}
    if record is None:
        facts |= {"not stored": cell.blocked or "not measured yet", "measure it": run_command(cell)}
    else:
        facts |= {**dict(determined_by(cell, record)), **dict(made_by(record))}
        facts["again"] = f"sharpose verify {record.run_id} (compares), {run_command(cell)} --again (stores)"
        facts |= {"stands also in": "; ".join(dict.fromkeys(one.name for one in others))} if others else {}
    return Origin(cell.name, cell.run_id, values, facts)


def unplaced(record: Record) -> Origin:
    """Return the origin of a record that no table asks for: a benchmark, or what specs or weights left behind."""
    metrics = {name: value for name, value in record.metrics.items() if isinstance(value, int | float)}
    values = {name: {"text": f"{value:g}", "paper": None} for name, value in metrics.items()}
    facts = {"not in a table": "no cell of a table has this number now", **dict(made_by(record))}
    return Origin(f"{record.spec} {record.row}: {record.measure}", record.run_id, values, facts)


def texts(cell: Cell, record: Record | None, column: str | None) -> Iterator[tuple[str, str]]:
    """Yield the metrics that a column means, or all of a measure, as tables print them."""
    if record is None:
        yield column or cell.measure, DASH
        return
    metrics = record.metrics
    # the mean over trainings is made of the AP of each
    named = "ap" if column == "ap_seeds" else column
    if cell.measure == "accuracy":
        names = [named] if named in SCORES else [name for name in SCORES if metrics.get(name) is not None]
        for name in names:
            yield name, score_text(record, name) or DASH
        if metrics.get("refine_rate") is not None:
            yield "refined", f"{100 * metrics['refine_rate']:.1f} %"
    elif cell.measure == "cost":
        for name in [named] if named in AMOUNTS else AMOUNTS:
            yield name, f"{metrics[AMOUNTS[name].metric] / AMOUNTS[name].scale:.3f}{AMOUNTS[name].unit}"
    elif cell.measure == "throughput":
        yield "images_per_s", f"{metrics['images_per_s']:#.4g} (rounds took {span(metrics['samples_ms'])} ms)"
        if metrics.get("reference_images_per_s"):
            reference = metrics["reference_run_id"]
            yield "speed", f"{metrics['images_per_s'] / metrics['reference_images_per_s']:.3f} of run {reference}"
    else:
        yield "people", f"{metrics['people']:,}"


def asked_for(cell: Cell, model: str) -> str:
    """Return the measure and the model, and for which of the paper's it stands."""
    where = "at every tier" if cell.tier == PAPER_SIZE else f"tier {cell.tier}"
    stands = "" if model == cell.model else f", which stands for {model}"
    options = ", ".join(f"{name} {value}" for name, value in cell.options.items())
    return f"{cell.measure}, {where}, of {cell.model}{stands}" + (f" ({options})" if options else "")


def determined_by(cell: Cell, record: Record) -> Iterator[tuple[str, str]]:
    """Yield weights and their start, people, boxes and digests of the files; or how a speed is measured."""
    identity, metrics = record.identity, record.metrics
    if cell.weights is not None:
        yield "weights", f"{brief(cell.weights)}, sha256 {identity['weights_sha256']}"
        made = read_training(cell.weights)
        yield "began with", made.started_from
        yield "crops seen", f"{made.crops:,}"
    if cell.dataset is not None:
        boxes = "annotated boxes" if cell.boxes == "ground-truth" else "detected boxes"
        flip = "with" if cell.flip_test else "without"
        yield "people", f"{cell.dataset} ({people_text(metrics)}), {boxes}, {flip} flip test"
    for name in DIGESTS:
        if metrics.get(name):
            yield name.replace("_", " "), str(metrics[name])
    if record.measure == "throughput":
        keys = ("batch_size", "precision", "mode", "scope", "refine_rate")
        yield "timed", ", ".join(f"{key} {identity[key]}" for key in keys if key in identity)


def made_by(record: Record) -> Iterator[tuple[str, str]]:
    """Yield code, machine and time."""
    made = record.provenance
    changed = made.get("git_dirty")
    dirty = ", changes unknown" if changed is None else ", with changes that are in no commit" if changed else ""
    yield "record", f"{record.run_id}, {'published' if record.published else 'of this machine'}"
    yield "commit", f"{made.get('git_commit') or 'not noted'}{dirty}"
    took = f", took {made['seconds']:,.0f} s" if "seconds" in made else ""
    yield "measured", f"{made.get('utc', 'not noted')} on {made.get('device', 'a device not noted')}{took}"
    versions = made.get("versions", {})
    yield "versions", ", ".join(f"{name} {versions[name]}" for name in PACKAGES if name in versions)
    yield "by", str(made.get("command", "not noted"))


def run_command(cell: Cell) -> str:
    """Return how the harness measures a cell."""
    tier = [] if cell.tier in (EMBEDDED, PAPER_SIZE) else ["--tier", cell.tier]
    return shlex.join(["sharpose", "run", cell.spec, "--measure", cell.measure, *tier])


def lines(origins: Sequence[Origin]) -> list[str]:
    """Return a paragraph for each cell, for people."""
    text: list[str] = []
    for one in origins:
        text += [one.place]
        room = max(map(len, one.facts))
        for name, value in one.values.items():
            paper = "" if value["paper"] is None else f"  (paper: {value['paper']:g})"
            text.append(f"  {name:{room}}  {value['text']}{paper}")
        text += [f"  {word:{room}}  {said}" for word, said in one.facts.items()] + [""]
    return text[:-1]
