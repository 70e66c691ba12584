"""Which codec a model's heatmaps are in."""

from __future__ import annotations

from typing import Any

from sharpose.codecs.dark import DarkCodec
from sharpose.codecs.drawn import DrawnCodec
from sharpose.codecs.msra import MsraCodec
from sharpose.codecs.udp import UdpCodec

HeatmapCodec = UdpCodec | DarkCodec | MsraCodec

CODECS: dict[str, type[UdpCodec] | type[DarkCodec] | type[MsraCodec]] = {
    "udp": UdpCodec,
    "dark": DarkCodec,
    "msra": MsraCodec,
    "drawn": DrawnCodec,
}


def codec_of(config: Any, sigma: float = 2.0) -> HeatmapCodec:
    """The codec of a model's configuration: its `codec` field, UDP for systems that have none."""
    return CODECS[getattr(config, "codec", "udp")](config.image_size, config.heatmap_size, sigma)
