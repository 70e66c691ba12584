"""The transformer with keypoint tokens that says where the keypoints are instead of drawing heatmaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sharpose.models.keypoint_vit.config import KeypointViTConfig, family, tokens_per_block
from sharpose.models.system import EncoderNames, System
from sharpose.runtime.fields import Positive

__all__ = ["RegressionViTConfig", "tokens_per_block"]


@dataclass(frozen=True, kw_only=True)
class RegressionViTConfig(KeypointViTConfig):
    """`head` has no meaning here: three layers give (x, y). The maps of its output are drawn around those points."""

    drawn_sigma: Positive = 2.0
    """Of the Gaussians, in heatmap pixels; where they peak, and so what is decoded, does not depend on it."""
    codec: Literal["drawn"] = "drawn"


SIZES: dict[str, dict[str, Any]] = family("regression-vit")

SYSTEM = System(
    name="RegressionViT",
    config=RegressionViTConfig,
    model="sharpose.models.regression_vit.model:RegressionViT",
    sizes=SIZES,
    cost="sharpose.models.regression_vit.cost:regression_vit",
    tokens_per_block=tokens_per_block,
    objective="sharpose.training.objective:RegressionObjective",
    encoder=EncoderNames(),
)
