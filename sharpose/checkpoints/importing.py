"""Public checkpoints into our weights: which layout a file has, what fits, and nothing that is not accounted for.

A *complete* layout is a trained pose model and must fill ours without a rest. A *start* is an image encoder; what it
does not have (keypoint tokens, heads) stays untrained, and its file holds only what was taken, for `train --init`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sharpose.checkpoints.cnn import LAYOUTS, from_layout
from sharpose.checkpoints.encoder import encoder_start, is_encoder
from sharpose.checkpoints.reading import MAX_BYTES, open_checkpoint, without_common_prefix
from sharpose.checkpoints.sharpose import from_release
from sharpose.checkpoints.timm_names import PREFIX, timm_checkpoint
from sharpose.checkpoints.vit import vitpose_from_huggingface, vitpose_from_mmpose, vitpose_from_mmpose_1
from sharpose.errors import InputError
from sharpose.files import sha256_of
from sharpose.models import create_model
from sharpose.models.output import PoseModel
from sharpose.models.registry import describe
from sharpose.transfer import TransferReport, transfer
from sharpose.weights import check_manifest_place, save_tensors

State = Mapping[str, Tensor]
KEYPOINT_VITS = ("KeypointViT", "RegressionViT", "DynamicViT", "EViT", "ToMe")
CNN_SYSTEMS = {
    "HRNet": "hrnet",
    "SimpleBaseline": "simple_baseline",
    "HRFormer": "hrformer",
    "TokenPose": "tokenpose",
    "OKDHP": "okdhp",
}
# classifiers among the layouts of `cnn.py`, and what they leave untrained
CNN_STARTS = {"timm": ("head.*",), "torchvision": ("head.*", "deconv_layers.*")}
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
    """What became of every parameter; `untrained` ones are missing by the layout's definition, `allowed` by the user's
    word."""

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
    kinds = transfer_or_explain(model, converted, source, model_name)
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
    save_tensors(single_precision(kept), out, facts)
    return report, facts


def single_precision(state: State) -> dict[str, Tensor]:
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def load_source(
    source: str, allow: Sequence[str], max_bytes: int, key: str | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dict of a file or timm name, and what identifies it: also which of several it is."""
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
    plain: State | None = state
    while plain is not None:
        if (found := in_known_layout(plain, model)) is not None:
            return found
        plain = without_common_prefix(plain)
    system = describe(model.config)["system"]
    known = [
        "our own names",
        *(layout for layout, _, _ in vit_layouts(system)),
        *(LAYOUTS[CNN_SYSTEMS[system]] if system in CNN_SYSTEMS else ()),
    ]
    first = ", ".join(list(state)[:3])
    raise InputError(
        f"{source}: not weights of {system} in a known layout ({'; '.join(known)}); its names begin with {first}"
    )


def in_known_layout(state: State, model: PoseModel) -> Converted | None:
    """`state` under our names, by the layout that exactly these names show; None where they show none."""
    system = describe(model.config)["system"]
    own = set(model.state_dict())
    if own and own <= set(state) | {name for name in own if fnmatchcase(name, COUNTERS)}:
        return Converted("ours", dict(state))
    for _, shows, take in vit_layouts(system):
        if shows(state):
            return take(state, model)
    if system in CNN_SYSTEMS:
        names = LAYOUTS[CNN_SYSTEMS[system]]
        candidates = [cnn_layout(state, CNN_SYSTEMS[system], layout) for layout in names]
        best = max(candidates, key=lambda one: (len(set(one.state) & own), -len(set(one.state) - own)))
        if set(best.state) & own:
            return best
    return None


Shows = Callable[[State], bool]
Take = Callable[[State, PoseModel], Converted]


def vit_layouts(system: str) -> list[tuple[str, Shows, Take]]:
    """Layouts of the transformer systems: name, whether a file shows it, and how to read it."""
    encoder: tuple[str, Shows, Take] = ("ViT encoder (timm, DeiT, MAE)", is_encoder, start_from_encoder)
    if system == "SHaRPose":
        return [("SHaRPose release", has("backbone.keypoint_tokens"), take_release), encoder]
    if system == "ViTPose":
        return [
            ("ViTPose, Hugging Face", has("backbone.embeddings.patch_embeddings.projection.weight"), take_huggingface),
            ("ViTPose, mmpose 0.x", has("backbone.patch_embed.proj.weight"), take_mmpose),
            ("ViTPose, mmpose 1.x", has("backbone.patch_embed.projection.weight"), take_mmpose_1),
            encoder,
        ]
    return [encoder] if system in KEYPOINT_VITS else []


def has(name: str) -> Shows:
    return lambda state: name in state


def take_release(state: State, model: PoseModel) -> Converted:
    return Converted("SHaRPose release", from_release(state))


def take_mmpose(state: State, model: PoseModel) -> Converted:
    return Converted("ViTPose, mmpose 0.x", vitpose_from_mmpose(state))


def take_mmpose_1(state: State, model: PoseModel) -> Converted:
    return Converted("ViTPose, mmpose 1.x", vitpose_from_mmpose_1(state))


def take_huggingface(state: State, model: PoseModel) -> Converted:
    return Converted("ViTPose, Hugging Face", vitpose_from_huggingface(state))


def start_from_encoder(state: State, model: PoseModel) -> Converted:
    taken, left_out, untrained = encoder_start(state, model)
    return Converted("ViT encoder (timm, DeiT, MAE)", taken, left_out, start=True, untrained=untrained)


def cnn_layout(state: State, system: str, layout: str) -> Converted:
    start = layout in CNN_STARTS
    left_out = [name for name in state if not from_layout({name: state[name]}, system, layout)]
    converted = from_layout(state, system, layout)
    return Converted(f"{system}, {layout}", converted, left_out, start, CNN_STARTS.get(layout, ()))


def transfer_or_explain(model: PoseModel, converted: Converted, source: str, model_name: str) -> TransferReport:
    try:
        return transfer(model, converted.state)
    except InputError as error:
        raise InputError(f"{source}: does not fit {model_name}: {error}") from error


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
    if name in state and name in own:
        return f"{name} ({tuple(state[name].shape)} in the file, {tuple(own[name].shape)} in the model)"
    return name
