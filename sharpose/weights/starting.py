"""Start a system from weights of another: what means the same is taken, under whatever name, and all is reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from sharpose.models.output import PoseModel
from sharpose.runtime.errors import InputError
from sharpose.weights.encoder import encoder_start, is_label_free
from sharpose.weights.files import read_weights
from sharpose.weights.pretrained import find_weights
from sharpose.weights.reading import read_checkpoint, unwrapped
from sharpose.weights.timm_names import PREFIX, fetched
from sharpose.weights.transfer import TransferReport, transfer

# SHaRPose's fine stage sees what a network of one stage sees; ViTPose calls its final norm otherwise
SAME_MEANING = (
    ("fine_pos_embed", "pos_embed"),
    ("norm.weight", "last_norm.weight"),
    ("norm.bias", "last_norm.bias"),
)
# what tells a ViTPose, whose position table has a row more: one that is added to every patch
EXTRA_ROW = "last_norm.weight"
# what networks of one stage have no counterpart of: their positions stand for it too
COARSE_TABLE = "coarse_pos_embed"


def find_start(name: str) -> Path:
    """Return the file behind --init: a path, weights of ours by name, or `timm:NAME`.

    What is neither here nor in timm's cache is downloaded. Raises InputError where there is none.
    """
    if name.startswith(PREFIX):
        return fetched(name.removeprefix(PREFIX))
    path = Path(name)
    return path if path.suffix or path.exists() else find_weights(name).path


def read_start(path: Path) -> dict[str, Tensor]:
    """Return the tensors of weights of ours, or of a checkpoint that others made.

    Raises InputError where there is no such file, or it cannot be read.
    """
    if path.suffix == ".safetensors":
        return read_weights(path)
    if not path.exists():
        raise InputError(f"--init {path}: no such file")
    return {name: value.float() for name, value in read_checkpoint(path).items()}


@dataclass
class StartReport(TransferReport):
    """What `transfer` reports, under the model's names, and which of them have other names in the source."""

    renamed: list[str] = field(default_factory=list)

    @property
    def facts(self) -> dict[str, Any]:
        """Return, for a manifest, how many parameters were taken as they are, and the names of all others."""
        return {**vars(self), "matched": len(self.matched)}


def start_from(model: PoseModel, source: Mapping[str, Tensor]) -> StartReport:
    """Copy `source` into `model`, of the same width, and report what was taken.

    It holds weights of any system here, or of an image encoder (a ViT in the layout of timm, MAE or DINOv2, which has
    seen no keypoint). Raises InputError where nothing fits.
    """
    own = set(model.state_dict())
    # what a wrapper put before all names (`model.`, `_orig_mod.`) is left out
    source = next((plain for plain in unwrapped(source) if is_label_free(plain) or own & set(plain)), source)
    if is_label_free(source):
        taken, left_out, _ = encoder_start(source, model)
        report = transfer(model, taken)
        report.unexpected += left_out
        return StartReport(**vars(report))
    translated, renamed = translate(model, source)
    return StartReport(**vars(transfer(model, translated)), renamed=renamed)


def translate(model: PoseModel, source: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return `source` under the names that `model` has for the same things, and what was renamed ("theirs → ours")."""
    # fixed tables, as TokenPose's, are not learned, so nothing is carried over into them
    learned = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    translated, renamed = dict(source), []
    for pair in SAME_MEANING:
        for theirs, ours in (pair, pair[::-1]):
            if ours in learned and ours not in source and theirs in source and theirs not in learned:
                translated[ours] = translated.pop(theirs)
                renamed.append(f"{theirs} → {ours}")
    table = "pos_embed" if "pos_embed" in learned else "fine_pos_embed"
    has, wants = EXTRA_ROW in source, EXTRA_ROW in learned
    if table in translated and has != wants:
        rows = translated[table]
        translated[table] = F.pad(rows, (0, 0, 1, 0)) if wants else rows[:, 1:] + rows[:, :1]
    if COARSE_TABLE in learned and COARSE_TABLE not in source and table in translated:
        # resampled to the coarse grid on its way in, as an image encoder's is
        translated[COARSE_TABLE] = translated[table]
        renamed.append(f"{table} → {COARSE_TABLE}")
    return translated, renamed
