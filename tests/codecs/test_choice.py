"""Every model is encoded, decoded and cropped in its own convention."""

from __future__ import annotations

import pytest
import torch

from sharpose.codecs.choice import codec_of
from sharpose.codecs.udp import UdpCodec
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


@pytest.mark.parametrize(
    ("model", "options", "kernel"),
    [
        ("hrnet-w48-256x192", {"codec": "udp"}, 11),
        ("hrnet-w48-384x288", {"codec": "udp"}, 17),
        ("hrnet-w48-384x288", {"codec": "dark"}, 17),
        ("tokenpose-l-d24-384x288", {}, 11),
        ("vitpose-base-384x288", {}, 11),
        ("sharpose-base-384x288", {}, 11),
    ],
)
def test_the_blur_before_decoding_has_the_published_size(model: str, options: dict, kernel: int) -> None:
    assert codec_of(resolve_config(model, **options), sigma=3.0).kernel == kernel


def test_the_larger_kernel_is_the_one_that_decodes() -> None:
    config = resolve_config("hrnet-w48-384x288", codec="udp")
    heatmaps = torch.rand(2, 17, 96, 72, generator=torch.Generator().manual_seed(0))
    decoded, _ = codec_of(config).decode(heatmaps)
    wide, narrow = (
        UdpCodec(config.image_size, config.heatmap_size, kernel=size).decode(heatmaps)[0] for size in (17, 11)
    )
    assert torch.equal(decoded, wide) and not torch.equal(decoded, narrow)
