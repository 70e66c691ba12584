"""The public names of SimpleBaseline's weights."""

from __future__ import annotations

from sharpose.models.layout import MMPOSE, ORIGINAL, Layout, Table

TORCHVISION: Table = ((r"^fc\.", None), (r"^", "backbone."))

LAYOUTS = (
    Layout("mmpose", MMPOSE),
    Layout("original", ORIGINAL),
    Layout("torchvision", TORCHVISION, untrained=("head.*", "deconv_layers.*")),
)
