"""`timm:NAME` as a source of weights: `import` takes them without any download, a training's start fetches them.

Rule of `import`: pretrained weights are taken where timm's own caches hold them (Hugging Face's or torch.hub's); where
they do not, the error says how to fetch them. `--allow random-weights` builds the untrained network of that name.
timm takes longer to import than torch, so only what needs it does so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from huggingface_hub import try_to_load_from_cache
from torch import Tensor

from sharpose.runtime.errors import InputError
from sharpose.weights.pretrained import download
from sharpose.weights.reading import read_checkpoint

PREFIX = "timm:"
RANDOM = "random-weights"
FILES = ("model.safetensors", "pytorch_model.bin")


def timm_checkpoint(name: str, allow: Sequence[str], max_bytes: int) -> tuple[Path | None, dict[str, Tensor]]:
    """Return the cached file of a timm model and its state dict; no file where random weights were allowed.

    Raises InputError for an unknown name, or weights that are not on this machine.
    """
    import timm

    if not timm.is_model(name):
        similar = ", ".join(timm.list_models(f"*{name.split('.')[0][:9]}*")[:5])
        raise InputError(f"{PREFIX}{name}: timm has no such model{'; similar: ' + similar if similar else ''}")
    if path := cached_file(name):
        return path, read_checkpoint(path, max_bytes)
    if RANDOM in allow:
        return None, dict(timm.create_model(name, pretrained=False).state_dict())
    config = timm.get_pretrained_cfg(name)
    hub = getattr(config, "hf_hub_id", None)
    fetch = f"`hf download {hub} {FILES[0]}`" if hub else f"{getattr(config, 'url', '') or 'its publisher'}"
    raise InputError(
        f"{PREFIX}{name}: its pretrained weights are not on this machine, and nothing is downloaded; fetch them with "
        f"{fetch}, or build it untrained with --allow {RANDOM}"
    )


def fetched(name: str) -> Path:
    """Return the file of a timm model's pretrained weights, downloaded from its hub where timm's cache lacks it.

    No network is built, however large. Raises InputError for a name without any, and where there is no way to them.
    """
    import timm

    config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if config is None or not config.hf_hub_id:
        raise InputError(f"{PREFIX}{name}: timm's hub has no pretrained weights of that name")
    return cached_file(name) or download(config.hf_hub_id, FILES[0], f"give the file of {PREFIX}{name} itself")


def cached_file(name: str) -> Path | None:
    """Return where timm would find the pretrained weights without a download."""
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None:
        return None
    if hub := config.hf_hub_id:
        for file in FILES:
            found = try_to_load_from_cache(hub, file)
            if isinstance(found, str):
                return Path(found)
    if isinstance(config.url, str) and config.url:
        path = Path(torch.hub.get_dir()) / "checkpoints" / config.url.rsplit("/", 1)[-1]
        return path if path.is_file() else None
    return None
