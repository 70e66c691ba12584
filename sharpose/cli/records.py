"""Commands that question a stored number: where it comes from, and whether it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sharpose.cli.app import Device, Json, Tier, app, harness
from sharpose.cli.app import show as print_result
from sharpose.cli.listing import TABLES
from sharpose.cli.tables import Coco, Measures


@app.command(name="show", rich_help_panel=TABLES)
def show_origin(
    cell: Annotated[str, typer.Argument(metavar="TABLE:ROW[:COLUMN]|RUN_ID", help="A cell, or a record's run id.")],
    tier: Tier = "nano",
    device: Device = "cpu",
    coco: Coco = None,
    as_json: Json = False,
) -> None:
    """Where a number comes from: value with interval, weights and their start, data, commit, device, date.

    Rows by their label or its beginning, columns as a spec names them; a run id by its first digits.

    Example: sharpose show "table3:ViTPose-B 256x192:ap"
    """
    origins = origins_of(cell, tier, device, coco)
    text = "\n".join(harness("analysis.tables.origins").lines(origins))
    print_result([one.as_dict() for one in origins], as_json, text)


def origins_of(name: str, tier: str, device: str, coco: Path | None) -> list[Any]:
    """Return what stands behind the cells that a name means."""
    address, telling = harness("experiments.cells.address"), harness("analysis.tables.origins")
    store, spec = harness("results.store").Store(), harness("experiments.spec.reading")
    open_catalog, here = harness("experiments.spec.catalog").open_catalog, harness("analysis.tables.lines")
    chosen = here.pick_device(device, store)
    if not address.is_run_id(name, store):
        catalog = open_catalog(tier, coco)
        found = address.find_cells(name, catalog, chosen)
        (loaded,) = (one for one in spec.load_specs([name.partition(":")[0]], tier) if one.id == found.cells[0].spec)
        heading = telling.heading(loaded, catalog, chosen, store)
        records = [(cell, here.stored_record(cell, store)) for cell in found.cells]
        return [telling.origin(cell, record, loaded, heading, found.column) for cell, record in records]
    record = address.find_record(name, store)
    catalog, specs = open_catalog(address.tier_of(record), coco), spec.load_specs()
    places = address.places_of(record, catalog, chosen, specs)
    if not places:
        return [telling.unplaced(record)]
    (loaded,) = (one for one in specs if one.id == places[0].spec)
    heading = telling.heading(loaded, catalog, chosen, store)
    return [telling.origin(places[0], record, loaded, heading, None, places[1:])]


@app.command(rich_help_panel=TABLES)
def verify(
    what: Annotated[str, typer.Argument(metavar="RUN_ID|TABLE|TABLE:ROW[:COLUMN]", help="What is to be checked.")],
    tier: Tier = "nano",
    device: Device = "cpu",
    coco: Coco = None,
    measures: Measures = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Of many cells, so many; the cheapest first.")] = None,
    as_json: Json = False,
) -> None:
    """Measure stored numbers again and say whether they hold; exit code 1 where one does not. Nothing is stored.

    A cost must be the same; an accuracy within one step of AP's curve, as weights and people are the same; a speed
    within the stored rounds, on the same device alone.

    Example: sharpose verify table8 --measure cost
    """
    verifying = harness("experiments.run.verify")
    checks = verifying.verify(what, tier=tier, device=device, coco=coco, measures=measures, limit=limit)
    print_result([one.as_dict() for one in checks], as_json, "\n".join(verifying.lines(checks)))
    if any(one.verdict == "differs" for one in checks):
        raise typer.Exit(1)
