"""Bipartite soft matching as pure functions (ToMe).

Which tokens are alike, what they become together, and blocks that merge as they go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sharpose.models.layers.tokens import gather_tokens
from sharpose.models.layers.vit import Block, Blocks
from sharpose.models.tome.config import possible_merges


@dataclass(frozen=True)
class Matching:
    """Which tokens of a sequence merge: `sources[i]` into `targets[i]`, as positions in the sequence.

    `order` lists the positions that remain, in the order of the merged sequence.
    """

    sources: Int[Tensor, "B merges"]
    targets: Int[Tensor, "B merges"]
    order: Int[Tensor, "B left"]


def match_tokens(metric: Float[Tensor, "B N d"], merges: int, protected: int) -> Matching:
    """Pair tokens at even positions with the most similar one (by cosine) at an odd position; the best pairs merge.

    The first `protected` tokens neither merge nor are merged into. At most half of the others merge at once.
    The merged sequence is `[protected, even that remain, odd]`; evens stay in place; where nothing is protected
    they come in descending similarity, as in the public code.
    """
    batch, count, _ = metric.shape
    even = torch.arange(protected + protected % 2, count, 2, device=metric.device)
    odd = torch.arange(protected + 1 - protected % 2, count, 2, device=metric.device)
    merges = min(merges, (count - protected) // 2)
    metric = metric / metric.norm(dim=-1, keepdim=True)
    best, partner = (metric[:, even] @ metric[:, odd].transpose(1, 2)).max(dim=-1)
    ranked = best.argsort(dim=1, descending=True)
    chosen, others = ranked[:, :merges], ranked[:, merges:]
    if protected:
        others = others.sort(dim=1).values
    fixed = torch.arange(protected, device=metric.device).expand(batch, -1)
    order = torch.cat([fixed, even[others], odd.expand(batch, -1)], dim=1)
    return Matching(even[chosen], odd[partner.gather(1, chosen)], order)


def merge_tokens(
    tokens: Float[Tensor, "B N D"], sizes: Float[Tensor, "B N"], matching: Matching
) -> tuple[Float[Tensor, "B left D"], Float[Tensor, "B left"]]:
    """Return means weighted by `sizes`, the number of patches that a token stands for; and the new sizes."""
    weighted = tokens * sizes[..., None]
    index = matching.targets[..., None].expand(-1, -1, tokens.shape[2])
    weighted = weighted.scatter_add(1, index, gather_tokens(weighted, matching.sources))
    sizes = sizes.scatter_add(1, matching.targets, sizes.gather(1, matching.sources))
    sizes = sizes.gather(1, matching.order)
    return gather_tokens(weighted, matching.order) / sizes[..., None], sizes


def final_positions(matchings: tuple[Matching, ...], batch: int, count: int) -> Int[Tensor, "B N"]:
    """Return where each of the `count` first tokens ended: the position in the last sequence of what holds it."""
    device = matchings[0].order.device if matchings else None
    where = torch.arange(count, device=device).expand(batch, -1)
    for matching in matchings:
        remaining = matching.order.shape[1]
        moved = matching.order.new_zeros(batch, remaining + matching.sources.shape[1])
        moved = moved.scatter(1, matching.order, torch.arange(remaining, device=device).expand(batch, -1))
        moved = moved.scatter(1, matching.sources, moved.gather(1, matching.targets))
        where = moved.gather(1, where)
    return where


def merging_blocks(
    blocks: Blocks,
    tokens: Float[Tensor, "B N D"],
    schedule: Sequence[int],
    protected: int,
    *,
    proportional: bool = True,
    last_dense: bool = False,
) -> tuple[Float[Tensor, "B left D"], Float[Tensor, "B left"], tuple[Matching, ...]]:
    """Return tokens after all blocks, each of which merges `schedule`'s number of pairs between attention and MLP.

    The most similar pairs by their keys merge, but none of the first `protected` tokens. With `proportional` attention,
    keys count as often as the tokens they stand for: so merging equal tokens changes no other's result. Also returned:
    how many tokens each of the last ones stands for, and what merged, block by block. The last block merges nothing and
    gives the protected tokens alone, unless `last_dense`.
    """
    sizes = torch.ones_like(tokens[..., 0])
    matchings: list[Matching] = []
    for index, (block, wanted) in enumerate(zip(blocks, schedule, strict=True)):
        bias = sizes.log()[:, None, None] if proportional and matchings else None
        if index + 1 == len(blocks) and not last_dense:
            return read_first(block, tokens, protected, bias), sizes[:, :protected], tuple(matchings)
        q, k, v = block.attn.split(block.norm1(tokens))
        tokens = tokens + block.drop_path(block.attn.join(block.attn.mix(q, k, v, bias)))
        if merges := possible_merges(wanted, int(tokens.shape[1]) - protected):
            # the choice is discrete; gradients go through the merged values alone
            matching = match_tokens(k.detach().mean(dim=1), merges, protected)
            tokens, sizes = merge_tokens(tokens, sizes, matching)
            matchings.append(matching)
        tokens = block.feed(tokens)
    return tokens, sizes, tuple(matchings)


def read_first(
    block: Block, tokens: Float[Tensor, "B N D"], first: int, bias: Float[Tensor, "B 1 1 N"] | None
) -> Float[Tensor, "B first D"]:
    """Return the `first` tokens after a block that merges nothing."""
    normed = block.norm1(tokens)
    mixed = block.attn.mix(block.attn.queries(normed[:, :first]), *block.attn.keys_values(normed), bias)
    return block.feed(tokens[:, :first] + block.drop_path(block.attn.join(mixed)))
