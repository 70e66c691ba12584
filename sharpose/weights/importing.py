"""Public checkpoints into our weights: which layout a file has, what fits, and nothing that is not accounted for.

A *complete* layout is a trained pose model and must fill ours without a rest. A *start* is an image encoder; what it
does not have (keypoint tokens, heads) stays untrained, and its file holds only what was taken, for `train --init`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sharpose.models import create_model
from sharpose.models.layout import Layout
from sharpose.models.output import PoseModel
from sharpose.models.registry import system_of, systems
from sharpose.models.system import System, load
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import sha256_of
from sharpose.weights.encoder import encoder_start, is_encoder
from sharpose.weights.files import check_manifest_place, save_tensors
from sharpose.weights.reading import MAX_BYTES, beginning_with, open_checkpoint, unwrapped
from sharpose.weights.timm_names import PREFIX, timm_checkpoint
from sharpose.weights.transfer import TransferReport, transfer

State = Mapping[str, Tensor]
ENCODER = "ViT encoder (timm, DeiT, MAE)"
# counters of training steps, which old files do not have and nothing uses
COUNTERS = "*num_batches_tracked"


@dataclass(frozen=True)
class Converted:
    """A state dict under our names; `untrained`: patterns of our names that the layout does not have by definition."""

    layout: str
    state: dict[str, Tensor]
    left_out: list[str] = field(default_factory=list)
    start: bool = False
    untrained: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportReport:
    """What became of every parameter.

    `untrained` ones are missing by the layout's definition, `allowed` by the user's word.
    """

    layout: str
    start: bool
    matched: list[str]
    resized: list[str]
    missing: list[str]
    unexpected: list[str]
    untrained: list[str]
    left_out: list[str]
    allowed: list[str]

    @property
    def line(self) -> str:
        """Return the layout, and how many parameters there are of each kind, as one line."""
        kinds = ("matched", "resized", "missing", "unexpected", "untrained", "left_out", "allowed")
        return f"{self.layout}: " + ", ".join(f"{len(getattr(self, kind))} {kind.replace('_', ' ')}" for kind in kinds)


def import_weights(
    source: str,
    model_name: str,
    out: Path,
    *,
    options: Mapping[str, Any] | None = None,
    allow: Sequence[str] = (),
    max_bytes: int = MAX_BYTES,
    key: str | None = None,
) -> tuple[ImportReport, dict[str, Any]]:
    """Read `source` (a file, or `timm:NAME`), write `out` (.safetensors, fp32) and its manifest.

    key: which state dict, where the file holds several. allow: patterns of names (`*` matches anything) that may be
    missing, unexpected or resized. Raises InputError for any other surprise, for a file that is no weights of the
    model, and where another file has the manifest's name.
    """
    if out.suffix != ".safetensors":
        raise InputError(f"--out {out}: must end in .safetensors")
    check_manifest_place(out)
    torch.manual_seed(0)
    model = create_model(model_name, **dict(options or {}))
    state, origin = load_source(source, allow, max_bytes, key)
    converted = convert(state, model, source)
    try:
        kinds = transfer(model, converted.state)
    except InputError as error:
        raise InputError(f"{source}: does not fit {model_name}: {error}") from error
    report = judge(kinds, converted, allow)
    check_surprises(report, model, converted, source, model_name)
    kept = model.state_dict()
    if converted.start:
        kept = {name: kept[name] for name in (*report.matched, *report.resized)}
    facts = {
        "model": model_name,
        "options": dict(options or {}),
        "imported_from": origin,
        "kind": "start" if converted.start else "complete",
        "report": vars(report),
    }
    single = {name: value.float() if value.is_floating_point() else value for name, value in kept.items()}
    save_tensors(single, out, facts)
    return report, facts


def load_source(
    source: str, allow: Sequence[str], max_bytes: int, key: str | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state dict of a file or timm name, and what identifies it: also which of several it is."""
    if source.startswith(PREFIX):
        path, state = timm_checkpoint(source.removeprefix(PREFIX), allow, max_bytes)
        return state, {"name": source, "sha256": None if path is None else sha256_of(path)}
    path = Path(source)
    found = open_checkpoint(path, max_bytes, key)
    which = {"key": found.key, "also_there": list(found.others)} if found.others else {}
    return found.state, {"name": path.name, "sha256": sha256_of(path), **which}


def convert(state: State, model: PoseModel, source: str) -> Converted:
    """Return `state` under our names, by the layout it shows, with or without what all its names begin with.

    Raises InputError where it shows none that the model takes.
    """
    system = system_of(model.config)
    for plain in unwrapped(state):
        if (found := in_known_layout(plain, system, model)) is not None:
            return found
    known = ["our own names", *(layout.name for layout in layouts_of(system)), *([ENCODER] if system.encoder else [])]
    first = ", ".join(list(state)[:3])
    prefixes = dict.fromkeys(name.partition(".")[0] for name in state if "." in name)
    parts = [part for part in prefixes if in_known_layout(beginning_with(part, state), system, model)]
    choice = f"; choose what begins with {' or '.join(parts)} with --key" if parts else ""
    raise InputError(
        f"{source}: not weights of {system.name} in a known layout ({'; '.join(known)}); its names begin with "
        f"{first}{choice}"
    )


def in_known_layout(state: State, system: System, model: PoseModel) -> Converted | None:
    """Return `state` under our names, by the layout that exactly these names show; None where they show none."""
    own = set(model.state_dict())
    if own and own <= set(state) | {name for name in own if fnmatchcase(name, COUNTERS)}:
        return Converted("ours", dict(state))
    layouts = layouts_of(system)
    for layout in layouts:
        if layout.shows is not None and layout.shows in state:
            return converted(state, system, layout)
    if system.encoder is not None and is_encoder(state):
        taken, left_out, untrained = encoder_start(state, model)
        return Converted(ENCODER, taken, left_out, start=True, untrained=untrained)
    candidates = [converted(state, system, layout) for layout in layouts if layout.shows is None]
    best = max(
        candidates, key=lambda one: (len(set(one.state) & own), -len(set(one.state) - own)), default=Converted("", {})
    )
    return best if set(best.state) & own else None


def layouts_of(system: System) -> tuple[Layout, ...]:
    """Return the public layouts of a system's weights."""
    return load(system.layouts)


def converted(state: State, system: System, layout: Layout) -> Converted:
    """Return `state` read as one layout."""
    name, start = f"{system.name}, {layout.name}", bool(layout.untrained)
    return Converted(name, layout.convert(state), layout.left_out(state), start, layout.untrained)


def from_layout(state: State, system: str, layout: str) -> dict[str, Tensor]:
    """Return a public state dict under our names, by the names of system and layout.

    Raises InputError for an unknown system or layout, naming the known ones.
    """
    known = {(one.name, own.name): own for one in systems().values() for own in layouts_of(one)}
    if (system, layout) not in known:
        listed = ", ".join("/".join(pair) for pair in known)
        raise InputError(f"no layout of weights is called {system}/{layout}; known: {listed}")
    return known[system, layout].convert(state)


def judge(kinds: TransferReport, converted: Converted, allow: Sequence[str]) -> ImportReport:
    """Sort out what the layout leaves untrained by definition, and what the user allowed."""
    # a name of another shape is missing and has something left over
    absent = [name for name in kinds.missing if name not in converted.state]
    untrained = [name for name in absent if matches(name, (*converted.untrained, COUNTERS))]
    surprises = {*kinds.missing, *kinds.unexpected} - set(untrained)
    if not converted.start:
        # a trained pose model of another size is not the model that was asked for
        surprises |= set(kinds.resized)
    return ImportReport(
        layout=converted.layout,
        start=converted.start,
        matched=kinds.matched,
        resized=kinds.resized,
        missing=[name for name in kinds.missing if name not in untrained],
        unexpected=kinds.unexpected,
        untrained=untrained,
        left_out=converted.left_out,
        allowed=sorted(name for name in surprises if matches(name, allow)),
    )


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a name matches one of the patterns, in which `*` stands for anything."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def check_surprises(report: ImportReport, model: PoseModel, converted: Converted, source: str, model_name: str) -> None:
    """Raise InputError for whatever is neither the layout's definition nor allowed."""
    surprises = {
        "missing": report.missing,
        "unexpected": report.unexpected,
        "of another size": [] if converted.start else report.resized,
    }
    own, parts = model.state_dict(), []
    for kind, names in surprises.items():
        wrong = [name for name in names if name not in report.allowed]
        if wrong:
            listed = ", ".join(with_shapes(name, converted.state, own) for name in wrong[:4])
            parts.append(f"{len(wrong)} {kind}: {listed}{', …' if len(wrong) > 4 else ''}")
    if parts:
        raise InputError(
            f"{source}: does not fit {model_name} ({report.line}). {'; '.join(parts)}. Choose the model the file is "
            "of, or allow names one by one with --allow PATTERN"
        )


def with_shapes(name: str, state: State, own: State) -> str:
    """Return a name for a message, with its shapes where both file and model have it."""
    if name in state and name in own:
        return f"{name} ({tuple(state[name].shape)} in the file, {tuple(own[name].shape)} in the model)"
    return name
