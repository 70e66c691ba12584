"""The public names of HRNet's weights."""

from __future__ import annotations

from sharpose.models.layout import MMPOSE, ORIGINAL, Layout, Table

TIMM: Table = (
    (r"^(?:incre_modules|downsamp_modules|final_layer|classifier)\.", None),
    # of the last module only the finest branch's output is used
    (r"^stage4\.2\.fuse_layers\.[123]\.", None),
    (r"^", "backbone."),
)

LAYOUTS = (Layout("mmpose", MMPOSE), Layout("original", ORIGINAL), Layout("timm", TIMM, untrained=("head.*",)))
