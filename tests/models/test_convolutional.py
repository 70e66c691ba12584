"""HRNet, SimpleBaseline, HRFormer, TokenPose and hourglasses: golden cases, sizes, behaviour, public layouts."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from experiments.conformance.run import run_case
from sharpose.models import create_model, list_models, resolve_config
from sharpose.models.hrformer.model import WindowAttention, join_windows, split_windows
from sharpose.models.hrnet.config import HRNetConfig
from sharpose.models.hrnet.model import HRNet
from sharpose.models.layers.positions import sine_table
from sharpose.models.layers.vit import use_explicit_attention
from sharpose.models.tokenpose.model import flatten_patches
from sharpose.runtime.errors import InputError
from sharpose.weights.importing import convert, from_layout

SYSTEMS = ("simple-baseline", "hrnet", "hrformer", "tokenpose", "okdhp")
NANOS = [name for name in list_models() if "nano" in name and name.startswith(SYSTEMS)]
CASES = ["hrnet", "simplebaseline_resnet50", "hrformer", "tokenpose_t", "tokenpose_l", "optimizer_groups_hrformer"]

# millions of parameters of the public networks
PARAMS = {
    "simple-baseline-r50-256x192": 34.000,
    "simple-baseline-r101-384x288": 52.992,
    "simple-baseline-r152-256x192": 68.635,
    "hrnet-w32-256x192": 28.536,
    "hrnet-w48-384x288": 63.595745,
    "hrformer-small-256x192": 7.747,
    "hrformer-base-256x192": 43.212,
    "tokenpose-t-256x192": 5.866,
    "tokenpose-l-d6-256x192": 20.865,
    "tokenpose-l-d24-256x192": 27.532,
    "tokenpose-l-d24-384x288": 29.864,
    "tokenpose-l-d6-256x256": 21.492,
    "tokenpose-l-d24-256x256": 28.159,
    "okdhp-hourglass-4-256x256": 13.019,
    "okdhp-hourglass-8-256x256": 25.595,
}


def on_meta(name: str, **options: Any) -> nn.Module:
    with torch.device("meta"):
        return create_model(name, **options)


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def randomised(model: nn.Module) -> nn.Module:
    """Norms and their statistics far from their initial values, so that a wrong order or epsilon shows."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point() and tensor.ndim == 1:
                tensor.add_(0.5 * torch.rand(tensor.shape, generator=generator))
    return model.eval()


@pytest.mark.parametrize("case", CASES)
def test_golden(golden: Callable[[str], Path], case: str) -> None:
    verdict = run_case(golden(case))
    assert verdict.status == "passed", verdict.line


@pytest.mark.parametrize(("name", "millions"), PARAMS.items())
def test_parameters_are_the_public_networks(name: str, millions: float) -> None:
    assert count_parameters(on_meta(name)) / 1e6 == pytest.approx(millions, abs=6e-4)


@pytest.mark.parametrize(("stacks", "millions"), [(4, 30.916), (8, 43.492)])
def test_parameters_of_okdhp_with_branches(stacks: int, millions: float) -> None:
    model = on_meta(f"okdhp-hourglass-{stacks}-256x256", branches=3)
    assert count_parameters(model) / 1e6 == pytest.approx(millions, abs=6e-4)


@pytest.mark.parametrize("name", NANOS)
def test_nanos_give_heatmaps_gradients_and_ship_small(name: str) -> None:
    torch.manual_seed(0)
    model = create_model(name)
    images = torch.randn(2, 3, *model.config.image_size)
    heatmaps = model(images).heatmaps
    height, width = model.config.image_size
    assert heatmaps.shape == (2, 16 if name.endswith("-mpii") else 17, height // 4, width // 4)
    heatmaps.square().mean().backward()
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None for parameter in learned)
    # 4 MB in half precision
    assert count_parameters(model) < 2e6


@pytest.mark.parametrize(
    ("name", "options", "field"),
    [
        ("hrnet-w32-256x192", {"image_size": (250, 192)}, "image_size"),
        ("hrnet-w32-256x192", {"heatmap_size": (64, 64)}, "heatmap_size"),
        ("hrnet-w32-256x192", {"widths": (32, 64, 128)}, "widths"),
        ("hrnet-w32-256x192", {"widths": (32, 64, 128, 0)}, "widths"),
        ("hrnet-w32-256x192", {"modules": ()}, "modules"),
        ("hrnet-w32-256x192", {"codec": "simcc"}, "codec"),
        ("hrnet-w32-256x192", {"num_keypoints": 0}, "num_keypoints"),
        ("simple-baseline-r50-256x192", {"resnet_depth": 51}, "resnet_depth"),
        ("simple-baseline-r50-256x192", {"deconv_filters": (256, 256)}, "deconv_filters"),
        ("simple-baseline-r50-256x192", {"image_size": (256, 190)}, "image_size"),
        ("hrformer-base-256x192", {"num_heads": (4, 4, 8, 16)}, "num_heads"),
        ("hrformer-base-256x192", {"num_heads": (2, 4, 8)}, "num_heads"),
        ("hrformer-base-256x192", {"drop_path": 1.0}, "drop_path"),
        ("hrformer-base-256x192", {"window_size": 0}, "window_size"),
        ("tokenpose-t-256x192", {"patch_size": (16, 16), "image_size": (256, 200)}, "patch_size"),
        ("tokenpose-t-256x192", {"num_heads": 7}, "num_heads"),
        ("tokenpose-l-d6-256x192", {"stem_widths": (48, 96)}, "stem_widths"),
        ("tokenpose-l-d6-256x192", {"patch_size": (5, 3)}, "patch_size"),
        ("tokenpose-l-d6-256x192", {"head": "triple"}, "head"),
        ("okdhp-hourglass-4-256x256", {"branches": 3, "stacks": 2}, "stacks"),
        ("okdhp-hourglass-4-256x256", {"image_size": (256, 192), "heatmap_size": (64, 48), "depth": 5}, "image_size"),
        ("okdhp-hourglass-4-256x256", {"features": 255}, "features"),
    ],
)
def test_bad_fields_are_named(name: str, options: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=rf"^{field} = "):
        resolve_config(name, **options)


def test_hrnet_is_timms_with_its_weights() -> None:
    theirs = randomised(timm.create_model("hrnet_w18_small", pretrained=False))
    config = HRNetConfig(
        image_size=(64, 96),
        heatmap_size=(16, 24),
        widths=(16, 32, 64, 128),
        modules=(1, 1, 1),
        blocks_per_branch=2,
        stage1_blocks=1,
        stage1_planes=32,
    )
    ours = HRNet(config).eval()
    state = from_layout(theirs.state_dict(), "HRNet", "timm")
    names = {name for name in ours.state_dict() if not name.startswith("head.")}
    # with one module per stage timm's unused exchanges are in stage4.0
    ours.load_state_dict({name: state[name] for name in names}, strict=False)
    assert all(name.startswith("backbone.stage4.0.fuse_layers.") for name in state.keys() - names)
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        stem = theirs.act2(theirs.bn2(theirs.conv2(theirs.act1(theirs.bn1(theirs.conv1(images))))))
        features = theirs.stages(stem)[0]
        # the order of sums may differ, nothing else
        torch.testing.assert_close(ours.backbone(images), features, rtol=1e-4, atol=1e-4 * features.abs().max().item())


def test_hrnet_w48_has_timms_names_and_shapes() -> None:
    with torch.device("meta"):
        theirs = from_layout(timm.create_model("hrnet_w48", pretrained=False).state_dict(), "HRNet", "timm")
    ours = {name: tensor for name, tensor in on_meta("hrnet-w48-256x192").state_dict().items() if "head" not in name}
    assert {name: tensor.shape for name, tensor in theirs.items()} == {n: tensor.shape for n, tensor in ours.items()}
    assert len(ours) == 1752


def test_resnet_is_torchvisions_with_its_weights() -> None:
    theirs = randomised(torchvision.models.resnet18(weights=None))
    ours = create_model("simple-baseline-r50-256x192", resnet_depth=18, image_size=(64, 64), heatmap_size=(16, 16))
    state = from_layout(theirs.state_dict(), "SimpleBaseline", "torchvision")
    missing, unexpected = ours.eval().load_state_dict(state, strict=False)
    assert not unexpected and all(name.startswith(("deconv_layers.", "head.")) for name in missing)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    theirs.avgpool, theirs.fc = nn.Identity(), nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(ours.backbone(images).flatten(1), theirs(images))


def original_names(name: str) -> str:
    return name.removeprefix("backbone.").replace("head.", "final_layer.") if "deconv" not in name else name


def mmpose_hrformer(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our HRFormer weights as mmpose's port has them: q, k and v in one layer, other names."""
    public = {}
    for name, value in state.items():
        if ".q_proj." in name:
            parts = [state[name.replace(".q_proj.", f".{letter}_proj.")] for letter in "qkv"]
            public[name.replace(".attn.q_proj.", ".attn.attn.qkv.")] = torch.cat(parts)
        elif ".k_proj." not in name and ".v_proj." not in name:
            renamed = name.replace(".attn.out_proj.", ".attn.attn.proj.").replace(".mlp.", ".ffn.")
            renamed = renamed.replace(".attn.relative", ".attn.attn.relative")
            public[renamed.replace("head.", "keypoint_head.final_layer.")] = value
    return {**public, "backbone.stage2.0.branches.0.0.attn.attn.relative_position_index": torch.zeros(49, 49)}


def test_original_layouts_load_whichever_they_are() -> None:
    for name in ("hrnet-nano-128x96", "simple-baseline-nano-128x96"):
        model = create_model(name)
        state = model.state_dict()
        for public in (
            {original_names(key): value for key, value in state.items()},
            {f"module.{original_names(key)}": value for key, value in state.items()},
            {key.replace("head.", "keypoint_head.final_layer."): value for key, value in state.items()},
            {
                key.replace("deconv", "head.deconv").replace("head.w", "head.final_layer.w"): v
                for key, v in state.items()
            },
        ):
            converted = convert(public, model, "public").state
            wanted = set(state) if "head.bias" in converted else set(state) - {"head.bias"}
            assert wanted <= set(converted)
            assert all(torch.equal(converted[key], state[key]) for key in wanted)
    with pytest.raises(InputError, match="not weights of SimpleBaseline"):
        convert({"blocks.0.attn": torch.zeros(1)}, model, "public")
    with pytest.raises(InputError, match="HRNet/original"):
        from_layout({}, "HRNet", "caffe")


def test_mmposes_hrformer_loads() -> None:
    model = create_model("hrformer-nano-128x96")
    state = model.state_dict()
    converted = convert(mmpose_hrformer(state), model, "public").state
    assert converted.keys() == state.keys()
    assert all(torch.equal(converted[name], state[name]) for name in state)


def test_windows_come_apart_and_together() -> None:
    maps = torch.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3).float()
    windows = split_windows(maps, 2)
    assert windows.shape == (12, 4, 3)
    assert torch.equal(windows[1], maps[0, :2, 2:4].reshape(4, 3))
    assert torch.equal(join_windows(windows, 2, maps), maps)


def test_position_bias_is_an_option_and_adds_the_table() -> None:
    torch.manual_seed(0)
    plain, biased = (WindowAttention(8, 2, 3, position_bias=added) for added in (False, True))
    with torch.no_grad():
        plain.relative_position_bias_table.normal_()
        biased.load_state_dict(plain.state_dict())
        maps = torch.randn(1, 5, 4, 8)
        without = plain(maps)
        assert not torch.allclose(biased(maps), without, rtol=1e-2, atol=1e-2)
        # the same everywhere: softmax does not see it
        biased.relative_position_bias_table.fill_(3.0)
        torch.testing.assert_close(biased(maps), without)
        # only looking at oneself
        biased.relative_position_bias_table.fill_(-1e4)
        biased.relative_position_bias_table[12] = 0.0
        torch.testing.assert_close(biased(maps), biased.out_proj(biased.v_proj(maps)))


def test_hrformer_takes_sizes_that_do_not_halve_evenly() -> None:
    model = create_model("hrformer-nano-128x96", image_size=(100, 76), heatmap_size=(25, 19)).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, 100, 76)).heatmaps.shape == (1, 17, 25, 19)


def test_patches_are_flattened_channels_fastest() -> None:
    maps = torch.arange(3 * 4 * 6).reshape(1, 3, 4, 6).float()
    patches = flatten_patches(maps, (2, 3))
    assert patches.shape == (1, 4, 18)
    assert torch.equal(patches[0, 1], maps[0, :, 0:2, 3:6].permute(1, 2, 0).flatten())


def test_sine_table() -> None:
    table = sine_table((2, 3), 8)[0]
    # row 1 of 2 and column 3 of 3 in units of a full turn; wavelengths 1 and 100 for the two pairs of a half
    y, x = 1 / 2 * 2 * math.pi, 2 * math.pi
    expected = [f(v) for v in (y, y / 100, x, x / 100) for f in (math.sin, math.cos)]
    torch.testing.assert_close(table[2], torch.tensor(expected), rtol=0, atol=1e-4)


def test_tokenpose_head_rule() -> None:
    assert resolve_config("tokenpose-t-256x192").has_two_layer_head
    assert not resolve_config("tokenpose-l-d24-256x192").has_two_layer_head
    assert not resolve_config("tokenpose-t-256x192", embed_dim=208).has_two_layer_head


def test_okdhp_ensemble_is_a_weighted_mean_of_its_branches() -> None:
    torch.manual_seed(0)
    model = create_model("okdhp-hourglass-nano-128x96", stacks=4, features=16, branches=3).eval()
    images = torch.randn(2, 3, 128, 96)
    with torch.no_grad():
        output = model(images)
    assert len(output.stack_heatmaps) == 2 + 3 * 2 and len(output.branch_heatmaps) == 3
    assert all(torch.equal(output.stack_heatmaps[3 + 2 * i], output.branch_heatmaps[i]) for i in range(3))
    branches = torch.stack(output.branch_heatmaps)
    assert (output.heatmaps <= branches.amax(dim=0) + 1e-5).all() and (
        output.heatmaps >= branches.amin(dim=0) - 1e-5
    ).all()


def test_window_attention_is_the_same_fused_or_explicit() -> None:
    torch.manual_seed(0)
    attention = WindowAttention(8, 2, 3, position_bias=True)
    maps = torch.randn(1, 5, 4, 8)
    with torch.no_grad():
        attention.relative_position_bias_table.normal_()
        fused = attention(maps)
        use_explicit_attention(attention)
        torch.testing.assert_close(attention(maps), fused)
