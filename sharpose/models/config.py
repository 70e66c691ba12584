"""What determines a SHaRPose model: sizes, and the switches between paper and public release. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args, get_type_hints

from sharpose.errors import InputError

Size = tuple[int, int]


@dataclass(frozen=True)
class SHaRPoseConfig:
    """Sizes are (height, width) in pixels or patches. Raises InputError naming the field that is out of range.

    The last six fields differ between the paper's text and the release; `PRESETS` holds both sets.
    """

    image_size: Size
    embed_dim: int
    heatmap_size: Size
    alpha: float
    patch_size: int = 16
    refine_ratio: int = 2
    """s_f / s_c: a selected coarse patch becomes refine_ratio² fine patches."""
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: int = 4
    num_keypoints: int = 17
    head: Literal["auto", "single", "two-layer"] = "auto"
    drop_path: float = 0.1
    attention_beta: float = 0.99
    position_init: Literal["normal", "sincos"] = "normal"
    keep_rounding: Literal["ceil", "floor"] = "ceil"
    relevance_blocks: Literal["late", "all"] = "late"
    """`late`: the blocks with index >= depth // 4."""
    relevance_rows: Literal["all-but-last", "all"] = "all-but-last"
    unselected_tokens: Literal["input", "output"] = "input"
    """What stands for a coarse patch in the fine stage: its embedding before the blocks, or its coarse output."""
    quality_threshold: float | None = None
    """Instances with a predicted quality below it are refined; None refines every instance."""
    oks_target: Literal["release", "paper"] = "release"

    def __post_init__(self) -> None:
        for field, hint in get_type_hints(type(self)).items():
            if choices := [choice for choice in get_args(hint) if isinstance(choice, str)]:
                check(getattr(self, field) in choices, field, getattr(self, field), "one of " + ", ".join(choices))
        for field in ("patch_size", "refine_ratio", "embed_dim", "depth", "num_heads", "mlp_ratio", "num_keypoints"):
            value = getattr(self, field)
            check(isinstance(value, int) and value >= 1, field, value, "a whole number of at least 1")
        step = self.patch_size * self.refine_ratio
        for field in ("image_size", "heatmap_size"):
            sides = getattr(self, field)
            whole = isinstance(sides, tuple) and len(sides) == 2 and all(isinstance(s, int) and s > 0 for s in sides)
            check(whole, field, sides, "(height, width) in whole pixels")
        divisible = all(side % step == 0 for side in self.image_size)
        check(divisible, "image_size", self.image_size, f"two multiples of patch_size × refine_ratio = {step}")
        check(self.embed_dim % self.num_heads == 0, "num_heads", self.num_heads, f"a divisor of {self.embed_dim}")
        check(is_number(self.alpha) and 0 <= self.alpha <= 1, "alpha", self.alpha, "between 0 and 1")
        check(is_number(self.drop_path) and 0 <= self.drop_path < 1, "drop_path", self.drop_path, "in [0, 1)")
        beta = self.attention_beta
        check(is_number(beta) and 0 <= beta < 1, "attention_beta", beta, "in [0, 1)")
        threshold = self.quality_threshold
        check(threshold is None or is_number(threshold), "quality_threshold", threshold, "a number, or none")

    @property
    def coarse_image_size(self) -> Size:
        return self.image_size[0] // self.refine_ratio, self.image_size[1] // self.refine_ratio

    @property
    def coarse_grid(self) -> Size:
        height, width = self.coarse_image_size
        return height // self.patch_size, width // self.patch_size

    @property
    def fine_grid(self) -> Size:
        return self.image_size[0] // self.patch_size, self.image_size[1] // self.patch_size

    @property
    def num_coarse(self) -> int:
        return math.prod(self.coarse_grid)

    @property
    def num_fine(self) -> int:
        return math.prod(self.fine_grid)

    @property
    def first_relevance_block(self) -> int:
        return self.depth // 4 if self.relevance_blocks == "late" else 0

    @property
    def num_relevance_rows(self) -> int:
        """How many keypoint queries count; the release leaves the last keypoint out."""
        return self.num_keypoints - (self.relevance_rows == "all-but-last" and self.num_keypoints > 1)

    def num_keep(self, alpha: float | None = None) -> int:
        """How many coarse patches are refined (eq. 7). Plain floating-point rounding, as in the release."""
        wanted = (self.alpha if alpha is None else alpha) * self.num_coarse
        return math.ceil(wanted) if self.keep_rounding == "ceil" else math.floor(wanted)


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check(holds: bool, field: str, value: object, wanted: str) -> None:
    if not holds:
        raise InputError(f"{field} = {value!r} does not work: it must be {wanted}")


# The released configurations set their threshold per size, so `release` leaves it to the registry.
PRESETS: dict[str, dict[str, object]] = {
    "release": {
        "keep_rounding": "ceil",
        "relevance_blocks": "late",
        "relevance_rows": "all-but-last",
        "unselected_tokens": "input",
        "oks_target": "release",
    },
    "paper": {
        "keep_rounding": "floor",
        "relevance_blocks": "all",
        "relevance_rows": "all",
        "unselected_tokens": "output",
        "oks_target": "paper",
        "quality_threshold": 0.95,
    },
}
