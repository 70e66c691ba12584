"""What manifests of trained weights say: crops seen in all, what they started from, whether they still learnt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

RANDOM, LABEL_FREE, POSE_NETWORK = "random", "label-free", "pose network"
Curve = tuple[Mapping[str, float | None], ...]


@dataclass(frozen=True)
class Training:
    """Weights and how they came to be. start: what kind of weights it began with; `started_from` names them.

    crops: seen in all, those of its start included. curve: a row per validation, `crops` and `SET_ap`, `SET_pck` as
    fractions, over all phases of the training. rates: how the learning rate was chosen, None where it was not.
    precision: of its matmuls, fp32, bf16 or fp16. guided: weight of a loss beside the paper's, on attention.
    """

    name: str
    crops: int
    start: str
    started_from: str
    curve: Curve
    learning_rate: float | None
    rates: Mapping[str, Any] | None
    teacher: str | None
    precision: str
    guided: float = 0.0

    def last_doubling(self, data: str) -> float | None:
        """Return AP on `data` gained by the last doubling of crops, in percent; None where no curve reaches back."""
        scored = [(row["crops"], row.get(f"{data}_ap")) for row in self.curve]
        points = [(crops, score) for crops, score in scored if crops is not None and score is not None]
        # steps are whole, so the point at half of the way may lie a step behind it
        if len(points) < 2 or points[0][0] >= 1.02 * points[-1][0] / 2:
            return None
        crops, scores = np.array(points).T
        before = np.interp(np.log(crops[-1] / 2), np.log(crops), scores)
        return float(100 * (scores[-1] - before))


@cache
def read_training(weights: Path) -> Training:
    """Return what the manifest beside weights says. Catalog.weights has checked that it is there."""
    made = json.loads(weights.with_suffix(".json").read_bytes())
    recipe, teacher = made.get("recipe") or {}, made.get("teacher")
    kind, said = start_of(made)
    return Training(
        name=weights.stem,
        crops=sum(map(own_crops, (made, *ancestors(made)))),
        start=kind,
        started_from=said,
        curve=curve_of(made),
        learning_rate=recipe.get("learning_rate"),
        rates=made.get("learning_rates"),
        teacher=teacher and teacher["file"].removesuffix(".safetensors"),
        precision={"no": "fp32"}.get(made.get("precision", "no"), made.get("precision")),
        guided=recipe.get("attention") or 0.0,
    )


def own_crops(made: Mapping[str, Any]) -> int:
    """Return the crops that a training itself has seen, without those of its start; 0 if its manifest does not say."""
    return int(made.get("steps", 0) * (made.get("recipe") or {}).get("batch_size", 0))


def ancestors(made: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the manifests of what a training began with, and what that began with."""
    before = (made.get("init") or {}).get("manifest")
    return [] if before is None else [before, *ancestors(before)]


def start_of(made: Mapping[str, Any]) -> tuple[str, str]:
    """Return the kind of start, and what it was. An earlier phase of the same model is no start: its own is."""
    init = made.get("init")
    if init is None:
        return RANDOM, "random weights"
    # only an image encoder has a class token to leave out
    if "cls_token" in (init.get("taken") or {}).get("unexpected", ()):
        return LABEL_FREE, f"{init['file']} ({init['sha256'][:8]}), which has seen no keypoint"
    before = init.get("manifest")
    if before and before.get("model") == made.get("model"):
        return start_of(before)
    return POSE_NETWORK, f"weights of {before['model']}" if before else f"{init['file']}, of unknown origin"


def curve_of(made: Mapping[str, Any]) -> Curve:
    """Return the curve of all phases of a training, over the crops seen in all of them."""
    before = (made.get("init") or {}).get("manifest")
    own, seen = made.get("curve") or [], 0
    earlier: Curve = ()
    if before and before.get("model") == made.get("model"):
        earlier, seen = curve_of(before), sum(map(own_crops, (before, *ancestors(before))))
    return (*earlier, *({**row, "crops": row["crops"] + seen} for row in own))
