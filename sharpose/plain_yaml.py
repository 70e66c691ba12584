"""YAML of plain values from files that people write: small, without anchors, and never a traceback."""

from __future__ import annotations

from typing import Any

import yaml


class PlainLoader(yaml.SafeLoader):
    """YAML of plain values: no anchors, so a small file stays small in memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases (& and *) are not used here", problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)
