"""Every model is encoded, decoded and cropped in its own convention."""

from __future__ import annotations

import pytest
import torch

from sharpose.codecs.choice import codec_of
from sharpose.models.registry import resolve_config


@pytest.mark.parametrize(
    ("model", "options", "codec", "warp", "shifts"),
    [
        ("sharpose-nano-128x96", {}, "UdpCodec", "udp", False),
        ("hrnet-nano-128x96", {}, "MsraCodec", "affine", True),
        ("hrnet-nano-128x96", {"codec": "udp"}, "UdpCodec", "udp", False),
        ("hrnet-nano-128x96", {"codec": "dark"}, "DarkCodec", "affine", True),
        ("tokenpose-nano-128x96", {}, "DarkCodec", "affine", True),
        ("simple-baseline-nano-128x96", {}, "MsraCodec", "affine", True),
        ("hrformer-nano-128x96", {}, "MsraCodec", "affine", True),
        ("okdhp-hourglass-nano-128x96", {}, "MsraCodec", "affine", True),
    ],
)
def test_a_model_has_its_published_codec(model: str, options: dict, codec: str, warp: str, shifts: bool) -> None:
    chosen = codec_of(resolve_config(model, **options), sigma=1.5)
    assert (type(chosen).__name__, chosen.warp, chosen.flip_shift, chosen.sigma) == (codec, warp, shifts, 1.5)
    points = torch.tensor([[[40.0, 60.0]]])
    heatmaps, weights = chosen.encode(points, torch.ones(1, 1))
    assert weights.item() == 1 and heatmaps.shape == (1, 1, 32, 24)
    decoded, _ = chosen.decode(heatmaps)
    stride = torch.tensor([95 / 23, 127 / 31]) if warp == "udp" else torch.tensor([4.0, 4.0])
    # the plain codec knows no more than a quarter of a heatmap pixel
    assert ((decoded * stride - points).abs() < (1.1 if codec == "MsraCodec" else 0.3)).all()
