"""From a spec and the store to a table: ours beside the paper's.

A cell is a measurement or a dash. A column never mixes devices or data sets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.cost.counters import COUNTS, DIFFERENCES, counter_frame, counter_shown, counter_text
from analysis.cost.tokens import token_frame, token_origin, token_shown
from analysis.tables.columns import Context, Source, printed_columns, raw_numbers
from analysis.tables.footers import DASH, cost_text, footer_of_rows, missing_text
from analysis.tables.lines import Line, pick_device, read_lines, refuse_mixtures
from analysis.tables.trainings import compared_first, race_text, title
from experiments.cells.cells import cells
from experiments.cells.provenance import Device
from experiments.spec.catalog import Catalog, open_catalog
from experiments.spec.reading import load_specs
from experiments.spec.spec import LoadedSpec
from results.store import Store

if TYPE_CHECKING:
    from analysis.gate.gate_table import GateCurve

SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Table:
    """A table as raw numbers and as it is printed.

    `frame`: raw numbers, one row per spec row, for CSV and notebooks. `shown`: as text under printed headers. `footer`:
    what has to be known to read it. `curves`: of kind gate, what its figure shows of every row. `sources`: what stands
    behind a printed column, by its header. `computed`: of a kind that measures nothing, what each printed row follows
    from. `below`: so many rows, the last, stand below a line, as they cannot be compared.
    """

    id: str
    title: str
    frame: pd.DataFrame
    shown: pd.DataFrame
    footer: list[str]
    curves: tuple[GateCurve, ...] = ()
    sources: dict[str, Source] = field(default_factory=dict)
    computed: tuple[dict[str, Any], ...] = ()
    below: int = 0


def build_tables(
    names: Iterable[str | Path] = (), *, tier: str = "nano", device: str = "cpu", store: Store | None = None
) -> list[Table]:
    """Return the tables of `names`, from the store alone. `device`: cpu or cuda (this machine's), or a stored name.

    Raises SpecError or StoreError with one line for anything that is wrong with specs, records or the choice.
    """
    store = store or Store()
    catalog = open_catalog(tier)
    chosen = pick_device(device, store)
    return [build(loaded, catalog, chosen, store) for loaded in load_specs(names, tier)]


def build(loaded: LoadedSpec, catalog: Catalog, device: Device, store: Store) -> Table:
    """Return one table at a tier, with the speeds of one device."""
    lines = read_lines(loaded, cells(loaded, catalog, device), store)
    refuse_mixtures(loaded, lines)
    return BUILDERS[loaded.spec.kind](loaded, lines, catalog, device, store)


def build_rows(loaded: LoadedSpec, lines: list[Line], catalog: Catalog, device: Device, store: Store) -> Table:
    """Return a line per row of the spec."""
    lines, below = compared_first(lines, catalog.tier.starts)
    table = Context(loaded, lines, catalog, device)
    noted = [line for line in lines if line.row.note]
    marks = {line.row.label: f" {superscript(number)}" for number, line in enumerate(noted, 1)}
    shown = {loaded.spec.row_header: [line.row.label + marks.get(line.row.label, "") for line in lines]}
    sources: dict[str, Source] = {}
    for column in printed_columns(table):
        texts = [column.text(line) for line in lines]
        if any(texts) or not column.optional:
            shown[column.header] = [text or DASH for text in texts]
            if column.source is not None:
                sources[column.header] = column.source
    frame = pd.DataFrame([raw_numbers(table, index) for index in range(len(lines))])
    footer = [f"{superscript(number)} {line.row.note}" for number, line in enumerate(noted, 1)]
    footer += footer_of_rows(loaded, lines, below, catalog, device, store)
    heading = title(loaded, lines, catalog)
    return Table(loaded.id, heading, frame, pd.DataFrame(shown), footer, sources=sources, below=below)


def build_gate(loaded: LoadedSpec, lines: list[Line], catalog: Catalog, device: Device, store: Store) -> Table:
    """Return a line per row and quality threshold."""
    # scipy and pycocotools take a second to load, which the other tables need not wait for
    from analysis.gate import gate_table
    from analysis.tables import held_out

    curves = gate_table.gate_curves(loaded, lines, store)
    shown = gate_table.gate_shown(loaded, curves, catalog.name)
    footer = gate_table.gate_footer(loaded, lines, curves)
    footer += held_out.held_out_text(loaded, lines, catalog.name, store)
    footer += race_text(loaded, lines, catalog, 0)
    sources = {header: Source(*source) for header, source in gate_table.gate_sources(catalog.name).items()}
    heading = title(loaded, lines, catalog)
    return Table(loaded.id, heading, gate_table.gate_frame(curves), shown, footer, tuple(curves), sources)


def build_tokens(loaded: LoadedSpec, lines: list[Line], catalog: Catalog, device: Device, store: Store) -> Table:
    """Return a line per row, of its tokens; the raw numbers have one per block."""
    frame, notes = token_frame(loaded), list(loaded.spec.notes)
    shown, origin = token_shown(loaded, frame), token_origin(loaded)
    return Table(loaded.id, loaded.spec.title, frame, shown, notes, computed=origin)


def build_counters(loaded: LoadedSpec, lines: list[Line], catalog: Catalog, device: Device, store: Store) -> Table:
    """Return a line per row and stage."""
    frame = counter_frame(lines)
    footer = [*counter_text(frame), *cost_text(lines), *missing_text(lines), *loaded.spec.notes]
    sources = {header: Source(key, "cost") for key, header in {**COUNTS, **DIFFERENCES}.items()}
    return Table(loaded.id, loaded.spec.title, frame, counter_shown(loaded, frame, DASH), footer, sources=sources)


BUILDERS = {"rows": build_rows, "gate": build_gate, "tokens": build_tokens, "counters": build_counters}


def superscript(number: int) -> str:
    """Return the mark of a row's note."""
    return str(number).translate(SUPERSCRIPTS)
