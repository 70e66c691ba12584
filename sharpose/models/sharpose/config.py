"""SHaRPose's sizes, and the switches between the paper's text and its public release."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from sharpose.models.config import EXTENSION, Size, Whole, WholeOrZero, check_heads, check_sides, sized
from sharpose.models.layout import Layout, Table
from sharpose.models.system import EncoderNames, System
from sharpose.models.tome.config import merged_counts
from sharpose.runtime.fields import Finite, Share, ShareBelowOne, check_fields

KEEP_PARTS = 16


@dataclass(frozen=True)
class SHaRPoseConfig:
    """Sizes are (height, width) in pixels or patches. Raises InputError naming the field that is out of range.

    The fields from `alpha_mass` on go beyond the paper and are off by default; the six before them differ between its
    text and the release, and `PRESETS` holds both sets.
    """

    image_size: Size
    embed_dim: Whole
    heatmap_size: Size
    alpha: Share
    patch_size: Whole = 16
    refine_ratio: Whole = 2
    """s_f / s_c: a selected coarse patch becomes refine_ratio² fine patches."""
    depth: Whole = 12
    num_heads: Whole = 12
    mlp_ratio: Whole = 4
    num_keypoints: Whole = 17
    head: Literal["auto", "single", "two-layer"] = "auto"
    stages: Literal["coarse-fine", "coarse", "fine"] = "coarse-fine"
    """`coarse` and `fine` alone are Table 8's Coarse-None and None-Fine (all fine patches, no quality token)."""
    drop_path: ShareBelowOne = 0.1
    attention_beta: ShareBelowOne = 0.99
    position_init: Literal["normal", "sincos"] = "normal"
    keep_rounding: Literal["ceil", "floor"] = "ceil"
    relevance_blocks: Literal["late", "all"] = "late"
    """`late`: the blocks with index >= depth // 4."""
    relevance_rows: Literal["all-but-last", "all", "quality"] = "all-but-last"
    """Whose attention ranks patches: that of keypoint tokens, or (`quality`) of the one token for the whole picture, as
    in CF-ViT."""
    unselected_tokens: Literal["input", "output"] = "input"
    """What stands for a coarse patch in the fine stage: its embedding before the blocks, or its coarse output."""
    quality_threshold: Finite | None = None
    """Instances with a predicted quality below it are refined; None refines every instance."""
    oks_target: Literal["release", "paper"] = "release"
    alpha_mass: Share | None = field(default=None, metadata=EXTENSION)
    """Refine the fewest patches that hold this fraction of an image's relevance, rounded up to one of `keep_sizes`;
    None: the fraction `alpha` of every image's patches. An α given to a call overrides it."""
    fine_merge: WholeOrZero = field(default=0, metadata=EXTENSION)
    """Pairs of similar patches that every block of the fine stage merges, as in ToMe; keypoint tokens never merge."""
    selection: Literal["attention", "constant", "random", "keypoints"] = field(default="attention", metadata=EXTENSION)
    """Controls in place of attention (`evaluation.selection`): one map of relevance for everybody, chance, or where the
    annotated keypoints are."""
    selection_seed: WholeOrZero = field(default=0, metadata=EXTENSION)
    """Seed of `selection = random`."""

    def __post_init__(self) -> None:
        check_fields(self)
        check_sides(self.image_size, self.patch_size * self.refine_ratio, "patch_size × refine_ratio = ")
        check_heads(self.embed_dim, self.num_heads)

    @property
    def not_static(self) -> str | None:
        """Say that with `alpha_mass` every image may take another number of tokens."""
        if self.alpha_mass is None:
            return None
        return "alpha_mass: a static graph refines a fixed number of patches; leave it out and give alpha"

    @property
    def coarse_image_size(self) -> Size:
        """Return height and width of the coarse stage's picture, in pixels."""
        return self.image_size[0] // self.refine_ratio, self.image_size[1] // self.refine_ratio

    @property
    def coarse_grid(self) -> Size:
        """Return rows and columns of coarse patches."""
        height, width = self.coarse_image_size
        return height // self.patch_size, width // self.patch_size

    @property
    def fine_grid(self) -> Size:
        """Return rows and columns of fine patches, of the picture in full size."""
        return self.image_size[0] // self.patch_size, self.image_size[1] // self.patch_size

    @property
    def num_coarse(self) -> int:
        """Return how many coarse patches there are."""
        return math.prod(self.coarse_grid)

    @property
    def num_fine(self) -> int:
        """Return how many fine patches there are."""
        return math.prod(self.fine_grid)

    @property
    def first_relevance_block(self) -> int:
        """Return the index of the first block whose attention counts for relevance."""
        return self.depth // 4 if self.relevance_blocks == "late" else 0

    @property
    def guided_blocks(self) -> int:
        """Return how many blocks, the last ones, have their keypoint tokens' attention guided where a loss does."""
        return max(1, self.depth // 3)

    @property
    def relevance_queries(self) -> slice:
        """Return where in the coarse sequence `[quality, keypoints, patches]` the tokens are whose attention counts."""
        if self.relevance_rows == "quality":
            return slice(0, 1)
        # the release leaves the last keypoint out
        leaves_out = self.relevance_rows == "all-but-last" and self.num_keypoints > 1
        return slice(1, 1 + self.num_keypoints - leaves_out)

    @property
    def has_coarse(self) -> bool:
        """Return whether there is a coarse stage."""
        return self.stages != "fine"

    @property
    def has_fine(self) -> bool:
        """Return whether there is a fine stage."""
        return self.stages != "coarse"

    def num_keep(self, alpha: float | None = None) -> int:
        """Return how many coarse patches are refined (eq. 7). Plain floating-point rounding, as in the release."""
        wanted = (self.alpha if alpha is None else alpha) * self.num_coarse
        return math.ceil(wanted) if self.keep_rounding == "ceil" else math.floor(wanted)

    @property
    def keep_sizes(self) -> tuple[int, ...]:
        """Return the numbers of refined patches that `alpha_mass` may give: sixteenths, to share batches."""
        return tuple(sorted({math.ceil(self.num_coarse * part / KEEP_PARTS) for part in range(KEEP_PARTS + 1)}))

    @property
    def merge_schedule(self) -> tuple[int, ...]:
        """Return how many pairs each block of the fine stage is to merge."""
        return (self.fine_merge,) * self.depth


# The released configurations set their threshold per size, so `release` leaves it to the registry.
PRESETS: dict[str, dict[str, Any]] = {
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


def values(image: Size, embed_dim: int, alpha: float, threshold: float, **more: Any) -> dict[str, Any]:
    """Return the options of a size; heatmaps are a quarter of the image (height, width)."""
    return sized(image, embed_dim=embed_dim, alpha=alpha, quality_threshold=threshold, **more)


MPII = {"num_keypoints": 16}
# Small widths, the token counts of 256x192 (48 coarse, 192 fine), of 384x288 (108, 432) and of 256x256 (64, 256): the
# toy runs the real path.
NANO = {"patch_size": 8, "depth": 6, "num_heads": 6, "head": "single", "drop_path": 0.0, "position_init": "sincos"}

# Paper, Section 4 and Table 2; thresholds as in the released configurations (1.2 practically never exits).
SIZES: dict[str, dict[str, Any]] = {
    "sharpose-small-256x192": values((256, 192), 384, 0.5, 0.99),
    "sharpose-small-384x288": values((384, 288), 384, 0.5, 0.99),
    "sharpose-base-256x192": values((256, 192), 768, 0.4, 0.99),
    "sharpose-base-384x288": values((384, 288), 768, 0.3, 1.2),
    # MPII's size, with its 16 keypoints; α is stated for 256x192 alone, so that one is taken
    "sharpose-base-256x256-mpii": values((256, 256), 768, 0.4, 0.99, **MPII),
    "sharpose-nano-128x96": values((128, 96), 96, 0.4, 0.95, **NANO),
    "sharpose-nano-192x144": values((192, 144), 96, 0.3, 0.95, **NANO),
    "sharpose-nano-128x128-mpii": values((128, 128), 96, 0.4, 0.95, **NANO, **MPII),
    # half as wide, as Small is half of Base
    "sharpose-nano-small-128x96": values((128, 96), 48, 0.5, 0.95, **NANO),
    "sharpose-nano-small-192x144": values((192, 144), 48, 0.5, 0.95, **NANO),
}


def tokens_per_block(config: SHaRPoseConfig) -> list[int]:
    """Return tokens that enter each block of the coarse stage, then the fine one at `alpha`, even with `alpha_mass`."""
    coarse = [1 + config.num_keypoints + config.num_coarse] * config.depth if config.has_coarse else []
    fine = fine_patches(config, config.num_keep())[:-1] if config.has_fine else []
    return coarse + [config.num_keypoints + patches for patches in fine]


def fine_patches(config: SHaRPoseConfig, keep: int) -> list[int]:
    """Return the numbers of patches before the fine stage and after each of its blocks, with `keep` refined ones."""
    mixed = config.refine_ratio**2 * keep + config.num_coarse - keep
    return merged_counts(mixed if config.has_coarse else config.num_fine, config.merge_schedule)


# the public names of its weights
RELEASE: Table = (
    (r"^backbone\.pos_embed_list\.0$", "coarse_pos_embed"),
    (r"^backbone\.pos_embed_list\.1$", "fine_pos_embed"),
    (r"^backbone\.reuse_block\.0\.", "reuse_norm."),
    (r"^backbone\.reuse_block\.1\.", "reuse_mlp."),
    # the release numbers its dropouts, which we leave out
    (r"^backbone\.quality_predictor\.mlp\.3\.", "quality_predictor.mlp.2."),
    (r"^backbone\.quality_predictor\.mlp\.6\.", "quality_predictor.mlp.4."),
    (r"^backbone\.", ""),
    (r"^keypoint_head\.heatmap_mlp\.", "head.layers."),
)

SYSTEM = System(
    name="SHaRPose",
    config=SHaRPoseConfig,
    model="sharpose.models.sharpose.model:SHaRPose",
    sizes=SIZES,
    presets=PRESETS,
    cost="sharpose.models.sharpose.cost:sharpose",
    tokens_per_block=tokens_per_block,
    criterion="sharpose.training.criterion:SHaRPoseCriterion",
    layouts=(Layout("release", RELEASE, shows="backbone.keypoint_tokens"),),
    encoder=EncoderNames(positions=("coarse_pos_embed", "fine_pos_embed")),
    cases={"SHaRPose": "experiments.conformance.models:check_sharpose"},
)
