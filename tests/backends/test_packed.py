"""Packed models give what plain ones give: whatever the system, the number of rows, and who exits early."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import nn

from sharpose.backends.deploy import deploy, usual_backend
from sharpose.backends.graphs import difference
from sharpose.backends.packed import MATRIX_BYTES, PackedAttention, PackedLinear, can_pack, pack_linears
from sharpose.models import create_model
from sharpose.models.layers.vit import Block, Mlp
from sharpose.models.output import PoseModel
from sharpose.runtime.errors import InputError
from tests.backends.exported import parting, some_images

SYSTEMS = (
    "dynamicvit-nano-128x96",
    "evit-nano-128x96",
    "tome-nano-128x96",
    "vitpose-nano-128x96",
    "tokenpose-nano-128x96",
    "hrformer-nano-128x96",
    "hrnet-nano-128x96",
)


@torch.inference_mode()
def test_linear_layer_of_any_rows() -> None:
    torch.manual_seed(0)
    plain = nn.Linear(24, 40)
    packed = PackedLinear(plain, torch.float32)
    many = torch.randn(7, 5, 48)
    for rows in (many[..., :24], many[:0, :, ::2], many[0, 0, :24], many[..., ::2].transpose(0, 1)):
        torch.testing.assert_close(packed(rows), plain(rows), atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_gelu_is_exact_and_in_the_kernel() -> None:
    torch.manual_seed(0)
    plain = Mlp(24, 96).eval()
    packed = nn.Sequential(copy.deepcopy(plain))
    pack_linears(packed)
    assert isinstance(packed[0].act, nn.Identity)
    rows = torch.randn(3, 24) * 4
    torch.testing.assert_close(packed(rows), plain(rows), atol=1e-5, rtol=1e-5)
    # timm's may have another activation, and keeps it
    other = nn.Sequential(timm.layers.Mlp(24, 96, act_layer=lambda: nn.GELU(approximate="tanh")).eval())
    expected = other(rows)
    pack_linears(other)
    assert isinstance(other[0].act, nn.GELU)
    torch.testing.assert_close(other(rows), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tokens", [9, 300], ids=["matrices", "fused"])
@torch.inference_mode()
def test_attention_of_few_and_of_many_tokens(tokens: int) -> None:
    torch.manual_seed(0)
    block = Block(24, 3, 2, 0.0).eval()
    packed = nn.Sequential(copy.deepcopy(block))
    pack_linears(packed)
    assert isinstance(packed[0].attn, PackedAttention)
    assert (4 * 3 * tokens**2 <= MATRIX_BYTES) == (tokens == 9)
    sequence, rows = torch.randn(2, tokens, 24), slice(1, 5)
    for found, expected in zip(packed[0](sequence, rows), block(sequence, rows), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert packed[0](sequence)[1] is None
    # some tokens alone, of what all of them remember
    few = sequence[:, :4]
    read = [one.read(few, one.memory(sequence), slice(1, None)) for one in (packed[0], block)]
    for found, expected in zip(*read, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert packed.state_dict().keys() == nn.Sequential(block).state_dict().keys()


@torch.inference_mode()
def test_sharpose_whoever_leaves_early() -> None:
    plain, packed = parting(), deploy(parting(), "packed")
    expected, found = plain(some_images()), packed(some_images())
    assert expected.needs_refinement.tolist() == found.needs_refinement.tolist()
    assert 0 < int(expected.needs_refinement.sum()) < 5
    assert torch.equal(expected.keep_indices, found.keep_indices)
    for name in ("heatmaps", "coarse_heatmaps", "quality", "relevance"):
        assert difference(getattr(found, name), getattr(expected, name)) < 1e-5, name
    assert packed(some_images()[:0]).heatmaps.shape == expected.heatmaps[:0].shape


@pytest.mark.parametrize("name", SYSTEMS)
@torch.inference_mode()
def test_other_systems(name: str) -> None:
    torch.manual_seed(0)
    plain = create_model(name).eval()
    packed: PoseModel = create_model(name).eval()
    packed.load_state_dict(plain.state_dict())
    packed = deploy(packed, "packed")
    images = some_images()[:2]
    assert difference(packed(images).heatmaps, plain(images).heatmaps) < 1e-5
    # weights are where they were, so saving and counting see no difference
    assert packed.state_dict().keys() == plain.state_dict().keys()


@torch.inference_mode()
def test_bf16_matmuls_in_an_fp32_model() -> None:
    if not can_pack(torch.bfloat16):
        with pytest.raises(InputError, match="precision = 'bf16': this processor has no instructions for it; use fp32"):
            deploy(parting(), "packed", precision="bf16")
        return
    plain, packed = parting(), deploy(parting(), "packed", precision="bf16")
    found = packed(some_images())
    assert found.heatmaps.dtype == torch.float32
    everyone = plain(some_images()).coarse_heatmaps
    assert 1e-5 < difference(found.coarse_heatmaps, everyone) < 0.03


def test_where_torch_cannot_it_is_said_and_eager_is_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usual_backend("cpu") == ("packed" if can_pack() else "eager") and usual_backend("cuda") == "eager"

    def fail(*_: object) -> None:
        raise AttributeError("_OpNamespace 'mkldnn' object has no attribute '_reorder_linear_weight'")

    monkeypatch.setattr("sharpose.backends.packed.PackedLinear", fail)
    assert usual_backend("cpu") == "eager"
    with pytest.raises(InputError, match=r"no oneDNN kernels.*--backend eager"):
        deploy(parting(), "packed")
