"""What the convolutional systems have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sharpose.models.config import PoseConfig, Whole, check, check_heads, check_sides
from sharpose.runtime.fields import Positive

ResNetDepth = Literal[18, 34, 50, 101, 152]
# kind of block, and blocks per stage
RESNETS: dict[int, tuple[str, tuple[int, ...]]] = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}


@dataclass(frozen=True, kw_only=True)
class CnnConfig(PoseConfig):
    """Heatmaps are a quarter of the image."""

    def check_quarter(self, step: int) -> None:
        """Check that the image's sides are multiples of `step`, and the heatmap's are a quarter of them."""
        check_sides(self.image_size, step)
        quarter = (self.image_size[0] // 4, self.image_size[1] // 4)
        check(self.heatmap_size == quarter, "heatmap_size", self.heatmap_size, f"a quarter of image_size: {quarter}")


def check_branches(config: Any, modules: str, *names: str) -> int:
    """Check fields that say something of each parallel branch, one more with each of the stages that `modules` lists.

    Returns the stride of the coarsest branch.
    """
    branches = len(getattr(config, modules)) + 1
    for name in names:
        value = getattr(config, name)
        check(len(value) == branches, name, value, f"{branches} numbers: one more than {modules} has")
    return int(2 ** (branches + 1))


@dataclass(frozen=True, kw_only=True)
class QueryConfig(CnnConfig):
    """An encoder over features, of a ResNet for one, and a decoder whose queries give points.

    Maps of its output are drawn around its points, so `heatmap_size` and `drawn_sigma`, in heatmap pixels, change no
    result.
    """

    embed_dim: Whole = 256
    num_heads: Whole = 8
    encoder_depth: Whole = 6
    decoder_depth: Whole = 6
    stem_channels: Whole = 64
    resnet_depth: ResNetDepth = 50
    resnet_channels: Whole = 64
    drawn_sigma: Positive = 2.0
    codec: Literal["drawn"] = "drawn"  # type: ignore[assignment]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self.embed_dim, self.num_heads)


# of systems with queries: a small stand-in, at most as costly as sharpose-nano-128x96
QUERY_NANO: dict[str, Any] = {
    **{"embed_dim": 96, "hidden_dim": 192, "num_heads": 6, "encoder_depth": 2, "decoder_depth": 3},
    **{"resnet_depth": 18, "stem_channels": 24, "resnet_channels": 24},
}
