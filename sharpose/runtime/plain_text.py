"""Text that shows, and does nothing else: on a terminal, in a table, in an encoding that lacks the field's symbols."""

from __future__ import annotations

import codecs
import re
import sys
import unicodedata
from collections.abc import Collection, Sequence

# control and format characters (some reverse the text around them), halves of characters
UNSEEN = ("Cc", "Cf", "Cs")
# what the tables and messages are written with, for encodings without it
SPELLED = str.maketrans(
    {
        **dict.fromkeys("─━–—−‐‑", "-"), "│": "|", "…": "...", "×": "x", "·": "*", "±": "+/-", "→": "->", "≤": "<=",
        "≥": ">=", "≈": "~", "†": "+", "‡": "++", "“": '"', "”": '"', "’": "'", "‘": "'", "α": "alpha", "Δ": "delta ",
        **{mark: f"^{digit}" for digit, mark in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
        **dict(zip("▁▂▃▄▅▆▇█●", "_.,-=+*#o", strict=True)),
        "σ": "sigma", "ρ": "rho", "λ": "lambda", "°": " deg",
    }
)  # fmt: skip
HANDLER = "sharpose.spelled"


def printable(text: str) -> str:
    r"""Return the text with every control or format character, but line ends and tabs, as a visible escape (`\x1b`)."""
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(map(seen, text))


def seen(character: str) -> str:
    """Return a character, or the escape that stands for one that cannot be seen."""
    if character in "\n\t" or unicodedata.category(character) not in UNSEEN:
        return character
    return character.encode("unicode_escape").decode()


def one_line(text: str) -> str:
    """Put a text into one line: line ends and tabs become single spaces."""
    return printable(re.sub(r"\s*[\n\r\t\v\f\x1c-\x1e\x85\u2028\u2029]+\s*", " ", text).strip())


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Return rows of cells as lines whose columns lie under each other; those of the numbers in `right` end alike."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    formats = [f"{'>' if number in right else '<'}{width}" for number, width in enumerate(widths)]
    return ["  ".join(map(format, row, formats)).rstrip() for row in rows]


def prepare_streams() -> None:
    """Let standard output and error spell out what their encoding lacks, instead of failing."""
    codecs.register_error(HANDLER, spelled)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=HANDLER)


def spelled(error: UnicodeError) -> tuple[str, int]:
    """Return what to write instead of characters that an encoding lacks: a spelling, the bare letter, or an escape.

    Raises `error` again where it is not of encoding.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(map(spelling, lacking)), error.end


def spelling(character: str) -> str:
    """Return a character in ASCII."""
    for text in (character.translate(SPELLED), unicodedata.normalize("NFKD", character)):
        # accents that stand alone are dropped
        bare = "".join(each for each in text if not unicodedata.combining(each))
        if bare.isascii() and bare:
            return bare
    return character.encode("ascii", "backslashreplace").decode()
