"""Token schedules: how many tokens every block of a model works on, from its configuration alone."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pandas as pd

from experiments.spec.spec import LoadedSpec
from sharpose.models.registry import describe, resolve_config, tokens_per_block

MOST_RUNS = 4


def token_frame(loaded: LoadedSpec) -> pd.DataFrame:
    """Return one line per row and block, counted from 1, with the tokens that enter it.

    Raises SpecError for a model that does not work on tokens.
    """
    rows = []
    for row in loaded.spec.rows:
        settings = loaded.settings(row)
        tokens = tokens_per_block(resolve_config(settings.model, **settings.options))
        if tokens is None:
            raise loaded.row_error(row, f"{settings.model} does not work on tokens")
        rows += [{"label": row.label, "block": block, "tokens": count} for block, count in enumerate(tokens, 1)]
    return pd.DataFrame(rows)


def token_origin(loaded: LoadedSpec) -> tuple[dict[str, Any], ...]:
    """Return what the tokens of every row follow from: its configuration, as nothing is measured."""
    settings = [(row, loaded.settings(row)) for row in loaded.spec.rows]
    return tuple(
        {
            "spec": loaded.id,
            "row": row.label,
            "measure": "computed from the configuration; nothing is measured",
            "file": f"experiments/specs/{loaded.path.name}",
            "provenance": {"command": f"sharpose table {loaded.id}", "model": one.model, "options": one.options},
            "metrics": {},
            "identity": describe(resolve_config(one.model, **one.options)),
        }
        for row, one in settings
    )


def token_shown(loaded: LoadedSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """Return it as it is printed: runs of blocks with equally many tokens."""
    rows = []
    for label, part in frame.groupby("label", sort=False):
        tokens = part["tokens"].tolist()
        runs = [(count, len(list(same))) for count, same in groupby(tokens)]
        rows.append(
            {
                loaded.spec.row_header: label,
                "blocks": str(len(tokens)),
                "tokens × blocks": ", ".join(f"{count} × {times}" for count, times in runs)
                if len(runs) <= MOST_RUNS
                else f"{tokens[0]} to {tokens[-1]}, fewer after every block",
                "sum over blocks": f"{sum(tokens):,}",
                "first block": str(tokens[0]),
                "last block": str(tokens[-1]),
            }
        )
    return pd.DataFrame(rows)
