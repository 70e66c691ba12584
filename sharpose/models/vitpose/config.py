"""ViTPose's sizes and heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sharpose.models.config import Size, Whole, WholeOrZero, check
from sharpose.models.layers.cost import BILINEAR, Cost, blocks, convolution, doublings, patch_embed, pointwise, resize
from sharpose.models.layers.vit_config import ViTConfig
from sharpose.models.system import EncoderNames, System
from sharpose.runtime.fields import ShareBelowOne


@dataclass(frozen=True, kw_only=True)
class ViTPoseConfig(ViTConfig):
    """Sizes are (height, width) in pixels or patches. Raises InputError naming the field that is out of range.

    Heads: `classic` doubles the patch grid with one transposed convolution for each of `deconv_filters`; `simple`
    resizes it `upsample` times.
    """

    patch_padding: WholeOrZero = 2
    """Less than half a patch on each side, so it adds no patch."""
    head: Literal["classic", "simple"] = "classic"
    deconv_filters: tuple[Whole, ...] = (256, 256)
    upsample: Whole = 4
    drop_path: ShareBelowOne = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        inside = self.patch_padding < self.patch_size / 2
        check(inside, "patch_padding", self.patch_padding, "below half of patch_size")

    @property
    def heatmap_size(self) -> Size:
        """Return rows and columns of the heatmaps, which follow from the patches and the head."""
        scale = self.upsample if self.head == "simple" else 2 ** len(self.deconv_filters)
        return self.grid[0] * scale, self.grid[1] * scale


def tokens_per_block(config: ViTPoseConfig) -> list[int]:
    """Return tokens that each block works on."""
    return [config.num_patches] * config.depth


def cost(config: ViTPoseConfig) -> Cost:
    """Return the closed form: patch tokens alone, their position table with a row too many, and the head."""
    dim, maps, size = config.embed_dim, config.num_keypoints, config.heatmap_size
    if config.head == "simple":
        head = resize(dim, size, BILINEAR) + convolution(dim, maps, 3, size, bias=True, norm=False)
    else:
        widths = [dim, *config.deconv_filters]
        head = doublings(widths, config.grid) + pointwise(widths[-1], maps, size)
    table = Cost(params=(1 + config.num_patches) * dim)
    return table + patch_embed(config, config.num_patches) + blocks(config, tokens_per_block(config)) + head


WIDTHS: dict[str, dict[str, Any]] = {
    "small": {"embed_dim": 384, "drop_path": 0.1},
    "base": {"embed_dim": 768},
    "large": {"embed_dim": 1024, "depth": 24, "num_heads": 16, "drop_path": 0.5},
    "huge": {"embed_dim": 1280, "depth": 32, "num_heads": 16, "drop_path": 0.55},
}

# The token counts of 256x192 and 384x288 at a small width; from patches of 8, one doubling gives heatmaps of a quarter
NANO = {
    "patch_size": 8,
    "depth": 6,
    "num_heads": 6,
    "drop_path": 0.0,
    "position_init": "sincos",
    "deconv_filters": (64,),
}


SIZES: dict[str, dict[str, Any]] = {
    **{
        f"vitpose-{width}-{height}x{across}": dict(image_size=(height, across), **own)
        for width, own in WIDTHS.items()
        for height, across in ((256, 192), (384, 288))
    },
    "vitpose-base-simple-256x192": dict(image_size=(256, 192), head="simple", **WIDTHS["base"]),
    "vitpose-nano-128x96": dict(image_size=(128, 96), embed_dim=96, **NANO),
    "vitpose-nano-192x144": dict(image_size=(192, 144), embed_dim=96, **NANO),
    # half as wide, as Small is half of Base
    "vitpose-nano-small-128x96": dict(image_size=(128, 96), embed_dim=48, **NANO),
}

SYSTEM = System(
    name="ViTPose",
    config=ViTPoseConfig,
    model="sharpose.models.vitpose.model:ViTPose",
    sizes=SIZES,
    cost=cost,
    tokens_per_block=tokens_per_block,
    layouts="sharpose.models.vitpose.layouts:LAYOUTS",
    encoder=EncoderNames(class_row=True, norm="last_norm"),
    cases={"ViTPose": "experiments.conformance.models:check_vitpose"},
)
