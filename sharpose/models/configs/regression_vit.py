"""The transformer with keypoint tokens that says where the keypoints are instead of drawing heatmaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sharpose.models.configs.base import Entry, check, is_number
from sharpose.models.configs.keypoint_vit import KeypointViTConfig, family, tokens_per_block

__all__ = ["MODELS", "RegressionViTConfig", "tokens_per_block"]


@dataclass(frozen=True, kw_only=True)
class RegressionViTConfig(KeypointViTConfig):
    """`head` has no meaning here: three layers give (x, y). The maps of its output are drawn around those points."""

    drawn_sigma: float = 2.0
    """Of the Gaussians, in heatmap pixels; where they peak, and so what is decoded, does not depend on it."""
    codec: Literal["drawn"] = "drawn"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive = is_number(self.drawn_sigma) and self.drawn_sigma > 0
        check(positive, "drawn_sigma", self.drawn_sigma, "a positive number")


MODELS: dict[str, Entry] = family("regression-vit", RegressionViTConfig, "sharpose.models.regression_vit:RegressionViT")
