"""Every model with what follows from its configuration alone: parameters, multiply-adds, tokens. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sharpose.models.layers.cost import Cost
from sharpose.models.registry import closed_form, describe, list_models, resolve_config, tokens_per_block
from sharpose.runtime.plain_text import aligned

DASH = "–"


@dataclass(frozen=True)
class Model:
    """A named model: its configuration as plain data, its closed form, and the tokens that enter each block.

    The last two are None where its system has none.
    """

    name: str
    config: Mapping[str, Any]
    cost: Cost | None
    tokens: Sequence[int] | None

    @property
    def cells(self) -> dict[str, str]:
        """Return it as it is printed, by column."""
        runs = [(count, len(list(same))) for count, same in groupby(self.tokens or [])]
        return {
            "model": self.name,
            "input": "x".join(map(str, self.config["image_size"])),
            "params M": DASH if self.cost is None else f"{self.cost.params / 1e6:.2f}",
            "closed form G": billions(None if self.cost is None else self.cost.fvcore),
            "tokens × blocks": " ".join(f"{count}×{blocks}" if blocks > 1 else str(count) for count, blocks in runs)
            or DASH,
        }


def all_models() -> list[Model]:
    """Return every registered model in the registry's order."""
    configs = {name: resolve_config(name) for name in list_models()}
    return [Model(name, describe(one), closed_form(one), tokens_per_block(one)) for name, one in configs.items()]


def billions(macs: int | None) -> str:
    """Return multiply-adds in 1e9, or a dash."""
    return DASH if macs is None else f"{macs / 1e9:.3f}"


def as_text(rows: Sequence[Mapping[str, str]], numbers: Sequence[str] = ("input", "params M", "closed form G")) -> str:
    """Return aligned columns under their names, `numbers` to the right."""
    right = [place for place, name in enumerate(rows[0]) if name in numbers]
    return "\n".join(aligned([list(rows[0]), *(list(row.values()) for row in rows)], right))
