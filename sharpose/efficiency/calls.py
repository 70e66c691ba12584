"""What is timed of a variant: a call without arguments that runs one batch, over its scope."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from sharpose.backends.choice import COMPILED, EAGER
from sharpose.codecs.choice import HeatmapCodec, codec_of
from sharpose.data.coco import CocoTopDown
from sharpose.efficiency.variants import TORCH_TYPES, Variant, build_network
from sharpose.inference.early_exit import stream
from sharpose.inference.pipeline import forward, mean_heatmaps, place
from sharpose.models.sharpose.model import SHaRPose
from sharpose.pose.normalise import normalise
from sharpose.pose.skeleton import COCO

Call = Callable[[], Any]


def make_calls(variants: Mapping[str, Variant], device: str, threads: int | None) -> dict[str, Call]:
    """Return the call of every variant, by label; variants that share a network are given one."""
    networks: dict[tuple[str, ...], nn.Module] = {}
    for variant in variants.values():
        if variant.network not in networks:
            networks[variant.network] = build_network(variant, device, threads)
    return {label: make_call(one, networks[one.network], device) for label, one in variants.items()}


def make_call(variant: Variant, network: nn.Module, device: str) -> Call:
    """Return a call without arguments that runs one batch through a network, over the variant's scope.

    Two calls of one that is compiled have been made: the first compiles, the second records CUDA graphs.
    """
    call = first_call(variant, network, device)
    for _ in range(2 if variant.backend == COMPILED else 0):
        call()
    return call


def first_call(variant: Variant, network: nn.Module, device: str) -> Call:
    """Return the call of `make_call`, not yet warmed up."""
    config: Any = network.config
    kind = TORCH_TYPES[variant.precision] if variant.backend in (EAGER, COMPILED) else torch.float32
    codec = codec_of(config)
    if variant.scope == "end-to-end":
        return endless(variant, network, codec, device, kind)
    images = torch.randn(variant.images_per_call, 3, *config.image_size).to(device, kind)
    if variant.refine_rate is not None:
        return streaming_call(network, images, variant.batch_size, variant.refine_rate)  # type: ignore[arg-type]
    if variant.scope == "model":
        return torch.inference_mode()(lambda: network(images))
    return torch.inference_mode()(lambda: flip_and_decode(network, codec, images))


def flip_and_decode(network: nn.Module, codec: HeatmapCodec, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return points (B, K, 2) in heatmap pixels and their scores, from the mean of both views' heatmaps."""
    return codec.decode(mean_heatmaps(forward(network, images, True), codec, COCO.flip_pairs))


def endless(variant: Variant, network: nn.Module, codec: HeatmapCodec, device: str, kind: torch.dtype) -> Call:
    """Return a call from image files to points, on the next people of the data set each time, round and round."""
    assert variant.people is not None
    people, size = variant.people, network.config.image_size  # type: ignore[union-attr]
    dataset = CocoTopDown(people.annotations, people.images, image_size=size, warp=codec.warp)  # type: ignore[arg-type]
    first = 0

    @torch.inference_mode()
    def call() -> Tensor:
        nonlocal first
        samples = [dataset[(first + i) % len(dataset)] for i in range(variant.batch_size)]
        first += variant.batch_size
        batch = torch.utils.data.default_collate(samples)
        images = normalise(batch["image"].to(device)).to(kind)
        heatmaps = mean_heatmaps(forward(network, images, True), codec, COCO.flip_pairs)
        return place(heatmaps, batch["center"], batch["scale"], codec)[0]

    return call


def streaming_call(model: SHaRPose, images: Tensor, batch_size: int, refine_rate: float) -> Callable[[], None]:
    """Return a call that streams the batches, with the quality threshold that gives this refine rate on them.

    `images` are normalised, (N, 3, H, W), all batches in a row.
    """
    with torch.inference_mode():
        quality = torch.cat([model.coarse(batch).quality for batch in images.split(batch_size)]).sort().values
    edge = round(refine_rate * len(quality))
    # between the last that is refined and the first that is not
    edges = torch.cat([quality[:1] - 1, quality, quality[-1:] + 1])
    threshold = float(edges[edge : edge + 2].double().mean())
    model.config = replace(model.config, quality_threshold=threshold)

    def call() -> None:
        for _ in stream(model, images.split(batch_size), batch_size=batch_size):
            pass

    return call
