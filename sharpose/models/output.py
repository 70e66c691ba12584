"""What every model returns."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class PoseOutput:
    """`heatmaps` as the model's codec decodes them; systems with more to say return their own class with this field."""

    heatmaps: Float[Tensor, "B K h w"]
