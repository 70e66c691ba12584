"""Names of models, what each one is made of, and which options it takes. No torch, so that listing is instant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

from sharpose.errors import InputError
from sharpose.models.config import PRESETS, SHaRPoseConfig


@dataclass(frozen=True)
class Entry:
    """A named model: the configuration class with its values, and where the module that builds it lives."""

    config_class: type[SHaRPoseConfig]
    values: dict[str, Any]
    builder: str = "sharpose.models.sharpose:SHaRPose"


def sharpose(image: tuple[int, int], embed_dim: int, alpha: float, threshold: float, **values: Any) -> Entry:
    heatmap = (image[0] // 4, image[1] // 4)
    sizes = {"image_size": image, "heatmap_size": heatmap, "embed_dim": embed_dim, "alpha": alpha}
    return Entry(SHaRPoseConfig, {**sizes, "quality_threshold": threshold, **values})


# Small widths, the token counts of 256x192 (48 coarse, 192 fine) and of 384x288 (108, 432): the toy runs the real path.
NANO = {"patch_size": 8, "depth": 6, "num_heads": 6, "head": "single", "drop_path": 0.0, "position_init": "sincos"}

# Paper, Section 4 and Table 2; thresholds as in the released configurations (1.2 practically never exits).
MODELS: dict[str, Entry] = {
    "sharpose-small-256x192": sharpose((256, 192), 384, 0.5, 0.99),
    "sharpose-small-384x288": sharpose((384, 288), 384, 0.5, 0.99),
    "sharpose-base-256x192": sharpose((256, 192), 768, 0.4, 0.99),
    "sharpose-base-384x288": sharpose((384, 288), 768, 0.3, 1.2),
    "sharpose-nano-128x96": sharpose((128, 96), 96, 0.4, 0.95, **NANO),
    "sharpose-nano-192x144": sharpose((192, 144), 96, 0.3, 0.95, **NANO),
}


def list_models() -> list[str]:
    """Every name that `create_model` and `resolve_config` accept."""
    return list(MODELS)


def resolve_config(name: str, *, semantics: str = "release", **options: Any) -> SHaRPoseConfig:
    """The full configuration of `name` with `options` on top of the `paper` or `release` preset.

    Raises InputError for an unknown name, preset or option, or a value out of range, listing what is valid.
    """
    entry = find(name)
    if semantics not in PRESETS:
        raise InputError(f"semantics = {semantics!r} does not work: it must be one of {', '.join(PRESETS)}")
    known = [field.name for field in fields(entry.config_class)]
    for option in options:
        if option not in known:
            raise InputError(
                f"{name} has no option {option!r}{nearest(option, known)}; options: semantics, {', '.join(known)}"
            )
    values = {**entry.values, **PRESETS[semantics], **options}
    # sizes arrive as lists from YAML and JSON
    return entry.config_class(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})


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
