"""A table as text: for a terminal, Markdown, CSV of the raw numbers, LaTeX, JSON."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from analysis.tables import Table
from experiments.yamlfile import SpecError
from results.store import ROOT, write

Format = Literal["text", "markdown", "csv", "latex"]
FORMATS: tuple[Format, ...] = ("text", "markdown", "csv", "latex")
CSV_FOLDER = ROOT / "csv"


def render(table: Table, form: Format = "text", width: int | None = None) -> str:
    """A table as text for a terminal, Markdown, CSV of the raw numbers, or LaTeX (booktabs)."""
    if form == "csv":
        return table.frame.to_csv(index=False, float_format="%.10g")
    if form == "markdown":
        headers = [str(header) for header in table.shown.columns]
        rows = [headers, ["---"] * len(headers), *table.shown.to_numpy().tolist()]
        lines = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
        return "\n".join([f"**{table.title}**", "", *lines, "", *(f"- {line}" for line in table.footer)]) + "\n"
    if form == "latex":
        styler = table.shown.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1)
        notes = "\n".join(f"% {line}" for line in [table.title, *table.footer])
        return f"{notes}\n{styler.to_latex(hrules=True, column_format='l' + 'r' * (len(table.shown.columns) - 1))}"
    if form != "text":
        raise SpecError(f"format {form!r} is not known; use one of {', '.join(FORMATS)}")
    return text_of(table, width or shutil.get_terminal_size((140, 24)).columns)


def text_of(table: Table, width: int) -> str:
    grid = RichTable(
        title=Text(table.title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for number, header in enumerate(table.shown.columns):
        grid.add_column(Text(str(header)), justify="left" if number == 0 else "right", overflow="fold")
    for row in table.shown.itertuples(index=False):
        grid.add_row(*(Text(str(cell), no_wrap=True) for cell in row))
    page = io.StringIO()
    console = Console(file=page, width=width, force_terminal=False, color_system=None, highlight=False)
    console.print(grid)
    for line in table.footer:
        console.print(Text(line))
    return page.getvalue()


def as_dict(table: Table) -> dict[str, Any]:
    """For `--json`: raw numbers, and the text under the table."""
    rows = table.frame.astype(object).where(table.frame.notna(), None).to_dict("records")
    return {"id": table.id, "title": table.title, "rows": rows, "footer": table.footer}


def write_csv(table: Table, folder: Path = CSV_FOLDER) -> Path:
    """The raw numbers to `folder`/<table>.csv, whole or not at all."""
    return write(folder / f"{table.id}.csv", render(table, "csv").encode())
