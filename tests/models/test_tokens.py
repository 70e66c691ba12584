"""The paper's ideas as functions: relevance, selection, refinement, gathering."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sharpose.models.layers.tokens import (
    accumulate_attention,
    fine_indices,
    gather_tokens,
    mass_counts,
    patch_relevance,
    round_up_to,
    select_patches,
    upsample_tokens,
)
from sharpose.models.layers.vit import PatchEmbed


def test_attention_average_starts_from_zero() -> None:
    first, second = torch.full((1, 1, 1, 2), 1.0), torch.full((1, 1, 1, 2), 3.0)
    running = accumulate_attention(accumulate_attention(None, first, 0.99), second, 0.99)
    torch.testing.assert_close(running, torch.full((1, 1, 1, 2), 0.99 * 0.01 * 1.0 + 0.01 * 3.0))


def test_relevance_is_mean_over_heads_and_sum_over_queries() -> None:
    attention = torch.tensor([[[[0.1, 0.9], [0.3, 0.7]], [[0.5, 0.5], [0.2, 0.8]]]])
    torch.testing.assert_close(patch_relevance(attention), torch.tensor([[0.55, 1.45]]))


@given(st.integers(0, 12), st.integers(0, 2**31))
def test_selection_parts_the_patches(num_keep: int, seed: int) -> None:
    relevance = torch.rand(3, 12, generator=torch.Generator().manual_seed(seed))
    keep, rest = select_patches(relevance, num_keep)
    assert keep.shape == (3, num_keep)
    assert torch.equal(torch.cat([keep, rest], 1).sort(1).values, torch.arange(12).expand(3, -1))
    if 0 < num_keep < 12:
        assert (relevance.gather(1, keep).min(1).values >= relevance.gather(1, rest).max(1).values).all()


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 0), (0.4, 1), (0.5, 1), (0.51, 2), (0.8, 2), (0.81, 3), (1.0, 4)]
)
def test_the_fewest_patches_that_make_up_a_share_of_the_relevance(share: float, expected: int) -> None:
    relevance = torch.tensor([[1.0, 5.0, 1.0, 3.0], [2.5, 2.5, 2.5, 2.5]])
    counts = mass_counts(relevance, share)
    assert counts.tolist() == [expected, math.ceil(4 * share)]


@given(st.integers(0, 2**31))
def test_more_mass_takes_no_fewer_patches(seed: int) -> None:
    relevance = torch.rand(3, 12, generator=torch.Generator().manual_seed(seed))
    counts = torch.stack([mass_counts(relevance, share) for share in (0.0, 0.3, 0.6, 0.9, 1.0)])
    assert (counts.diff(dim=0) >= 0).all()
    assert counts[0].tolist() == [0, 0, 0] and counts[-1].max() <= 12


def test_counts_go_up_to_the_next_size() -> None:
    assert round_up_to(torch.tensor([0, 1, 6, 7, 12]), (0, 6, 12)).tolist() == [0, 6, 6, 12, 12]


@pytest.mark.parametrize(("index", "expected"), [(0, [0, 1, 6, 7]), (2, [4, 5, 10, 11]), (4, [14, 15, 20, 21])])
def test_fine_indices_cover_their_coarse_patch(index: int, expected: list[int]) -> None:
    # a 2 x 3 coarse grid over a 4 x 6 fine one
    assert fine_indices(torch.tensor([[index]]), (2, 3), 2).tolist() == [expected]


def test_gathered_fine_tokens_are_those_that_upsampling_put_there() -> None:
    coarse = torch.arange(6.0).reshape(1, 6, 1)
    fine = upsample_tokens(coarse, (2, 3), 2)
    keep = torch.tensor([[5, 1]])
    picked = gather_tokens(fine, fine_indices(keep, (2, 3), 2))
    # four groups, each in the order of the kept patches
    assert picked.flatten().tolist() == [5.0, 1.0] * 4


def test_embedding_some_patches_equals_gathering_from_all() -> None:
    embed, images = PatchEmbed(4, 5), torch.randn(2, 3, 12, 8)
    indices = torch.tensor([[0, 3, 5], [4, 1, 1]])
    torch.testing.assert_close(embed.some(images, indices), gather_tokens(embed(images), indices))
    torch.testing.assert_close(embed.some(images.flip(-1), indices), gather_tokens(embed(images.flip(-1)), indices))
    assert embed.some(images, indices[:, :0]).shape == (2, 0, 5)
