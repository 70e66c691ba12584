"""A table as text: for a terminal, Markdown, CSV of the raw numbers, LaTeX, JSON."""

from __future__ import annotations

import io
import shutil
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from analysis.tables.latex import latex
from analysis.tables.markdown import markdown_table, plain_text
from analysis.tables.tables import Table
from experiments.spec.catalog import EMBEDDED, tier_folder
from experiments.spec.spec import FOLDER
from experiments.spec.yamlfile import SpecError
from results.records import StoreError
from results.store import ROOT, write

Format = Literal["text", "markdown", "csv", "latex"]
FORMATS: tuple[Format, ...] = ("text", "markdown", "csv", "latex")
GAP = 3
"""What a column needs beside its text."""
BELOW = "not in the comparison"
"""What Markdown, whose tables know no line, says above rows that stand below one."""
SUFFIXES: dict[Format, str] = {"text": "txt", "markdown": "md", "csv": "csv", "latex": "tex"}
# also as wide as a Chinese character, as some spreadsheets take them
FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
LOCAL_CSV = ROOT / "local" / "csv"


def render(table: Table, form: Format = "text", width: int | None = None) -> str:
    """Return a table as text for a terminal, Markdown, CSV of the raw numbers, or LaTeX (booktabs).

    Raises SpecError for another format.
    """
    if form == "csv":
        return table.frame.map(no_formula).to_csv(index=False, float_format="%.10g", lineterminator="\n")
    if form == "markdown":
        return markdown(table)
    if form == "latex":
        return latex(table)
    if form != "text":
        raise SpecError(f"format {form!r} is not known; use one of {', '.join(FORMATS)}")
    return text_of(table, width or shutil.get_terminal_size((140, 24)).columns)


def no_formula(value: Any) -> Any:
    """Return a cell of a CSV; a text that a spreadsheet would compute is marked as text, by an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def markdown(table: Table) -> str:
    """Return the table under its title in bold, with its footer as a list."""
    header, *rows = (
        [plain_text(cell) for cell in row] for row in (list(table.shown.columns), *table.shown.to_numpy().tolist())
    )
    lines = markdown_table(header, rows)
    if table.below:
        lines.insert(len(lines) - table.below, f"| *{BELOW}* |" + " |" * (len(header) - 1))
    footer = [f"- {plain_text(line)}" for line in table.footer]
    return "\n".join([f"**{plain_text(table.title)}**", "", *lines, "", *footer]) + "\n"


def text_of(table: Table, width: int) -> str:
    """Return the table, in as many blocks of columns as `width` asks for, and its footer."""
    page = io.StringIO()
    console = Console(file=page, width=width, force_terminal=False, color_system=None, highlight=False)
    for number, columns in enumerate(blocks(table, width)):
        grid = RichTable(
            title=Text(table.title + (" (more columns)" if number else "")),
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        shown = table.shown[columns]
        rooms = widths(table, columns, width)
        for place, (header, room) in enumerate(zip(columns, rooms, strict=True)):
            grid.add_column(Text(header), justify="left" if place == 0 else "right", width=room)
        for place, row in enumerate(shown.itertuples(index=False)):
            if table.below and place == len(shown) - table.below:
                grid.add_row(*("─" * room for room in rooms))
            grid.add_row(*(Text(str(cell), no_wrap=True) for cell in row))
        console.print(grid)
    for line in table.footer:
        console.print(Text(line))
    return page.getvalue()


def blocks(table: Table, width: int) -> list[list[str]]:
    """Return the headers of each block: the labels, then as many columns as fit. What is compared stays together."""
    labels, *others = map(str, table.shown.columns)
    groups: list[list[str]] = []
    for header in others:
        if groups and ("(paper)" in header or "Δ" in header):
            groups[-1].append(header)
        else:
            groups.append([header])
    blocks = [[labels]]
    for group in groups:
        if len(blocks[-1]) > 1 and sum(map(partial(narrowest, table), [*blocks[-1], *group])) > width:
            blocks.append([labels])
        blocks[-1] += group
    return blocks


def widths(table: Table, headers: list[str], width: int) -> list[int]:
    """Return column widths at which every cell is whole and headers take as few lines as fit into `width`."""
    narrow = [narrowest(table, header) - GAP for header in headers]
    for lines in range(1, max(len(header.split()) for header in headers)):
        found = [broken(header, least, lines) for header, least in zip(headers, narrow, strict=True)]
        if sum(found) + GAP * len(found) <= width:
            return found
    return narrow


def broken(header: str, least: int, lines: int) -> int:
    """Return the smallest width, from `least` on, at which a header takes at most so many lines."""
    return next(width for width in range(least, len(header) + least + 1) if len(wrap(header, width)) <= lines)


def narrowest(table: Table, header: str) -> int:
    """Return the width of a column whose header is broken between all words, with the space around it."""
    return max(len(text) for text in [*header.split(), *map(str, table.shown[header])]) + GAP


def as_dict(table: Table) -> dict[str, Any]:
    """Return raw numbers, and the text under the table, for `--json`."""
    rows = table.frame.astype(object).where(table.frame.notna(), None).to_dict("records")
    return {"id": table.id, "title": table.title, "rows": rows, "footer": table.footer}


def csv_folder(spec: Path, tier: str = EMBEDDED) -> Path:
    """Return where the raw numbers of a spec's table go: of ours to results/local, of a user's own beside it.

    The published ones in results/csv are written by `sharpose export` alone. Those of other tiers than the embedded one
    lie in folders of their own.
    """
    return tier_folder(LOCAL_CSV if spec.resolve().parent == FOLDER else spec.parent, tier)


def write_csv(table: Table, folder: Path) -> Path:
    """Write the raw numbers to `folder`/<table>.csv, whole or not at all.

    Raises StoreError where that cannot be written, or is a file of something else.
    """
    path, text = folder / f"{table.id}.csv", render(table, "csv")
    if path.is_file() and not starts_alike(path, text):
        raise StoreError(f"{path}: not written over, as it is no table of ours; move it, or rename the spec")
    return write(path, text.encode())


def starts_alike(path: Path, text: str) -> bool:
    """Return whether a file begins with the same column as a table. Raises StoreError where it cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline(1000).strip().split(",")[0] == text.split("\n")[0].split(",")[0]
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from None
