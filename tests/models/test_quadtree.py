"""QuadTree attention: against a plain reading of it query by query, and against full attention in its limit."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from sharpose.models import create_model, resolve_config
from sharpose.models.layers.vit import Attention
from sharpose.models.quadtree.attention import QuadTreeAttention, children, from_families, pyramid, to_families
from sharpose.models.registry import closed_form

NAME, KEYPOINTS, GRID = "quadtree-nano-128x96", 3, (8, 4)
GRIDS = [(2, 1), (4, 2), (8, 4)]
EVERYTHING = (2, 8)


def attention(form: str, top_k: tuple[int, ...]) -> QuadTreeAttention:
    torch.manual_seed(0)
    layer = QuadTreeAttention(8, 2, KEYPOINTS, GRIDS, top_k, form).eval()
    if layer.level_weights is not None:
        torch.nn.init.normal_(layer.level_weights)
    return layer


def tokens(constant: bool = False) -> Tensor:
    """Three keypoints and 8x4 patches, which with `constant` are the same all over each of the two coarsest cells."""
    made = torch.randn(1, KEYPOINTS + 32, 8, generator=torch.Generator().manual_seed(1))
    if constant:
        made[:, KEYPOINTS : KEYPOINTS + 16] = made[:, KEYPOINTS : KEYPOINTS + 1]
        made[:, KEYPOINTS + 16 :] = made[:, -1:]
    return made


def plain(layer: QuadTreeAttention, given: Tensor) -> Tensor:
    """Section 3 of the paper for one query of one head after the other, before the output projection."""
    q, k, v = (one[0] for one in layer.split(given))
    levels = {name: pyramid(one[None, :, KEYPOINTS:], GRIDS) for name, one in (("q", q), ("k", k), ("v", v))}
    means = {name: [level[0] for level in own] for name, own in levels.items()}
    form, out = "A" if layer.level_weights is None else "B", torch.zeros_like(q)
    weights = None if form == "A" else layer.level_weights.softmax(dim=0)
    for head in range(2):
        for index in range(len(q[0])):
            patch = index - KEYPOINTS
            message, cells, shares = torch.zeros(4), list(range(2)), {}
            for level, (_, columns) in enumerate(GRIDS):
                query = q[head, index]
                if patch >= 0:
                    shrink = 2 ** (2 - level)
                    query = means["q"][level][head, (patch // 4 // shrink) * columns + patch % 4 // shrink]
                exponent = {cell: math.exp(float(query @ means["k"][level][head, cell]) / 2) for cell in cells}
                size = 4 ** (2 - level)
                beside = [math.exp(float(query @ k[head, j]) / 2) for j in range(KEYPOINTS)]
                if form == "B" or level == 0:
                    total = sum(beside) + size * sum(exponent.values())
                    got = {cell: size * value / total for cell, value in exponent.items()}
                else:
                    total, got = 0.0, {}
                    for parent, share in shares.items():
                        four = [c for c in cells if (c // columns // 2) * (columns // 2) + c % columns // 2 == parent]
                        inside = sum(exponent[c] for c in four)
                        got |= {c: share * exponent[c] / inside for c in four}
                count = 0 if level == 2 else layer.top_k[level]
                opened = sorted(got, key=lambda cell: -got[cell])[:count]
                found = sum(
                    (got[cell] * means["v"][level][head, cell] for cell in cells if form == "B" or cell not in opened),
                    start=torch.zeros(4),
                )
                if form == "B" or level == 0:
                    found = found + sum(beside[j] / total * v[head, j] for j in range(KEYPOINTS))
                message = message + (found if weights is None else weights[level] * found)
                # whose children are looked into is decided by the parent's query, which its four children share
                shares = {cell: got[cell] for cell in opened}
                cells = [
                    (2 * (cell // columns) + dy) * 2 * columns + 2 * (cell % columns) + dx
                    for cell in opened
                    for dy in (0, 1)
                    for dx in (0, 1)
                ]
            out[head, index] = message
    return out


@pytest.mark.parametrize("form", ["A", "B"])
@pytest.mark.parametrize("top_k", [(1, 1), (1, 3), (2, 3)])
@torch.no_grad()
def test_it_is_the_papers_query_by_query(form: str, top_k: tuple[int, ...]) -> None:
    layer = attention(form, top_k)
    torch.testing.assert_close(layer(tokens())[0], layer.join(plain(layer, tokens())[None]), atol=1e-5, rtol=1e-4)
    # the keypoints alone, as in the last block
    alone, _ = layer.answer(layer.queries(tokens()[:, :KEYPOINTS]), *layer.keys_values(tokens()))
    torch.testing.assert_close(alone, layer(tokens())[0][:, :KEYPOINTS], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_b_is_full_attention_where_all_is_opened_and_the_finest_level_counts() -> None:
    layer, full = attention("B", EVERYTHING), Attention(8, 2).eval()
    full.load_state_dict({name: value for name, value in layer.state_dict().items() if name != "level_weights"})
    assert not torch.allclose(layer(tokens())[0], full(tokens())[0], atol=1e-3)
    layer.level_weights.copy_(torch.tensor([-1e4, -1e4, 0.0]))
    torch.testing.assert_close(layer(tokens())[0], full(tokens())[0], atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_a_is_full_attention_only_where_cells_are_of_one_kind() -> None:
    layer, full = attention("A", EVERYTHING), Attention(8, 2).eval()
    full.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(tokens(constant=True))[0], full(tokens(constant=True))[0], atol=1e-6, rtol=1e-5)
    assert not torch.allclose(layer(tokens())[0], full(tokens())[0], atol=1e-3)


@torch.no_grad()
def test_keypoints_have_no_order() -> None:
    layer, given, order = attention("B", (1, 2)), tokens(), torch.tensor([2, 0, 1])
    turned = torch.cat([given[:, order], given[:, KEYPOINTS:]], dim=1)
    there, here = layer(turned)[0], layer(given)[0]
    torch.testing.assert_close(there[:, :KEYPOINTS], here[:, order], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(there[:, KEYPOINTS:], here[:, KEYPOINTS:], atol=1e-5, rtol=1e-4)


def test_families_come_apart_and_together() -> None:
    values = torch.arange(32.0).reshape(1, 1, 32, 1)
    families = to_families(values, GRID)
    assert families[0, 0, 1].flatten().tolist() == [2, 3, 6, 7]
    assert torch.equal(from_families(families, GRID), values)
    assert children(torch.tensor([[[[1, 2]]]]), 2).flatten().tolist() == [2, 3, 6, 7, 8, 9, 12, 13]


@pytest.mark.parametrize("form", ["A", "B"])
def test_everything_learns(form: str) -> None:
    torch.manual_seed(0)
    model = create_model(NAME, form=form, embed_dim=24, num_heads=2, depth=2)
    heatmaps = model(torch.randn(2, 3, 128, 96)).heatmaps
    heatmaps.square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    learned = {name.rpartition(".")[2] for name, _ in model.named_parameters()}
    assert ("level_weights" in learned) == (form == "B")


def test_fewer_matmuls_than_full_attention() -> None:
    costs = [closed_form(resolve_config(name)) for name in ("quadtree-base-256x192", "keypoint-vit-base-256x192")]
    assert costs[0] is not None and costs[1] is not None
    # 17 + 12 tokens see 17 + 12, 17 + 48 see 17 + 32, 17 + 192 see 17 + 32: in place of 209 seeing 209
    saved = 209**2 - (29 * 29 + 65 * 49 + 209 * 49)
    assert costs[1].macs - costs[0].macs == 12 * 2 * 768 * saved and costs[0].params - costs[1].params == 12 * 3


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"levels": 1, "top_k": (8,)}, "levels"),
        ({"levels": 4, "top_k": (1, 1, 1)}, "levels"),
        ({"top_k": (8,)}, "top_k"),
        ({"top_k": (13, 8)}, "top_k"),
        ({"top_k": (2, 9)}, "top_k"),
        ({"form": "C"}, "form"),
    ],
)
def test_bad_fields_are_named(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=rf"^{field} = "):
        resolve_config(NAME, **options)
