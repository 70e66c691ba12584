"""Decoding is no burden: it takes less time than the smallest model's forward pass on the same people."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from sharpose.codecs.dark import DarkCodec
from sharpose.codecs.msra import MsraCodec
from sharpose.codecs.udp import UdpCodec, UdpOffsetCodec
from sharpose.models import create_model

PEOPLE = 40
SIZES = (256, 192), (64, 48)


def seconds(call: Callable[[], object]) -> float:
    """CPU time of this process, so that others on the machine count little."""
    began = time.process_time()
    call()
    return time.process_time() - began


def test_decoding_takes_less_than_the_nano_models_forward() -> None:
    torch.manual_seed(0)
    points = torch.rand(PEOPLE, 17, 2) * torch.tensor([191.0, 255.0])
    codecs = UdpCodec(*SIZES), DarkCodec(*SIZES), MsraCodec(*SIZES), UdpOffsetCodec(*SIZES)
    heatmaps = [codec.encode(points, torch.ones(PEOPLE, 17))[0] for codec in codecs]
    model = create_model("sharpose-nano-128x96", alpha=0.4).eval()
    crops = torch.randn(PEOPLE, 3, 128, 96)
    calls: list[Callable[[], object]] = [lambda: model(crops)]
    calls += [lambda codec=codec, maps=maps: codec.decode(maps) for codec, maps in zip(codecs, heatmaps, strict=True)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            rounds = [[seconds(call) for call in calls] for _ in range(3)]
    finally:
        torch.set_num_threads(threads)
    forward, *decoding = (min(column) for column in zip(*rounds, strict=True))
    for codec, spent in zip(codecs, decoding, strict=True):
        assert spent < forward, f"{type(codec).__name__}: {spent:.3f} s to decode, {forward:.3f} s forward"
