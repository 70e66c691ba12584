"""What TFPose starts from; its own weights are not public."""

from __future__ import annotations

from sharpose.models.layout import Layout, Table

TORCHVISION: Table = ((r"^fc\.", None), (r"^", "backbone."))
UNTRAINED = ("input_proj.*", "pos_embed", "level_embed", "encoder.*", "decoder.*", "keypoint_*", "start.*", "heads.*")

LAYOUTS = (Layout("torchvision", TORCHVISION, untrained=UNTRAINED),)
