"""Tables in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# a bracket alone is none of a link, an underscore inside a word no emphasis, a tilde between spaces no line through
MARKUP = re.compile(r"[\\`*|<$]|(?<!\w)_|_(?!\w)|\](?=[(\[])|~(?=\S)|(?<=\S)~|^(?=[#>]|[-+] )")


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, of cells that are Markdown already."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def plain_text(text: object) -> str:
    """Return text that Markdown shows as is: no emphasis, link, code, formula, HTML or end of a cell begins in it."""
    escaped = str(text).replace("&", "&amp;")
    return MARKUP.sub(lambda found: "&lt;" if found[0] == "<" else f"\\{found[0]}", escaped)
