"""Public names of weights to ours, by tables of patterns."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# (pattern, replacement), first match wins; None leaves the tensor out; what no pattern knows keeps its name
Table = tuple[tuple[str, str | None], ...]
State = Mapping[str, Any]


@dataclass(frozen=True)
class Layout:
    """A code base's names for the weights of a system.

    `shows`: a name that files of this layout alone have; None: tell by how much fits. `prepare`: what joins or splits
    tensors before they are renamed. `untrained`: patterns of our names that it lacks by definition, which makes it a
    start and no trained pose model.
    """

    name: str
    table: Table
    shows: str | None = None
    prepare: Callable[[State], State] = dict
    untrained: tuple[str, ...] = ()

    def convert(self, state: State) -> dict[str, Any]:
        """Return `state` under our names; a `module.` in front is left out."""
        return {ours: value for name, value in self.prepare(state).items() if (ours := rename(name, self.table))}

    def left_out(self, state: State) -> list[str]:
        """Return the names that have no counterpart here."""
        return [name for name in self.prepare(state) if rename(name, self.table) is None]


def rename(key: str, table: Table) -> str | None:
    """Return `key` under our names, None for a tensor that is left out."""
    key = key.removeprefix("module.")
    for pattern, replacement in table:
        if re.search(pattern, key):
            return None if replacement is None else re.sub(pattern, replacement, key, count=1)
    return key


# `keypoint_head.` in mmpose 0.x, `head.` in 1.x; the trunk is `backbone.` there as here
MMPOSE: Table = (
    (r"^(?:keypoint_head|head)\.final_layer\.", "head."),
    (r"^(?:keypoint_head|head)\.deconv_layers\.", "deconv_layers."),
)
ORIGINAL: Table = ((r"^final_layer\.", "head."), (r"^(?=deconv_layers\.)", ""), (r"^", "backbone."))
TORCHVISION: Table = ((r"^fc\.", None), (r"^", "backbone."))
"""A ResNet classifier's, whose features are taken."""
