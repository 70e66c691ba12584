"""HRFormer: HRNet's parallel branches with attention in small windows instead of 3x3 convolutions.

The paper's table gives 14.7 GFLOPs for Base at 256x192. No way of counting reproduces it: fvcore counts 14.1, and
torch 13.9.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from sharpose.models.hrformer.config import HRFormerConfig
from sharpose.models.hrnet.model import HighResolutionTrunk, HRNet, ParallelModule
from sharpose.models.layers.cnn import convolution
from sharpose.models.layers.vit import DropPath, init_linear


class WindowAttention(nn.Module):
    """Attention inside windows of w x w positions, with a table of biases per pair of relative positions.

    Maps are zero padded on all sides to whole windows; the padding takes part in the attention, as in the release.
    The release has the table among its weights and does not add it; `position_bias` adds it.
    With `explicit` the attention matrices are formed, as cost counters need it.
    """

    relative_position_index: Tensor

    def __init__(self, dim: int, num_heads: int, window_size: int, position_bias: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window_size = window_size
        self.position_bias = position_bias
        self.explicit = False
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(dim, dim)
        self.v_proj = nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)
        table = torch.zeros((2 * window_size - 1) ** 2, num_heads)
        self.relative_position_bias_table = nn.Parameter(table, requires_grad=position_bias)
        self.register_buffer("relative_position_index", relative_positions(window_size), persistent=False)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, maps: Float[Tensor, "B h w D"]) -> Float[Tensor, "B h w D"]:
        """Attend within windows of maps padded to whole windows, on both sides; the padding is cut off again."""
        height, width, size = maps.shape[1], maps.shape[2], self.window_size
        extra_rows, extra_columns = -height % size, -width % size
        top, left = extra_rows // 2, extra_columns // 2
        padded = F.pad(maps, (0, 0, left, extra_columns - left, top, extra_rows - top))
        windows = split_windows(padded, size)
        mixed = join_windows(self.attend(windows), size, padded)
        return mixed[:, top : top + height, left : left + width]

    def attend(self, windows: Float[Tensor, "windows N D"]) -> Float[Tensor, "windows N D"]:
        """Attend in every window by itself."""
        q, k, v = (
            projection(windows).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        bias = None
        if self.position_bias:
            bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1).to(q.dtype)
        if self.explicit:
            logits = q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)
            mixed = (logits if bias is None else logits + bias).softmax(dim=-1) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


def relative_positions(size: int) -> Int[Tensor, "N N"]:
    """Return the row of a table of biases for each pair of a window's s² positions: by rows apart, then columns."""
    places = torch.cartesian_prod(torch.arange(size), torch.arange(size))
    rows, columns = (places[:, None] - places + size - 1).unbind(-1)
    return rows * (2 * size - 1) + columns


def split_windows(maps: Float[Tensor, "B H W D"], size: int) -> Float[Tensor, "windows N D"]:
    """Split (B, rows·s, columns·s, D) into (B·rows·columns, s², D)."""
    return maps.unflatten(2, (-1, size)).unflatten(1, (-1, size)).transpose(2, 3).flatten(3, 4).flatten(0, 2)


def join_windows(
    windows: Float[Tensor, "windows N D"], size: int, maps: Float[Tensor, "B H W D"]
) -> Float[Tensor, "B H W D"]:
    """Undo `split_windows`; maps: of the size that was split."""
    grid = windows.unflatten(1, (size, size)).unflatten(0, (-1, maps.shape[1] // size, maps.shape[2] // size))
    return grid.transpose(2, 3).flatten(3, 4).flatten(1, 2)


class ConvolutionalMlp(nn.Module):
    """1x1, depthwise 3x3 and 1x1 convolutions, each with BatchNorm and GELU: the only path between windows."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(dim, hidden, kernel_size=1)
        self.norm1 = nn.BatchNorm2d(hidden)
        self.dw3x3 = nn.Conv2d(hidden, hidden, kernel_size=3, padding=1, groups=hidden)
        self.norm2 = nn.BatchNorm2d(hidden)
        self.fc2 = nn.Conv2d(hidden, dim, kernel_size=1)
        self.norm3 = nn.BatchNorm2d(dim)

    def forward(self, maps: Float[Tensor, "B D h w"]) -> Float[Tensor, "B D h w"]:
        """Apply 1x1, depthwise 3x3 and 1x1 convolutions, each with BatchNorm and GELU."""
        maps = F.gelu(self.norm1(self.fc1(maps)))
        maps = F.gelu(self.norm2(self.dw3x3(maps)))
        return F.gelu(self.norm3(self.fc2(maps)))


class WindowBlock(nn.Module):
    """Pre-norm block on maps (B, D, h, w): window attention, then the convolutional MLP."""

    def __init__(self, dim: int, num_heads: int, config: HRFormerConfig, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = WindowAttention(dim, num_heads, config.window_size, config.position_bias)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = ConvolutionalMlp(dim, config.mlp_ratio * dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, maps: Float[Tensor, "B D h w"]) -> Float[Tensor, "B D h w"]:
        """Add attention in windows, then the convolutional MLP, each behind its norm."""
        maps = maps.permute(0, 2, 3, 1)
        maps = maps + self.drop_path(self.attn(self.norm1(maps)))
        fed = self.mlp(self.norm2(maps).permute(0, 3, 1, 2))
        return maps.permute(0, 3, 1, 2) + self.drop_path(fed)


def up(inputs: int, outputs: int, factor: int) -> nn.Module:
    """Make the layers from a coarser branch, bilinearly."""
    resize = nn.Upsample(scale_factor=factor, mode="bilinear", align_corners=False)
    return nn.Sequential(convolution(inputs, outputs, 1), nn.BatchNorm2d(outputs), resize)


def down(inputs: int, outputs: int, last: bool) -> nn.Module:
    """Make the layers to half the size, by a depthwise convolution and a change of width."""
    depthwise = convolution(inputs, inputs, 3, stride=2, groups=inputs)
    layers = [depthwise, nn.BatchNorm2d(inputs), convolution(inputs, outputs, 1), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers) if last else nn.Sequential(*layers, nn.ReLU())


class WindowTrunk(HighResolutionTrunk):
    """HRNet's trunk of window blocks, bilinear upsampling, and halvings by depthwise convolutions."""

    def make_module(self, stage: int, index: int, widths: Sequence[int], outputs: int) -> ParallelModule:
        """Make a module whose stochastic depth continues where the one before it stopped."""
        config, count = self.config, self.config.blocks_per_branch
        rates = torch.linspace(0, config.drop_path, sum(config.modules) * count, device="cpu").tolist()
        first = (sum(config.modules[: stage - 2]) + index) * count
        branches = [
            nn.Sequential(*(WindowBlock(width, heads, config, rate) for rate in rates[first : first + count]))
            for width, heads in zip(widths, config.num_heads, strict=False)
        ]
        return ParallelModule(branches, widths, outputs, up, down)


class HRFormer(HRNet):
    """HRFormer for poses: normalised images (B, 3, H, W) to heatmaps of a quarter of the size."""

    trunk = WindowTrunk
    without_decay = ("relative_position_bias_table",)
    """The only parameters without weight decay: norms and biases have it."""

    def init_weights(self) -> None:
        """Initialise linear layers as in a ViT, all else as in HRNet."""
        self.apply(init_linear)
        super().init_weights()
