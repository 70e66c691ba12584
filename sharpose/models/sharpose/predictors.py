"""Predictors of quality after the coarse stage, on which an early exit is decided."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class QualityPredictor(nn.Module):
    """Expected OKS of the coarse result from the quality token (Section 3.3); the last GELU is the release's."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(*layers(dim), nn.GELU())

    def forward(self, token: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
        """Return the expected OKS from the quality token after the coarse stage."""
        return self.mlp(self.norm(token)).squeeze(1)


class GainPredictor(nn.Module):
    """The OKS that the fine stage would gain, from the coarse stage's keypoint tokens; not in the paper.

    OKS is a mean over keypoints, so every token says what its own gains. Returned as a quality, 1 minus the gain.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(*layers(dim))

    def forward(self, tokens: Float[Tensor, "B K D"]) -> Float[Tensor, " B"]:
        """Return 1 minus the expected gain in OKS, from the keypoint tokens after the coarse stage."""
        return 1 - self.mlp(self.norm(tokens)).mean(dim=(1, 2))


def layers(dim: int) -> list[nn.Module]:
    """Three linear layers from a token to a number."""
    return [nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 1)]
