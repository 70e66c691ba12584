"""ViTPose: sizes, the two heads, and public layouts of its weights."""

from __future__ import annotations

import pytest
import torch

from sharpose.models import create_model, list_models, resolve_config
from sharpose.models.vitpose.config import tokens_per_block
from sharpose.weights.importing import from_layout


def test_every_size_has_a_name():
    for width in ("small", "base", "large", "huge"):
        for size, grid in (("256x192", (16, 12)), ("384x288", (24, 18))):
            config = resolve_config(f"vitpose-{width}-{size}")
            assert config.grid == grid and config.heatmap_size == (4 * grid[0], 4 * grid[1])
    assert {"vitpose-base-simple-256x192", "vitpose-nano-128x96"} <= set(list_models())
    assert tokens_per_block(resolve_config("vitpose-huge-384x288")) == [432] * 32


@pytest.mark.parametrize("options", [{}, {"head": "simple", "upsample": 2}])
def test_nano_gives_heatmaps_of_a_quarter(options):
    model = create_model("vitpose-nano-128x96", **options).eval()
    with torch.inference_mode():
        output = model(torch.randn(2, 3, 128, 96))
    assert output.heatmaps.shape == (2, 17, 32, 24) and output.features.shape == (2, 96, 16, 12)
    assert model.config.heatmap_size == (32, 24)


def test_the_row_of_the_missing_class_token_counts():
    model = create_model("vitpose-nano-128x96").eval()
    images = torch.randn(1, 3, 128, 96)
    with torch.inference_mode():
        before = model.embed(images)
        model.pos_embed[:, 0] += 1
        torch.testing.assert_close(model.embed(images), before + 1)


@pytest.mark.parametrize("head", ["classic", "simple"])
def test_public_layouts_load(head):
    model = create_model("vitpose-base-256x192", embed_dim=24, depth=2, num_heads=2, head=head, deconv_filters=(8, 8))
    ours = model.state_dict()
    mmpose = {
        (f"keypoint_head.{k.removeprefix('head.')}" if k.startswith("head.") else f"backbone.{k}"): v
        for k, v in ours.items()
    }
    assert "backbone.blocks.1.attn.qkv.weight" in mmpose and "keypoint_head.final_layer.weight" in mmpose
    back = from_layout(mmpose, "ViTPose", "mmpose 0.x")
    assert back.keys() == ours.keys() and all(torch.equal(back[k], ours[k]) for k in ours)

    hugging = to_huggingface(ours)
    back = from_layout(hugging, "ViTPose", "Hugging Face")
    assert back.keys() == ours.keys() and all(torch.equal(back[k], ours[k]) for k in ours)
    del hugging["backbone.encoder.layer.0.attention.attention.key.bias"]
    with pytest.raises(ValueError, match=r"key\.bias"):
        from_layout(hugging, "ViTPose", "Hugging Face")


def to_huggingface(state):
    """Our weights under the names of transformers."""
    names = {
        "patch_embed.proj": "backbone.embeddings.patch_embeddings.projection",
        "last_norm": "backbone.layernorm",
        "attn.proj": "attention.output.dense",
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "head.deconv_layers.0": "head.deconv1",
        "head.deconv_layers.1": "head.batchnorm1",
        "head.deconv_layers.3": "head.deconv2",
        "head.deconv_layers.4": "head.batchnorm2",
        "head.final_layer": "head.conv",
        "blocks.": "backbone.encoder.layer.",
    }
    out = {}
    for key, value in state.items():
        if key == "pos_embed":
            out["backbone.embeddings.position_embeddings"] = value
            continue
        for ours, theirs in names.items():
            key = key.replace(ours, theirs)
        if ".attn.qkv." in key:
            for part, piece in zip(("query", "key", "value"), value.chunk(3), strict=True):
                out[key.replace("attn.qkv", f"attention.attention.{part}")] = piece
        else:
            out[key] = value
    return out


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"image_size": (250, 192)}, "image_size"),
        ({"patch_padding": 8}, "patch_padding"),
        ({"num_heads": 5}, "num_heads"),
        ({"head": "fancy"}, "head"),
        ({"deconv_filters": (0,)}, "deconv_filters"),
        ({"drop_path": 1.0}, "drop_path"),
    ],
)
def test_bad_values_name_their_field(options, field):
    with pytest.raises(ValueError, match=f"^{field} = "):
        resolve_config("vitpose-base-256x192", **options)
