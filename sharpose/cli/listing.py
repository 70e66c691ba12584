"""How `sharpose --help` lists the commands: in groups, each with an example, in whole sentences."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperGroup

USE, TRAIN, TABLES, TOOLS = "Use a model", "Train and evaluate", "Tables of the paper and your own", "Tools"
"""Headings, in their order; a command names its own as its `rich_help_panel`."""
EXAMPLE = re.compile(r"^Example: (.+)$", re.MULTILINE)


class GroupedCommands(TyperGroup):
    """A group of commands that are listed under headings, where typer has none without markup."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands of every heading, and the first one's example."""
        for heading in (USE, TRAIN, TABLES, TOOLS):
            those = [one for one in self.commands.values() if heading_of(one) == heading]
            with formatter.section(heading):
                formatter.write_dl([(str(one.name), summary(one)) for one in those])
                formatter.write_paragraph()
                formatter.write_text(f"Example: {example(those[0])}")


def heading_of(command: Any) -> str:
    """Return the heading that a command stands under; tools are what has none."""
    heading = getattr(command, "rich_help_panel", None)
    return heading if heading in (USE, TRAIN, TABLES) else TOOLS


def summary(command: Any) -> str:
    """Return the first sentence of a command's help."""
    text = " ".join((command.help or "").partition("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".")


def example(command: Any) -> str:
    """Return the first example of a command's help."""
    found = EXAMPLE.search(command.help or "")
    return found[1] if found else str(command.name)
