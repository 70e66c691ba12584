"""Other people's models of the same size as ours, for timing next to them: random weights, nothing is downloaded.

Their names list without torch, and building one needs the package it comes from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sharpose.models.config import Size
from sharpose.models.registry import resolve_config
from sharpose.runtime.errors import InputError, nearest

if TYPE_CHECKING:
    from torch import nn

WIDTHS = {"small": 384, "base": 768}
"""Of ViTPose's backbones, which have 12 blocks and 12 heads."""


@dataclass(frozen=True)
class Peer:
    """A model of another library; `like` is ours of the same system and size, whose codec its heatmaps are in."""

    library: str
    size: str
    image_size: Size

    @property
    def like(self) -> str:
        """Return the name of our model of the same system and size."""
        return f"vitpose-{self.size}-{self.image_size[0]}x{self.image_size[1]}"

    @property
    def gives_heatmaps(self) -> bool:
        """Return whether it is a whole pose model; timm's are backbones alone."""
        return self.library == "transformers"


SIZES = (("small", (256, 192)), ("base", (256, 192)), ("base", (384, 288)))
PEERS = {
    f"{name}-{size}-{height}x{width}": Peer(library, size, (height, width))
    for name, library in (("huggingface-vitpose", "transformers"), ("timm-vit", "timm"))
    for size, (height, width) in SIZES
}


def find_peer(name: str) -> Peer:
    """Return a peer by its name. Raises InputError, with the nearest or all, for another."""
    if name not in PEERS:
        raise InputError(f"no peer is called {name!r}{nearest(name, PEERS)}")
    return PEERS[name]


def peers_of(model: str) -> list[str]:
    """Return names of the peers of a model's size and input, by its name; empty where there are none."""
    wanted = re.search(r"(small|base)-\d+x\d+$", model)
    return [name for name in PEERS if wanted and name.endswith(wanted[0])]


def missing_package(name: str) -> str | None:
    """Return why a peer cannot be built here; None where it can."""
    if find_spec(find_peer(name).library) is None:
        return f"{name} needs transformers: pip install 'sharpose[peers]'"
    return None


def describe_peer(name: str) -> dict[str, Any]:
    """Return what determines a peer's work, as plain data."""
    peer = find_peer(name)
    sizes = {"embed_dim": WIDTHS[peer.size], "num_heads": 12, "depth": 12}
    return {"peer": peer.library, "image_size": peer.image_size, **sizes}


def build_peer(name: str, *, explicit_attention: bool = False) -> nn.Module:
    """Build a model from normalised images to an object with `.heatmaps`, or for a backbone alone to features.

    explicit_attention: with attention matrices, as counters need it, and not the fused kernel the library defaults to.
    Raises InputError where its package is missing.
    """
    if reason := missing_package(name):
        raise InputError(reason)
    peer = find_peer(name)
    build = build_huggingface if peer.library == "transformers" else build_timm
    model = build(peer, explicit_attention)
    model.config = resolve_config(peer.like)  # type: ignore[assignment]
    return model


def build_huggingface(peer: Peer, explicit_attention: bool) -> nn.Module:
    """Build ViTPose with the classic decoder (two transposed convolutions of 256), as in its paper."""
    from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation

    from sharpose.efficiency.wrapped import Wrapped
    from sharpose.models.output import PoseOutput

    backbone = VitPoseBackboneConfig(
        image_size=list(peer.image_size),
        patch_size=[16, 16],
        hidden_size=WIDTHS[peer.size],
        num_hidden_layers=12,
        num_attention_heads=12,
        mlp_ratio=4,
    )
    config: Any = VitPoseConfig(backbone_config=backbone, use_simple_decoder=False)
    config.num_labels = 17
    # what the library does by default is left to it
    attention = {"attn_implementation": "eager"} if explicit_attention else {}
    network = VitPoseForPoseEstimation._from_config(config, **attention)
    return Wrapped(network, lambda network, images: PoseOutput(network(images).heatmaps))


def build_timm(peer: Peer, explicit_attention: bool) -> nn.Module:
    """Build the plain backbone, up to its last norm: what every ViT pose model runs at least."""
    import timm

    from sharpose.efficiency.wrapped import Wrapped

    backbone: Any = timm.create_model(
        "vit_base_patch16_224", img_size=peer.image_size, embed_dim=WIDTHS[peer.size], num_classes=0
    )
    if explicit_attention:
        for block in backbone.blocks:
            block.attn.fused_attn = False
    return Wrapped(backbone, lambda network, images: network.forward_features(images))
