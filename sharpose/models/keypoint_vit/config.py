"""The plain vision transformer with keypoint tokens: what token reduction starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sharpose.models.config import Size, check, check_sizes, is_number
from sharpose.models.layers.vit_config import ViTConfig
from sharpose.models.system import EncoderNames, System


@dataclass(frozen=True, kw_only=True)
class KeypointViTConfig(ViTConfig):
    """Sizes are (height, width) in pixels or patches. Raises InputError naming the field that is out of range."""

    heatmap_size: Size
    head: Literal["auto", "single", "two-layer"] = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self, "heatmap_size")


def check_blocks(config: Any, name: str) -> None:
    """This field lists blocks in rising order."""
    blocks = getattr(config, name)
    rising = isinstance(blocks, tuple) and list(blocks) == sorted(set(blocks))
    inside = rising and all(isinstance(block, int) and 0 <= block < config.depth for block in blocks)
    check(inside, name, blocks, f"rising block numbers below the depth {config.depth}")


def check_keep_rate(name: str, value: object) -> None:
    """A share of tokens to keep lies in (0, 1]."""
    check(is_number(value) and 0 < value <= 1, name, value, "above 0 and at most 1")  # type: ignore[operator]


def check_keep_rates(config: Any, name: str) -> None:
    """This field has one share in (0, 1] for each of the reduction blocks, or is None."""
    rates, wanted = getattr(config, name), len(config.reduction_blocks)
    if rates is None:
        return
    fits = isinstance(rates, tuple) and len(rates) == wanted
    check(fits, name, rates, f"one value for each of the {wanted} reduction_blocks, or none")
    for rate in rates:
        check_keep_rate(name, rate)


def tokens_per_block(config: KeypointViTConfig) -> list[int]:
    """Tokens that each block works on."""
    return [config.num_keypoints + config.num_patches] * config.depth


# The token count of 256x192 at a small width, as sharpose-nano-128x96
NANO = {"patch_size": 8, "depth": 6, "num_heads": 6, "head": "single", "drop_path": 0.0, "position_init": "sincos"}


def family(name: str, nano: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """Small, base and nano of a system on this transformer; `nano` holds what its depth of 6 changes."""

    def values(image: Size, embed_dim: int, **more: Any) -> dict[str, Any]:
        return {"image_size": image, "heatmap_size": (image[0] // 4, image[1] // 4), "embed_dim": embed_dim, **more}

    return {
        f"{name}-small-256x192": values((256, 192), 384),
        f"{name}-base-256x192": values((256, 192), 768),
        f"{name}-nano-128x96": values((128, 96), 96, **{**NANO, **(nano or {})}),
    }


SIZES: dict[str, dict[str, Any]] = family("keypoint-vit")

SYSTEM = System(
    name="KeypointViT",
    config=KeypointViTConfig,
    model="sharpose.models.keypoint_vit.model:KeypointViT",
    sizes=SIZES,
    cost="sharpose.models.keypoint_vit.cost:keypoint_vit",
    tokens_per_block=tokens_per_block,
    encoder=EncoderNames(),
)
