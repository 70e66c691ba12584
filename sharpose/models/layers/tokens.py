"""The paper's ideas as pure functions on tensors: which patches matter, which are kept, what stands for them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def accumulate_attention(
    running: Float[Tensor, "B heads rows N"] | None, attention: Float[Tensor, "B heads rows N"], beta: float
) -> Float[Tensor, "B heads rows N"]:
    """Return the exponential moving average of attention over blocks, from zero on (eq. 5): G ← β·G + (1 - β)·A."""
    fresh = (1 - beta) * attention
    return fresh if running is None else beta * running + fresh


def patch_relevance(attention: Float[Tensor, "B heads rows N"]) -> Float[Tensor, "B N"]:
    """Return how much the keypoint queries look at every patch (eq. 6): mean over heads, sum over query rows."""
    return attention.mean(dim=1).sum(dim=1)


def keypoint_looks(
    attention: Sequence[Float[Tensor, "B heads K N"]], num_patches: int
) -> Float[Tensor, "B blocks K patches"]:
    """Return how each keypoint token shares its attention among the patches alone, the last tokens of N.

    Mean over heads, block by block; each look sums to 1.
    """
    over_patches = [one[..., -num_patches:] for one in attention]
    return torch.stack([(one / one.sum(dim=3, keepdim=True)).mean(dim=1) for one in over_patches], dim=1)


def select_patches(
    relevance: Float[Tensor, "B N"], num_keep: int
) -> tuple[Int[Tensor, "B kept"], Int[Tensor, "B rest"]]:
    """Return indices of the `num_keep` most relevant patches in descending order, and of all others (eq. 7, 8)."""
    order = relevance.argsort(dim=1, descending=True, stable=True)
    return order[:, :num_keep], order[:, num_keep:]


def mass_counts(relevance: Float[Tensor, "B N"], share: float) -> Int[Tensor, " B"]:
    """Return the smallest number of patches that hold this fraction of each image's relevance.

    In place of the fixed number of eq. 7; not in the paper. 0 for a fraction of 0.
    """
    mass = relevance.double().sort(dim=1, descending=True).values.cumsum(dim=1)
    # the mass before each patch: it is needed while that is not enough
    before = torch.cat([torch.zeros_like(mass[:, :1]), mass[:, :-1]], dim=1)
    return (before < share * mass[:, -1:]).sum(dim=1)


def round_up_to(counts: Int[Tensor, " B"], sizes: Sequence[int]) -> Int[Tensor, " B"]:
    """Return for each count the smallest of these ascending sizes that holds it; the last one holds all."""
    grid = torch.tensor(sizes, device=counts.device)
    return grid[torch.searchsorted(grid, counts)]


def fine_indices(
    coarse_indices: Int[Tensor, "B kept"], coarse_grid: tuple[int, int], ratio: int
) -> Int[Tensor, "B fine"]:
    """Return row-major indices, in the fine grid, of the ratio² patches that cover each given coarse patch.

    Grouped by offset ((0,0), (0,1), (1,0), (1,1) for ratio 2), each group in the order of `coarse_indices`.
    """
    columns = coarse_grid[1]
    row, column = coarse_indices // columns, coarse_indices % columns
    groups = [
        (row * ratio + dy) * (columns * ratio) + column * ratio + dx for dy in range(ratio) for dx in range(ratio)
    ]
    return torch.cat(groups, dim=1)


def mixed_shares(
    maps: Float[Tensor, "B K h w"],
    keep: Int[Tensor, "B kept"],
    rest: Int[Tensor, "B rest"],
    coarse_grid: tuple[int, int],
    ratio: int,
) -> Float[Tensor, "B K mixed"]:
    """Return how much of each map every patch token of the fine stage covers, up to one factor for all.

    In the order of those tokens: the fine patches of `keep` as in `fine_indices`, then the coarse ones of `rest`.
    """
    fine_grid = (coarse_grid[0] * ratio, coarse_grid[1] * ratio)
    fine, coarse = (F.adaptive_avg_pool2d(maps, grid).flatten(2).transpose(1, 2) for grid in (fine_grid, coarse_grid))
    chosen = gather_tokens(fine, fine_indices(keep, coarse_grid, ratio))
    return torch.cat([chosen, ratio**2 * gather_tokens(coarse, rest)], dim=1).transpose(1, 2)


def gather_tokens(tokens: Float[Tensor, "B N D"], indices: Int[Tensor, "B n"]) -> Float[Tensor, "B n D"]:
    """Return the tokens at `indices`, each image by its own row of indices."""
    return tokens.gather(1, indices[:, :, None].expand(-1, -1, tokens.shape[2]))


def upsample_tokens(tokens: Float[Tensor, "B N D"], grid: tuple[int, int], ratio: int) -> Float[Tensor, "B fine D"]:
    """Upsample a token grid: each token is copied to its ratio² positions in the fine grid."""
    maps = tokens.transpose(1, 2).unflatten(2, grid)
    return F.interpolate(maps, scale_factor=ratio, mode="nearest").flatten(2).transpose(1, 2)
