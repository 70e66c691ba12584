"""TokenPose: keypoint tokens beside patch tokens in one transformer; each keypoint token becomes a heatmap.

The paper's table gives 1.2 GFLOPs for TokenPose-T at 256x192. fvcore and torch count 1.6: the smaller figure fits
counts that leave out attention. Likewise its 22.1 for L/D24 at 384x288 is 24.1 by fvcore.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sharpose.models.hrnet.model import HighResolutionTrunk
from sharpose.models.layers.cnn import init_convolution
from sharpose.models.layers.positions import sine_table
from sharpose.models.layers.vit import Attention, init_linear, make_blocks
from sharpose.models.output import PoseModel, PoseOutput
from sharpose.models.tokenpose.config import TokenPoseConfig


@dataclass(frozen=True)
class TokenPoseOutput(PoseOutput):
    """`keypoint_tokens`: after each stack of blocks; the head reads all of them."""

    keypoint_tokens: tuple[Float[Tensor, "B K D"], ...]


class TokenPose(PoseModel):
    """Normalised images (B, 3, H, W) to `TokenPoseOutput`: T reads raw pixels, L an HRNet's third stage."""

    def __init__(self, config: TokenPoseConfig) -> None:
        super().__init__(config)
        dim = config.embed_dim
        self.stem: nn.Module = nn.Identity()
        if config.stem_widths:
            self.stem = HighResolutionTrunk(config.stem)
        self.patch_embed = nn.Linear(math.prod(config.patch_size) * config.patch_channels, dim)
        self.keypoint_tokens = nn.Parameter(torch.zeros(1, config.num_keypoints, dim))
        # fixed, and kept with the weights as in the release
        self.pos_embed = nn.Parameter(sine_table(config.patch_grid, dim), requires_grad=False)
        self.stacks = nn.ModuleList(
            make_blocks(config.depth, dim, config.num_heads, config.mlp_ratio, drop_path=0.0)
            for _ in range(config.stacks)
        )
        for module in self.stacks.modules():
            if isinstance(module, Attention):
                module.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.head = token_head(config)
        self.apply(init_weights)
        nn.init.trunc_normal_(self.keypoint_tokens, std=0.02)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> TokenPoseOutput:
        """Return the heatmaps of normalised images, and the keypoint tokens after each stack."""
        config = self.config
        visual = self.patch_embed(flatten_patches(self.stem(images), config.patch_size)) + self.pos_embed
        tokens = torch.cat([self.keypoint_tokens.expand(len(images), -1, -1), visual], dim=1)
        # keypoint tokens have no position
        positions = F.pad(self.pos_embed, (0, 0, config.num_keypoints, 0))
        collected = []
        for stack in self.stacks:
            for index, block in enumerate(stack.children()):
                # positions are added again before every block but a stack's first
                tokens, _ = block(tokens if index == 0 else tokens + positions)
            collected.append(tokens[:, : config.num_keypoints])
        heatmaps = self.head(torch.cat(collected, dim=2)).unflatten(2, config.heatmap_size)
        return TokenPoseOutput(heatmaps, tuple(collected))


def init_weights(module: nn.Module) -> None:
    """Initialise a linear or convolutional layer in place; other modules stay as they are."""
    init_linear(module)
    init_convolution(module)


def token_head(config: TokenPoseConfig) -> nn.Sequential:
    """Make the layers from the tokens of all stacks, side by side, to pixels; no activation between the layers."""
    dim, pixels = config.stacks * config.embed_dim, math.prod(config.heatmap_size)
    if not config.has_two_layer_head:
        return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, pixels))
    hidden = config.head_hidden
    return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.LayerNorm(hidden), nn.Linear(hidden, pixels))


def flatten_patches(maps: Float[Tensor, "B C H W"], patch: tuple[int, int]) -> Float[Tensor, "B N values"]:
    """Flatten patches row by row; inside a patch row by row as well, channels fastest."""
    grid = maps.unflatten(3, (-1, patch[1])).unflatten(2, (-1, patch[0]))
    return grid.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
