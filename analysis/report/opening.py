"""How the report opens: what was found, its limits, of which paper, and when and from which commit it was made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from experiments.cells.provenance import local_device, provenance
from results.records import StoreError
from results.store import ROOT

README, CITATION = ROOT.parent / "README.md", ROOT.parent / "CITATION.cff"
FINDINGS, LIMITS = "What holds, and what does not", "Limits"
"""Sections of the README that the report begins with, so that both say the same."""
LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")


def opening(readme: Path = README, citation: Path = CITATION) -> dict[str, Any]:
    """Return the header and rows of the findings, the limits, the paper, the date and the commit.

    Raises StoreError where README or CITATION.cff lack them.
    """
    header, _, *rows = [cells(line) for line in section(readme, FINDINGS) if line.startswith("|")] or [[], []]
    limits = " ".join(section(readme, LIMITS)).split("- ")[1:]
    if not rows or not limits:
        raise StoreError(f"{readme}: the table under {FINDINGS!r}, or the list under {LIMITS!r}, is missing")
    origin = provenance(local_device("cpu"))
    commit = str(origin.get("git_commit") or "")[:10] or "not known"
    made = {"date": str(origin["utc"])[:10], "commit": commit, "changed": bool(origin.get("git_dirty"))}
    return {"header": header, "findings": rows, "limits": list(map(plain, limits)), "paper": paper(citation), **made}


def section(path: Path, heading: str) -> list[str]:
    """Return the lines under a heading, up to the next."""
    _, *parts = re.split(r"^## (.+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True)).get(heading, "").splitlines()


def cells(line: str) -> list[str]:
    """Return the cells of a line of a Markdown table, as plain text."""
    return [plain(cell) for cell in line.strip().strip("|").split("|")]


def plain(text: str) -> str:
    """Return text without Markdown's links and emphasis, and without spaces around it."""
    return LINK.sub(r"\1", text).replace("`", "").replace("*", "").strip()


def paper(citation: Path) -> str:
    """Return authors, title, venue and DOI of the paper. Raises StoreError where the file lacks one of them."""
    try:
        content = yaml.safe_load(citation.read_text(encoding="utf-8"))["preferred-citation"]
        names = ", ".join(author["family-names"] for author in content["authors"])
        where = f"{content['collection-title']} {content['volume']} ({content['year']})"
        return f"{names}: {content['title']}. {where}, doi:{content['doi']}"
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        raise StoreError(f"{citation}: preferred-citation lacks {error}") from None
