"""Which codec a model's heatmaps are in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sharpose.codecs.dark import DarkCodec
from sharpose.codecs.drawn import DrawnCodec
from sharpose.codecs.grids import HeatmapCodec as HeatmapCodec
from sharpose.codecs.msra import MsraCodec
from sharpose.codecs.udp import UdpCodec

CODECS: dict[str, Callable[..., HeatmapCodec]] = {
    "udp": UdpCodec,
    "dark": DarkCodec,
    "msra": MsraCodec,
    "drawn": DrawnCodec,
}
# the blur before decoding, in heatmap pixels: of targets with a sigma of 2, and of those with 3 (heatmaps of 96 rows)
KERNEL, LARGE_KERNEL, LARGE_HEIGHT = 11, 17, 96


def codec_of(config: Any, sigma: float = 2.0, name: str | None = None) -> HeatmapCodec:
    """Return the codec of a model's configuration: by its `codec` field, UDP where it has none; or that of a name."""
    name = name or codec_name(config)
    blur = {"kernel": blur_kernel(config)} if name in ("udp", "dark") else {}
    return CODECS[name](config.image_size, config.heatmap_size, sigma, **blur)


def codec_name(config: Any) -> str:
    """Return the name in CODECS of a model's codec."""
    return getattr(config, "codec", "udp")


def decoders_of(config: Any) -> dict[str, HeatmapCodec]:
    """Return every codec that can decode a model's heatmaps, by name, its own first; `argmax` takes no step."""
    known = {name: codec_of(config, name=name) for name in (codec_name(config), *CODECS)}
    return known | {"argmax": MsraCodec(config.image_size, config.heatmap_size, quarter_step=False)}


def blur_kernel(config: Any) -> int:
    """Return the published kernel of UDP and DARK: 11, but 17 where they replace a network's plain codec at 384x288.

    That is mmpose's and UDP's own choice for HRNet. Systems that come with one of them keep 11 at every size: SHaRPose
    and TokenPose by their public configurations, ViTPose, which has none for 384x288, by the one for 256x192.
    """
    replaced = getattr(type(config), "codec", None) == "msra"
    return LARGE_KERNEL if replaced and config.heatmap_size[0] >= LARGE_HEIGHT else KERNEL
