"""The predictor of the coarse result's quality, on which an early exit is decided."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class QualityPredictor(nn.Module):
    """Expected OKS of the coarse result from the quality token (Section 3.3); the last GELU is the release's."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        hidden = [nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim), nn.GELU()]
        self.mlp = nn.Sequential(*hidden, nn.Linear(dim, 1), nn.GELU())

    def forward(self, token: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
        """Return the expected OKS from the quality token after the coarse stage."""
        return self.mlp(self.norm(token)).squeeze(1)
