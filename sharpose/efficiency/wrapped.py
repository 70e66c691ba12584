"""Models of other libraries behind the interface of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from sharpose.models.output import PoseModel


class Wrapped(PoseModel):
    """A network of another library; `run` calls it with normalised images (B, 3, H, W) and gives what ours would."""

    def __init__(self, network: Any, run: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.network, self.run = network, run

    def forward(self, images: Tensor) -> Any:
        """Return the output for normalised images (B, 3, H, W)."""
        return self.run(self.network, images)
