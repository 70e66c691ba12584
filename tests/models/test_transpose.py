"""TransPose: torch's own encoder with the same weights, published sizes, public names, and what its attention says."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file
from torch import nn

from sharpose.models import create_model, resolve_config
from sharpose.models.layers.cost import doubling
from sharpose.models.layers.vit import use_explicit_attention
from sharpose.models.registry import closed_form
from sharpose.models.transpose.config import TransPoseConfig, stem_cost
from sharpose.models.transpose.model import TransPose
from sharpose.weights.importing import from_layout, import_weights

# README of github.com/yangsenius/TransPose: millions of parameters, GFLOPs
PUBLISHED = {
    "transpose-r-a3-256x192": (5.2, 8.0),
    "transpose-r-a4-256x192": (6.0, 8.9),
    "transpose-h-s-256x192": (8.0, 10.2),
    "transpose-h-a4-256x192": (17.3, 17.5),
    "transpose-h-a6-256x192": (17.5, 21.8),
}
NANOS = ("transpose-r-nano-128x96", "transpose-h-nano-128x96")


def counted_as_published(config: TransPoseConfig) -> float:
    """Multiply-adds by the rules of the counter that came with the public code (tools/jit_handles.py).

    A transposed convolution counts once per output pixel; a BatchNorm four operations per element; an attention matrix
    five per entry for its softmax, one for its dropout, and one for the mean over the heads.
    """
    cost = closed_form(config)
    assert cost is not None
    tokens = math.prod(config.grid)
    counted = cost.macs + config.depth * tokens**2 * (6 * config.num_heads + 1) + 2 * stem_cost(config)[0].elements
    if not config.stem_widths:
        counted += 3 * doubling(config.embed_dim, config.embed_dim, config.grid).macs
    return counted / 1e9


@pytest.mark.parametrize(("name", "published"), PUBLISHED.items())
def test_sizes_are_the_published_ones(name: str, published: tuple[float, float]) -> None:
    config = resolve_config(name)
    cost = closed_form(config)
    assert cost is not None
    assert cost.params / 1e6 == pytest.approx(published[0], rel=0.01)
    assert counted_as_published(config) == pytest.approx(published[1], rel=0.01)
    # matmuls, norms and resizing alone, as everywhere here
    alone = 0.75 if name.startswith("transpose-r") else 1
    assert 0.9 * alone * published[1] < cost.fvcore / 1e9 < alone * published[1]


def official_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Our weights as the public code has them."""
    public = {}
    for name, value in state.items():
        if name == "pos_embed":
            public["module.pos_embedding"] = value.transpose(0, 1).contiguous()
            continue
        name = (
            name.removeprefix("backbone.")
            .replace("encoder.", "global_encoder.layers.")
            .replace("head.", "final_layer.")
        )
        name = name.replace("self_attn.qkv.", "self_attn.in_proj_").replace("self_attn.proj.", "self_attn.out_proj.")
        public[f"module.{name}"] = value
    return public


@pytest.mark.parametrize("name", NANOS)
def test_public_names_give_the_same_heatmaps(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs, images = create_model(name).eval(), torch.randn(1, 3, 128, 96)
    torch.save({"state_dict": official_names(theirs.state_dict())}, tmp_path / "theirs.pth")
    report, _ = import_weights(str(tmp_path / "theirs.pth"), name, tmp_path / "ours.safetensors")
    assert report.layout == "TransPose, official" and not (report.missing or report.unexpected or report.start)
    ours = create_model(name).eval()
    ours.load_state_dict(load_file(tmp_path / "ours.safetensors"))
    with torch.inference_mode():
        assert torch.equal(ours(images).heatmaps, theirs(images).heatmaps)


@pytest.mark.parametrize(
    ("theirs", "layout", "name"),
    [
        (lambda: timm.create_model("hrnet_w48"), "timm", "transpose-h-a4-256x192"),
        (lambda: torchvision.models.resnet50(), "torchvision", "transpose-r-a4-256x192"),
    ],
)
def test_classifiers_have_every_name_and_shape_of_the_stems(theirs, layout: str, name: str) -> None:
    with torch.device("meta"):
        public, ours = from_layout(theirs().state_dict(), "TransPose", layout), create_model(name).state_dict()
    wanted = {key: value.shape for key, value in ours.items() if key.startswith("backbone.")}
    assert {key: value.shape for key, value in public.items()} == wanted


@pytest.mark.parametrize("explicit", [False, True])
def test_a_layer_is_torchs_with_positions_on_queries_and_keys(explicit: bool) -> None:
    torch.manual_seed(0)
    model = create_model(NANOS[0], num_heads=4).eval()
    use_explicit_attention(model, explicit)
    layer = model.encoder[0]
    theirs = nn.MultiheadAttention(96, 4, batch_first=True).eval()
    with torch.no_grad():
        for tensor in layer.parameters():
            tensor.add_(0.1 * torch.randn_like(tensor))
        theirs.in_proj_weight.copy_(layer.self_attn.qkv.weight)
        theirs.in_proj_bias.copy_(layer.self_attn.qkv.bias)
        theirs.out_proj.load_state_dict(layer.self_attn.proj.state_dict())
        tokens, positions = torch.randn(2, 7, 96), torch.randn(1, 7, 96)
        placed = tokens + positions
        mixed, weights = theirs(placed, placed, tokens)
        torch.testing.assert_close(layer.self_attn(placed, placed, tokens), mixed, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(layer.self_attn.weights(placed, placed), weights, atol=1e-5, rtol=1e-4)
        middle = nn.functional.layer_norm(tokens + mixed, [96], layer.norm1.weight, layer.norm1.bias)
        out = middle + layer.linear2(layer.linear1(middle).relu())
        expected = nn.functional.layer_norm(out, [96], layer.norm2.weight, layer.norm2.bias)
        torch.testing.assert_close(layer(tokens, positions), expected, atol=1e-5, rtol=1e-4)


def test_layers_do_not_care_for_the_order_of_tokens() -> None:
    torch.manual_seed(0)
    layer = create_model(NANOS[1]).eval().encoder[0]
    tokens, positions, order = torch.randn(2, 9, 24), torch.randn(1, 9, 24), torch.randperm(9)
    with torch.no_grad():
        there = layer(tokens[:, order], positions[:, order])
        torch.testing.assert_close(there, layer(tokens, positions)[:, order], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NANOS)
def test_everything_learns_and_the_table_of_positions_stays(name: str) -> None:
    torch.manual_seed(0)
    model = create_model(name)
    heatmaps = model(torch.randn(2, 3, 128, 96)).heatmaps
    assert heatmaps.shape == (2, 17, 32, 24)
    heatmaps.square().mean().backward()
    unlearned = {key for key, parameter in model.named_parameters() if parameter.grad is None}
    assert unlearned == {"pos_embed"} and not model.pos_embed.requires_grad


@pytest.mark.parametrize("name", NANOS)
def test_an_explanation_is_the_attention_of_the_token_at_the_maximum(name: str) -> None:
    torch.manual_seed(0)
    model: TransPose = create_model(name).eval()
    images = torch.randn(2, 3, 128, 96)
    entering: list[torch.Tensor] = []
    for layer in model.encoder:
        layer.register_forward_pre_hook(lambda _, given: entering.append(given[0]))
    with torch.inference_mode():
        heatmaps, found = model(images).heatmaps, model.explain(images)
    rows, columns = model.config.grid
    assert found.attention.shape == (2, model.config.depth, 17, rows, columns)
    torch.testing.assert_close(found.attention.sum(dim=(3, 4)), torch.ones(2, model.config.depth, 17))
    x, y = found.peaks[1, 5].tolist()
    assert heatmaps[1, 5, y, x] == heatmaps[1, 5].max()
    factor = 32 // rows
    last = entering[model.config.depth - 1] + model.pos_embed
    attention = model.encoder[-1].self_attn
    q, k, _ = attention.split(last)
    whole = (q * attention.scale @ k.transpose(2, 3)).softmax(dim=3).mean(dim=1)
    expected = whole[1, (y // factor) * columns + x // factor].unflatten(0, (rows, columns))
    torch.testing.assert_close(found.attention[1, -1, 5], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"embed_dim": 98}, "embed_dim"),
        ({"num_heads": 7}, "num_heads"),
        ({"dropout": 1.0}, "dropout"),
        ({"resnet_depth": 51}, "resnet_depth"),
        ({"image_size": (132, 96), "heatmap_size": (33, 24)}, "image_size"),
        ({"stem_widths": (16, 32)}, "stem_widths"),
    ],
)
def test_bad_fields_are_named(options: dict[str, object], field: str) -> None:
    with pytest.raises(ValueError, match=rf"^{field} = "):
        resolve_config(NANOS[0], **{"num_heads": 1, **options})
