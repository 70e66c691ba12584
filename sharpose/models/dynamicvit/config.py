"""DynamicViT for poses: where patches are dropped, and how many stay."""

from __future__ import annotations

from dataclasses import dataclass

from sharpose.models.config import check
from sharpose.models.keypoint_vit.config import ReducingConfig, family
from sharpose.models.layers.cost import Cost, blocks, embedding, heatmap_head, layer_norm, mlp, total
from sharpose.models.system import EncoderNames, System
from sharpose.runtime.fields import PositiveShare


@dataclass(frozen=True, kw_only=True)
class DynamicViTConfig(ReducingConfig):
    """A predictor before each of `reduction_blocks` keeps `keep_rate` of what is left; keypoint tokens always stay."""

    token_ratios: tuple[PositiveShare, ...] | None = None
    """Fractions of the original patches left after each reduction; None: keep_rate, keep_rate², ..."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_one_each("token_ratios")
        falling = list(self.ratios) == sorted(self.ratios, reverse=True)
        check(falling, "token_ratios", self.token_ratios, "falling, as dropped patches do not come back")
        check(min(self.num_kept, default=1) >= 1, "keep_rate", self.keep_rate, "large enough to keep one patch")
        check(self.embed_dim % 4 == 0, "embed_dim", self.embed_dim, "a multiple of 4 for the predictors")

    @property
    def ratios(self) -> tuple[float, ...]:
        """Return the fractions of the original patches left after each reduction."""
        if self.token_ratios is not None:
            return self.token_ratios
        return tuple(self.keep_rate ** (stage + 1) for stage in range(len(self.reduction_blocks)))

    @property
    def num_kept(self) -> tuple[int, ...]:
        """Return patches left after each reduction."""
        return tuple(int(self.num_patches * ratio) for ratio in self.ratios)


def tokens_per_block(config: DynamicViTConfig) -> list[int]:
    """Return tokens that each block works on, keypoint tokens included."""
    kept, patches, counts = dict(zip(config.reduction_blocks, config.num_kept, strict=True)), config.num_patches, []
    for block in range(config.depth):
        patches = kept.get(block, patches)
        counts.append(config.num_keypoints + patches)
    return counts


def cost(config: DynamicViTConfig) -> Cost:
    """Return the closed form, with a predictor on the patches that are there before each reduction."""
    dim, present = config.embed_dim, (config.num_patches, *config.num_kept)[:-1]
    widths = [dim, dim, dim // 2, dim // 4, 2]
    predictors = total(layer_norm(dim, patches) + mlp(widths, patches) for patches in present)
    return embedding(config) + predictors + blocks(config, tokens_per_block(config)) + heatmap_head(config)


SYSTEM = System(
    name="DynamicViT",
    config=DynamicViTConfig,
    model="sharpose.models.dynamicvit.model:DynamicViT",
    # nano: half as deep, so reduced before blocks 2, 3 and 5
    sizes=family("dynamicvit", {"reduction_blocks": (2, 3, 5)}),
    cost=cost,
    tokens_per_block=tokens_per_block,
    criterion="sharpose.training.criterion:DynamicViTCriterion",
    encoder=EncoderNames(),
    cases={"DynamicViT": "experiments.conformance.token_reduction:check_dynamicvit"},
)
