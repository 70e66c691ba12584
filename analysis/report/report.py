"""The report: one HTML file, from the store and the stored examples alone, that needs no network and no server."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis.figures.captions import CAPTIONS
from analysis.figures.gallery import load_gallery
from analysis.report.opening import opening
from analysis.tables.bench import bench_tables
from analysis.tables.footers import DASH
from analysis.tables.frontier import points
from analysis.tables.lines import most_timed, stored_devices
from analysis.tables.tables import Table, build_tables
from experiments.cells.provenance import local_device, provenance
from experiments.spec.catalog import EMBEDDED, examples_folder, tier_folder
from experiments.spec.spec import paper_first
from results.records import Record
from results.store import ROOT, Store, write

TEMPLATES = Path(__file__).parent / "templates"
REPORT = ROOT / "report.html"
FIGURES = ROOT / "figures"
OPENED = "table6a"
"""The table that is not folded away at first."""
LONG = 100
GALLERY_COST = ("SHaRPose", [256, 192], 768)
"""The paper-size model whose multiply-adds the gallery shows: system, picture size, width."""


def save_report(out: Path | None = None, *, tier: str = "nano", store: Store | None = None) -> Path:
    """Write the report to `out` (results/report.html by default, report-photos.html …), whole or not at all."""
    own = REPORT if tier == EMBEDDED else REPORT.with_stem(f"{REPORT.stem}-{tier}")
    return write(out or own, report(tier=tier, store=store).encode())


def report(*, tier: str = "nano", store: Store | None = None) -> str:
    """Return the HTML. Raises StoreError or SpecError with one line for what is wrong with store, specs or examples."""
    store = store or Store()
    devices = [str(device) for device in stored_devices(store, "throughput", "bench")]
    by_device = [all_tables(tier, device, store) for device in devices or ["cpu"]]
    frames = [points(tables) for tables in by_device]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    records = store.records()
    return environment.get_template("report.html").render(
        tier=tier,
        opening=opening(),
        opened=OPENED,
        devices=devices,
        device=next((devices.index(str(one)) for one in most_timed(store)), 0),
        tables=[(same[0], list(map(table_context, same))) for same in zip(*by_device, strict=True)],
        figures=figures({table.id: table.title for table in by_device[0]}, tier_folder(FIGURES, tier)),
        records=sorted(records, key=lambda one: (one.measure, one.spec, one.row)),
        dash=DASH,
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES / "report.js").read_text(encoding="utf-8")),
        data=embedded(
            {
                "points": json.loads(pd.concat(frames).drop_duplicates().to_json(orient="records")),
                "titles": {table.id: table.title for table in by_device[0]},
                "records": {record.run_id: facts(record) for record in records},
                "computed": computed(by_device[0]),
                "gallery": gallery(tier),
                "costs": gallery_costs(records),
            }
        ),
    )


def all_tables(tier: str, device: str, store: Store) -> list[Table]:
    """Return every table of a device: the paper's, then those of its figures, then our own."""
    tables = [*build_tables(tier=tier, device=device, store=store), *bench_tables(device=device, store=store)]
    return sorted(tables, key=lambda table: paper_first(table.id))


def table_context(table: Table) -> dict[str, Any]:
    """Return headers, rows of cells (text, number to sort by, run id) and notes; the caption names the device."""
    labels, *headers = [str(header) for header in table.shown.columns]
    rows = [
        {
            "label": table.shown.loc[index, labels],
            "cells": [cell(table, header, index) for header in headers],
            "line": table.below > 0 and index == len(table.shown) - table.below,
        }
        for index in range(len(table.shown))
    ]
    columns = [{"text": header.partition(" on ")[0], "paper": "(paper)" in header} for header in headers]
    timed = any(source.measure in ("throughput", "bench") for source in table.sources.values())
    return {"label_header": labels, "columns": columns, "rows": rows, "footer": table.footer, "timed": timed}


def cell(table: Table, header: str, index: int) -> dict[str, Any]:
    """Return one printed number with what is behind it; a dash has neither number nor run.

    Several runs are separated by spaces.
    """
    text = str(table.shown.loc[index, header])
    if table.computed:
        return {"text": text, "value": None, "run": computed_id(table, index)}
    if text == DASH or header not in table.sources:
        return {"text": text, "value": "" if text == DASH else None, "run": None}
    key, measure = table.sources[header]
    value: Any = table.frame.loc[index, key]
    run = table.frame.loc[index].get(f"{measure}_run_id") if measure else None
    return {"text": text, "value": "" if pd.isna(value) else float(value), "run": run}


def computed_id(table: Table, index: int) -> str:
    """Return what stands for a run id where nothing was measured."""
    return f"{table.id}-{index}"


def computed(tables: Iterable[Table]) -> dict[str, dict[str, Any]]:
    """Return what rows follow from that were computed and not measured, by their ids, with the commit of the code."""
    origin = provenance(local_device("cpu"))
    code = {key: origin[key] for key in ("git_commit", "git_dirty", "utc")}
    return {
        computed_id(table, index): {**facts, "provenance": {**code, **facts["provenance"]}}
        for table in tables
        for index, facts in enumerate(table.computed)
    }


def facts(record: Record) -> dict[str, Any]:
    """Return all that a record says but its long lists of samples and replicates, which are counted."""
    metrics = {key: brief(value) for key, value in record.metrics.items()}
    whose = {"spec": record.spec, "row": record.row, "measure": record.measure, "tier": record.tier}
    folder = f"results/{'published' if record.published else 'local'}/{record.measure}/{record.run_id}.json"
    return {**whose, "file": folder, "provenance": record.provenance, "metrics": metrics, "identity": record.identity}


def brief(value: Any) -> Any:
    """Return a metric, or its size where it is long."""
    if isinstance(value, list | str | dict) and len(value) > LONG:
        return f"{len(value):,} {'characters' if isinstance(value, str) else 'values'}, in the record"
    return value


def gallery(tier: str) -> dict[str, Any]:
    """Return a tier's stored people, the embedded one's where it has none, with crops as data addresses.

    Raises StoreError when a file is missing or damaged.
    """
    own = examples_folder(tier)
    content = load_gallery(own if (own / "gallery.json").exists() else examples_folder(EMBEDDED))
    for person in content["people"]:
        person["picture"] = data_address(person.pop("file"), "image/png")
    return content


def gallery_costs(records: Iterable[Record]) -> dict[str, dict[str, float]]:
    """Return the 1e9 multiply-adds of the paper-size model's coarse and fine stage by α, where they are stored."""
    found = {}
    for record in records:
        model = record.identity.get("model", {})
        named = (model.get("system"), model.get("image_size"), model.get("embed_dim"))
        coarse, fine = (record.metrics.get(f"macs_fvcore_{stage}") for stage in ("coarse", "fine"))
        if record.measure == "cost" and named == GALLERY_COST and coarse and fine:
            found[f"{model['alpha']:.1f}"] = {"coarse": coarse / 1e9, "fine": fine / 1e9}
    return found


def figures(titles: Mapping[str, str], folder: Path = FIGURES) -> list[dict[str, str]]:
    """Return every drawn figure, the lighter of its vector and its picture; `titles` are those of their tables."""
    kinds = {".svg": "image/svg+xml", ".png": "image/png"}
    names = sorted({path.stem for path in folder.glob("*.*") if path.suffix in kinds})
    found = []
    for name in names:
        files = [path for suffix in kinds if (path := folder / f"{name}{suffix}").is_file()]
        lighter = min(files, key=lambda path: path.stat().st_size)
        caption = CAPTIONS.get(name) or titles.get(name) or name
        found.append({"caption": caption, "address": data_address(lighter, kinds[lighter.suffix])})
    return found


def data_address(path: Path, kind: str) -> str:
    """Return a file as a `data:` address of a MIME type, `kind`, so that the page needs no second file."""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def embedded(content: Any) -> Markup:
    """Return JSON that stands inside a script element: no `<` could end it. Raises ValueError for what is no number."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(re.sub("[<\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", text))
