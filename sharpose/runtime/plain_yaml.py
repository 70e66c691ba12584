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

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Refuse a key that is there twice, of which YAML's own reader keeps the last."""
        seen: dict[str, Any] = {}
        for key, _ in node.value:
            if (name := f"{key.tag} {key.value}") in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key.value!r} is given twice", problem_mark=key.start_mark)
            seen[name] = key
        return super().construct_mapping(node, deep)


def option_value(value: Any) -> Any:
    """Return an option's value as it is meant: `none`, which YAML takes for a word, is nothing, as `null` is."""
    return None if isinstance(value, str) and value.lower() == "none" else value


def plain_yaml(text: str) -> Any:
    """Return the value of YAML text. Raises one of ERRORS."""
    return yaml.load(text, PlainLoader)


# of YAML 1.2: 1.1 wants a dot and a sign in the exponent
PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)
