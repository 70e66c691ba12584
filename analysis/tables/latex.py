"""A table as LaTeX: a float with caption, booktabs rules and its notes. Plain ASCII, so that every engine takes it."""

from __future__ import annotations

import re

from analysis.tables.tables import Table

PREAMBLE = r"% needs \usepackage{booktabs,graphicx}"
NARROW = 9
"""A table of more columns is scaled to the width of the text."""

# one pass over the text, so that what one replacement writes is never escaped by another
SYMBOLS = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$",
    "|": "$|$",
    "α": r"$\alpha$", "Δ": r"$\Delta$", "σ": r"$\sigma$", "ρ": r"$\rho$", "±": r"$\pm$", "×": r"$\times$",
    "·": r"$\cdot$", "→": r"$\rightarrow$", "≤": r"$\leq$", "≥": r"$\geq$", "≈": r"$\approx$", "−": "$-$", "–": "--",
    "—": "---", "…": r"\dots{}", "†": r"\dag{}", "‡": r"\ddag{}", "°": r"$^\circ$", "“": "``", "”": "''", "’": "'",
    "é": r"\'e", "ö": r"\"o", "ü": r"\"u", "ä": r"\"a", "\N{NO-BREAK SPACE}": "~",
    **{mark: rf"\textsuperscript{{{digit}}}" for digit, mark in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
}  # fmt: skip
NO_LABEL = re.compile(r"[^A-Za-z0-9.:-]")
MINUS = re.compile(r"(?<![\w.])-(?=\d)")


def latex(table: Table) -> str:
    """Return a `table` environment: caption, tabular with booktabs rules, and what has to be known to read it."""
    columns = len(table.shown.columns)
    rows = [" & ".join(map(escape, row)) + r" \\" for row in table.shown.astype(str).to_numpy().tolist()]
    header = " & ".join(escape(str(name)) for name in table.shown.columns) + r" \\"
    if table.below:
        rows.insert(len(rows) - table.below, r"\midrule")
    tabular = [rf"\begin{{tabular}}{{l{'r' * (columns - 1)}}}", r"\toprule", header, r"\midrule", *rows]
    tabular += [r"\bottomrule", r"\end{tabular}"]
    if columns > NARROW:
        tabular = [r"\resizebox{\linewidth}{!}{%", *tabular, "}"]
    notes = [rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize\raggedright {escape(n)}}}" for n in table.footer]
    title = [rf"\caption{{{escape(table.title)}}}", rf"\label{{tab:{NO_LABEL.sub('-', table.id)}}}"]
    whole = [PREAMBLE, r"\begin{table}", r"\centering", *title, *tabular, *notes, r"\end{table}"]
    return "\n".join(whole) + "\n"


def escape(text: str) -> str:
    """Return text as LaTeX in ASCII; a minus before a number is one. Another character is named by its code point."""
    escaped = "".join(
        SYMBOLS.get(one) or (one if " " <= one <= "~" else f"[U+{ord(one):04X}]") for one in MINUS.sub("−", text)
    )
    # a bracket or star that starts a line would be read as the option of the line break before it
    return f"{{}}{escaped}" if escaped.lstrip().startswith(("[", "*")) else escaped
