"""What every model is, and what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class PoseOutput:
    """`heatmaps` as the model's codec decodes them; systems with more to say return their own class with this field."""

    heatmaps: Float[Tensor, "B K h w"]


class PoseModel(nn.Module):
    """A system of `sharpose.models`: built from its `config`, called with normalised images (B, 3, H, W)."""

    config: Any
    head: Any
    without_decay: tuple[str, ...] | None = None
    """Words in the names of the only parameters without weight decay; None: the rule of the ViTPose family."""

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        if config is not None:
            self.config = config

    @property
    def stages(self) -> tuple[str, ...]:
        """Return the stages that can be called apart, `coarse` and `fine`; none where the model is one piece."""
        return ()

    @property
    def heatmap_layers(self) -> Sequence[nn.Linear | nn.Conv2d]:
        """Return the layers whose outputs are the heatmaps; none where a system gives coordinates."""
        if getattr(self.config, "codec", None) == "drawn":
            return []
        layers = [module for module in self.head.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
        return layers[-1:]
