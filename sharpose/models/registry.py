"""Names of models, what each one is made of, and which options it takes. No torch, so that listing is instant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict, fields
from importlib import import_module
from typing import Any

from sharpose.errors import InputError
from sharpose.models.configs import (
    dynamicvit,
    evit,
    hrformer,
    hrnet,
    keypoint_vit,
    okdhp,
    regression_vit,
    sharpose,
    simple_baseline,
    tokenpose,
    tome,
    vitpose,
)
from sharpose.models.configs.base import Entry

MODELS: dict[str, Entry] = {
    **sharpose.MODELS,
    **vitpose.MODELS,
    **keypoint_vit.MODELS,
    **regression_vit.MODELS,
    **dynamicvit.MODELS,
    **evit.MODELS,
    **tome.MODELS,
    **simple_baseline.MODELS,
    **hrnet.MODELS,
    **hrformer.MODELS,
    **tokenpose.MODELS,
    **okdhp.MODELS,
}


def list_models() -> list[str]:
    """Every name that `create_model` and `resolve_config` accept."""
    return list(MODELS)


def resolve_config(name: str, *, semantics: str | None = None, **options: Any) -> Any:
    """The full configuration of `name`: `options` on top of a preset (SHaRPose: `release`, the default, or `paper`).

    Raises InputError for an unknown name, preset or option, or a value out of range, listing what is valid.
    """
    entry = find(name)
    presets = list(entry.presets)
    if semantics is not None and semantics not in presets:
        valid = f"one of {', '.join(presets)}" if presets else "left out: this system has no presets"
        raise InputError(f"semantics = {semantics!r} does not work: it must be {valid}")
    preset = entry.presets[semantics or presets[0]] if presets else {}
    check_option_names(name, options)
    values = {**entry.values, **preset, **options}
    # sizes arrive as lists from YAML and JSON
    return entry.config_class(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})


def check_option_names(name: str, options: Iterable[str], others: Iterable[str] = ()) -> None:
    """Raise InputError for what is no option of the model `name`, with the nearest of its options and of `others`."""
    entry = find(name)
    known = [*(["semantics"] if entry.presets else []), *(field.name for field in fields(entry.config_class))]
    for option in options:
        if option not in known:
            listed = ", ".join([*known, *others])
            raise InputError(f"{name} has no option {option!r}{nearest(option, [*known, *others])}; options: {listed}")


def describe(config: Any) -> dict[str, Any]:
    """A configuration as plain data: its `system` and every field, but for extensions that are off.

    So what was measured before an extension was there keeps its identity.
    """
    off = [
        one.name for one in fields(config) if "extension" in one.metadata and getattr(config, one.name) == one.default
    ]
    known = {name: value for name, value in asdict(config).items() if name not in off}
    return {"system": type(config).__name__.removesuffix("Config"), **known}


def tokens_per_block(config: Any) -> list[int] | None:
    """Tokens that enter each block, in order; None for systems whose blocks do not work on tokens."""
    plan = getattr(import_module(type(config).__module__), "tokens_per_block", None)
    return None if plan is None else plan(config)


def build_class(name: str) -> Any:
    """The class that makes a module from a configuration of `name`; imports torch."""
    module, attribute = find(name).builder.split(":")
    return getattr(import_module(module), attribute)


def find(name: str) -> Entry:
    if name not in MODELS:
        raise InputError(f"no model is called {name!r}{nearest(name, MODELS)}; models: {', '.join(MODELS)}")
    return MODELS[name]


def nearest(word: str, words: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(words), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
