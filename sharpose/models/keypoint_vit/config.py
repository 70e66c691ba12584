"""The plain vision transformer with keypoint tokens: what token reduction starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sharpose.models.config import Size, WholeOrZero, check, sized
from sharpose.models.layers.cost import Cost, blocks, embedding, heatmap_head
from sharpose.models.layers.vit_config import ViTConfig
from sharpose.models.system import EncoderNames, System
from sharpose.runtime.fields import PositiveShare


@dataclass(frozen=True, kw_only=True)
class KeypointViTConfig(ViTConfig):
    """Sizes are (height, width) in pixels or patches. Raises InputError naming the field that is out of range."""

    heatmap_size: Size
    head: Literal["auto", "single", "two-layer"] = "auto"


@dataclass(frozen=True, kw_only=True)
class ReducingConfig(KeypointViTConfig):
    """Some patches are left out at each of `reduction_blocks`, keypoint tokens never."""

    reduction_blocks: tuple[WholeOrZero, ...] = (3, 6, 9)
    keep_rate: PositiveShare = 0.7
    """Fraction of the patches present that each reduction keeps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        blocks = self.reduction_blocks
        rising = list(blocks) == sorted(set(blocks)) and max(blocks, default=0) < self.depth
        check(rising, "reduction_blocks", blocks, f"rising block numbers below the depth {self.depth}")

    def check_one_each(self, name: str) -> None:
        """Raise InputError unless this field has one value for each of the reduction blocks, or is None."""
        given, wanted = getattr(self, name), len(self.reduction_blocks)
        fits = given is None or len(given) == wanted
        check(fits, name, given, f"one value for each of the {wanted} reduction_blocks, or none")


def tokens_per_block(config: KeypointViTConfig) -> list[int]:
    """Return tokens that each block works on."""
    return [config.num_keypoints + config.num_patches] * config.depth


def cost(config: KeypointViTConfig) -> Cost:
    """Return the closed form, in which nothing is dropped."""
    return embedding(config) + blocks(config, tokens_per_block(config)) + heatmap_head(config)


# The token count of 256x192 at a small width, as sharpose-nano-128x96
NANO = {"patch_size": 8, "depth": 6, "num_heads": 6, "head": "single", "drop_path": 0.0, "position_init": "sincos"}


def family(name: str, nano: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """Return small, base and nano of a system on this transformer; `nano` holds what its depth of 6 changes."""
    return {
        f"{name}-small-256x192": sized((256, 192), embed_dim=384),
        f"{name}-base-256x192": sized((256, 192), embed_dim=768),
        f"{name}-nano-128x96": sized((128, 96), embed_dim=96, **{**NANO, **(nano or {})}),
    }


SYSTEM = System(
    name="KeypointViT",
    config=KeypointViTConfig,
    model="sharpose.models.keypoint_vit.model:KeypointViT",
    sizes=family("keypoint-vit"),
    cost=cost,
    tokens_per_block=tokens_per_block,
    encoder=EncoderNames(),
)
