"""Residual blocks that the convolutional systems share, with the parameter names of torchvision's ResNet."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; the stride is in the first."""

    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = convolution(inputs, planes, 3, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = convolution(planes, planes, 3)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = shortcut(inputs, planes, stride)

    def forward(self, maps: Float[Tensor, "B _ _ _"]) -> Float[Tensor, "B _ _ _"]:
        """Return the block's maps: two 3x3 convolutions, added to what came in."""
        deep = F.relu(self.bn1(self.conv1(maps)))
        return F.relu(self.bn2(self.conv2(deep)) + self.downsample(maps))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions to four times `planes`, and a shortcut; the stride is in the 3x3."""

    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        outputs = self.expansion * planes
        self.conv1 = convolution(inputs, planes, 1)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = convolution(planes, planes, 3, stride)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = convolution(planes, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = shortcut(inputs, outputs, stride)

    def forward(self, maps: Float[Tensor, "B _ _ _"]) -> Float[Tensor, "B _ _ _"]:
        """Return the block's maps: 1x1, 3x3 and 1x1 convolutions, added to what came in."""
        deep = F.relu(self.bn1(self.conv1(maps)))
        deep = F.relu(self.bn2(self.conv2(deep)))
        return F.relu(self.bn3(self.conv3(deep)) + self.downsample(maps))


def make_layer(
    block: type[BasicBlock] | type[Bottleneck], inputs: int, planes: int, count: int, stride: int = 1
) -> nn.Sequential:
    """Make `count` blocks in a row, the first with the stride and the change of width."""
    rest = [block(block.expansion * planes, planes) for _ in range(count - 1)]
    return nn.Sequential(block(inputs, planes, stride), *rest)


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Return a convolution without bias that keeps the size, or divides it by the stride."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)


def doubling(inputs: int, outputs: int) -> list[nn.Module]:
    """Make the layers to twice the size, by a 4x4 transposed convolution."""
    deconvolution = nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=False)
    return [deconvolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """Return the identity where the shape stays, else a 1x1 convolution with BatchNorm."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


def init_convolution(module: nn.Module) -> None:
    """Initialise as He does, biases with zeros; for `Module.apply`, where no ImageNet weights are at hand."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def heatmap_layer(inputs: int, num_keypoints: int) -> nn.Conv2d:
    """Return the last 1x1 convolution, from features to one map per keypoint."""
    return nn.Conv2d(inputs, num_keypoints, kernel_size=1)


def init_heatmap_layer(layer: nn.Conv2d) -> None:
    """Let maps start near zero."""
    nn.init.normal_(layer.weight, std=0.001)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
