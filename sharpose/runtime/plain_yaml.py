"""YAML of plain values from files and options that people write: small, without anchors, and never a traceback."""

from __future__ import annotations

import re
from typing import Any

import yaml

MAX_BYTES = 256 * 1024
# what making a value of a scalar, a key or many brackets can raise beside YAML's own errors
ERRORS = (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError, RecursionError)


class PlainLoader(yaml.SafeLoader):
    """YAML of plain values: no anchors, so a small file stays small in memory; 3e-1 is a number."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Read a node as YAML does. Raises MarkedYAMLError at an anchor or alias, which make small files huge."""
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases (& and *) are not used here", problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)


def plain_yaml(text: str) -> Any:
    """Return the value of YAML text. Raises one of ERRORS."""
    return yaml.load(text, PlainLoader)


# of YAML 1.2: 1.1 wants a dot and a sign in the exponent
PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)
