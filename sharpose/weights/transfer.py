"""Start a model from weights of another size: what fits is taken, tables and kernels are resampled, all is reported."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sharpose.models.output import PoseModel
from sharpose.pose.skeleton import known_skeleton
from sharpose.runtime.errors import InputError
from sharpose.weights.files import check_fractions


@dataclass
class TransferReport:
    """Names of the parameters that were taken as they are, resized, not found in the source, and left over in it."""

    matched: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """Return how many parameters there are of each kind, as one line."""
        return ", ".join(f"{len(names)} {kind}" for kind, names in vars(self).items())


@torch.no_grad()
def transfer(model: PoseModel, source: Mapping[str, Tensor]) -> TransferReport:
    """Copy `source` into `model`, of the same width. Raises InputError where nothing fits, or is of another kind."""
    check_fractions(source, model, "the weights")
    report = TransferReport(unexpected=sorted(set(source) - set(model.state_dict())))
    for name, own in model.state_dict().items():
        if name not in source:
            report.missing.append(name)
            continue
        value = source[name].to(own.dtype)
        fitted = value if value.shape == own.shape else resized(name, value, own, model)
        if fitted is None:
            report.missing.append(name)
            continue
        own.copy_(fitted)
        (report.matched if fitted is value else report.resized).append(name)
    if not report.matched:
        raise InputError(f"the weights have nothing in common with this model ({report.line})")
    return report


def resized(name: str, value: Tensor, own: Tensor, model: PoseModel) -> Tensor | None:
    """Return `value` at the shape of `own` where that has a meaning.

    That is so for keypoint tokens of known layouts, position tables, patch kernels and rows of heatmap heads.
    """
    config = model.config
    if name == "keypoint_tokens" and value.shape[2:] == own.shape[2:]:
        return tokens_by_name(value, own)
    if name.endswith("pos_embed") and value.ndim == own.ndim == 3 and value.shape[2] == own.shape[2]:
        return resample_positions(value, *position_grid(own.shape[1], config))
    if name == "patch_embed.proj.weight" and value.shape[:2] == own.shape[:2]:
        from timm.layers import resample_patch_embed

        return resample_patch_embed(value, list(own.shape[2:]))
    is_heatmap = name.startswith("head.layers.") and len(own) == math.prod(config.heatmap_size)
    if is_heatmap and value.shape[1:] == own.shape[1:]:
        return resample_heatmap_rows(value, config.heatmap_size)
    return None


def tokens_by_name(value: Float[Tensor, "1 K D"], own: Float[Tensor, "1 k D"]) -> Tensor | None:
    """Return tokens of the keypoints that both layouts (COCO's, MPII's) have; the others stay as they are."""
    old, new = known_skeleton(value.shape[1]), known_skeleton(own.shape[1])
    if old is None or new is None:
        return None
    tokens = own.clone()
    for place, keypoint in enumerate(new.keypoint_names):
        if keypoint in old.keypoint_names:
            tokens[:, place] = value[:, old.keypoint_names.index(keypoint)]
    return tokens


def position_grid(rows: int, config: Any) -> tuple[tuple[int, int], int]:
    """Return the patch grid that a table of `rows` rows is for, and how many rows before it belong to no patch.

    Raises InputError where it is for none of the model's.
    """
    grids = (getattr(config, name, None) for name in ("coarse_grid", "fine_grid", "grid"))
    for grid in grids:
        if grid is not None and rows - math.prod(grid) in (0, 1):
            return grid, rows - math.prod(grid)
    raise InputError(f"a position table of {rows} rows fits no patch grid of this model")


def resample_positions(value: Float[Tensor, "1 _ D"], grid: tuple[int, int], prefix: int = 0) -> Float[Tensor, "1 _ D"]:
    """Return a position table at another grid (bicubic); `prefix` rows in front stay as they are."""
    from timm.layers import resample_abs_pos_embed

    sides = old_size(value.shape[1] - prefix, grid)
    return resample_abs_pos_embed(value, list(grid), sides, num_prefix_tokens=prefix)


def old_size(count: int, grid: tuple[int, int]) -> list[int]:
    """Return the grid of `count` patches with the aspect of `grid`, else square, else 4:3 as COCO's crops of people.

    Raises InputError when there is none.
    """
    for height, width in (grid, (1, 1), (4, 3)):
        scale = math.sqrt(count / (height * width))
        sides = [round(height * scale), round(width * scale)]
        if math.prod(sides) == count:
            return sides
    raise InputError(
        f"a table of {count} rows is neither square nor 4:3 nor of the aspect {grid[0]}:{grid[1]} of this model"
    )


def resample_heatmap_rows(value: Float[Tensor, "_ ..."], size: tuple[int, int]) -> Float[Tensor, "_ ..."]:
    """Return rows of a linear layer that are the pixels of a heatmap, at another heatmap size of the same aspect."""
    sides = old_size(len(value), size)
    maps = value.reshape(*sides, -1).permute(2, 0, 1)[None]
    return (
        F.interpolate(maps, size=size, mode="bilinear", align_corners=False)[0]
        .permute(1, 2, 0)
        .reshape(-1, *value.shape[1:])
    )
