"""The transformer with keypoint tokens that says where the keypoints are instead of drawing heatmaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sharpose.models.keypoint_vit.config import KeypointViTConfig, family, tokens_per_block
from sharpose.models.layers.cost import Cost, blocks, embedding, layer_norm, mlp
from sharpose.models.system import EncoderNames, System
from sharpose.runtime.fields import Positive


@dataclass(frozen=True, kw_only=True)
class RegressionViTConfig(KeypointViTConfig):
    """`head` has no meaning here: three layers give (x, y). The maps of its output are drawn around those points."""

    drawn_sigma: Positive = 2.0
    """Of the Gaussians, in heatmap pixels; where they peak, and so what is decoded, does not depend on it."""
    codec: Literal["drawn"] = "drawn"


def cost(config: RegressionViTConfig) -> Cost:
    """Return the closed form, three layers in place of the heatmap head; drawing maps around points has no matmul."""
    dim, count = config.embed_dim, config.num_keypoints
    head = layer_norm(dim, count) + mlp([dim, dim, dim, 2], count)
    return embedding(config) + blocks(config, tokens_per_block(config)) + head


SYSTEM = System(
    name="RegressionViT",
    config=RegressionViTConfig,
    model="sharpose.models.regression_vit.model:RegressionViT",
    sizes=family("regression-vit"),
    cost=cost,
    tokens_per_block=tokens_per_block,
    criterion="sharpose.training.criterion:RegressionCriterion",
    encoder=EncoderNames(),
)
