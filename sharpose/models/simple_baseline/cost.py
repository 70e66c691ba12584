"""SimpleBaseline in closed form, convolution by convolution."""

from __future__ import annotations

from sharpose.models.layers.cnn_config import RESNETS
from sharpose.models.layers.cost import Cost, Size, basic_block, bottleneck, convolution, doublings, half, pointwise
from sharpose.models.simple_baseline.config import SimpleBaselineConfig


def simple_baseline(config: SimpleBaselineConfig) -> Cost:
    """Count ResNet, transposed convolutions, 1x1 convolution."""
    trunk, channels, size = resnet(config.image_size, config.resnet_depth, config.stem_channels, config.base_channels)
    widths = [channels, *config.deconv_filters]
    return trunk + doublings(widths, size) + pointwise(widths[-1], config.num_keypoints, config.heatmap_size)


def resnet(image: Size, depth: int, stem: int, base: int, stages: int = 4) -> tuple[Cost, int, Size]:
    """Count the first `stages` of a ResNet, with the channels and the size of what they give."""
    kind, counts = RESNETS[depth]
    expansion = 4 if kind == "bottleneck" else 1
    inputs, size = stem, half(image)
    cost = convolution(3, inputs, 7, size)
    size = half(size)
    for stage, count in enumerate(counts[:stages]):
        planes, entry_size = base * 2**stage, size
        size = size if stage == 0 else half(size)
        for index in range(count):
            before = entry_size if index == 0 else size
            if expansion == 4:
                cost += bottleneck(inputs, planes, size, before)
            else:
                cost += basic_block(inputs, planes, size, inputs != planes or before != size)
            inputs = expansion * planes
    return cost, inputs, size
