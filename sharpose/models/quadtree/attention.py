"""QuadTree attention: queries look at a coarse picture, open the cells they attend to most, and look into those alone.

Source: Tang et al., "QuadTree Attention for Vision Transformers", ICLR 2022, Section 3, forms A and B. Beside patches
there are keypoint tokens here, which that paper does not have: they are no cells of the tree, everybody sees them, and
a cell counts as often as the patches that it stands for.

Where every cell is opened, B's finest level is full attention, so B equals it with its whole weight on that level. A
does not: how much a cell gets is decided by means of queries and keys, and that is the sum of what its patches get
only where queries and keys are the same all over every cell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from sharpose.models.config import Size
from sharpose.models.layers.vit import Attention, Keys, Queries


class QuadTreeAttention(Attention):
    """`Attention` over tokens `[keypoints, patches]`, by the tree of the patches.

    Queries are all of them, or the keypoints alone.
    """

    def __init__(
        self, dim: int, num_heads: int, num_keypoints: int, grids: Sequence[Size], top_k: Sequence[int], form: str
    ) -> None:
        super().__init__(dim, num_heads)
        self.num_keypoints, self.grids, self.top_k = num_keypoints, list(grids), list(top_k)
        self.level_weights = nn.Parameter(torch.zeros(len(grids))) if form == "B" else None

    def answer(self, q: Queries, k: Keys, v: Keys, rows: slice | None = None) -> tuple[Float[Tensor, "B M D"], None]:
        """Return what the queries learn; there are no rows of a whole attention matrix to give."""
        first = self.num_keypoints
        keys, values = (pyramid(one[:, :, first:], self.grids) for one in (k, v))
        others = k[:, :, :first], v[:, :, :first]
        # a keypoint is nowhere, so it is the same query at every level
        mixed = self.descend([q[:, :, :first, None]] * len(self.grids), keys, values, others, is_grid=False)
        if q.shape[2] > first:
            cells = pyramid(q[:, :, first:], self.grids)
            families = [cells[0][:, :, :, None]]
            families += [to_families(one, grid) for one, grid in zip(cells[1:], self.grids[1:], strict=True)]
            patches = self.descend(families, keys, values, others, is_grid=True)
            mixed = torch.cat([mixed, patches], dim=2)
        return self.join(mixed), None

    def descend(
        self,
        queries: Sequence[Float[Tensor, "B heads _ _ d"]],
        keys: Sequence[Float[Tensor, "B heads _ d"]],
        values: Sequence[Float[Tensor, "B heads _ d"]],
        others: tuple[Tensor, Tensor],
        is_grid: bool,
    ) -> Float[Tensor, "B heads M d"]:
        """Return the message to every query, from the coarsest level to the finest.

        `queries` of a level come in families that opened the same cells: the four children of a cell, or one query.
        """
        weights = None if self.level_weights is None else self.level_weights.softmax(dim=0)
        message, opened, scores = torch.zeros_like(values[0][:, :, :1]), None, None
        for level, (family, grid) in enumerate(zip(queries, self.grids, strict=True)):
            is_last = level + 1 == len(self.grids)
            own_keys, own_values = (one[level][:, :, None] for one in (keys, values))
            if opened is not None:
                own_keys, own_values = (look_up(one[level], opened) for one in (keys, values))
            logits = family * self.scale @ own_keys.transpose(-2, -1)
            if self.level_weights is not None or opened is None:
                # as many patches as a cell of this level stands for
                logits = logits + 2 * math.log(2) * (len(self.grids) - 1 - level)
                aside = family * self.scale @ others[0][:, :, None].transpose(-2, -1)
                shares = torch.cat([aside, logits], dim=-1).softmax(dim=-1)
                beside, attention = shares.tensor_split([self.num_keypoints], dim=-1)
            else:
                assert scores is not None
                beside = None
                attention = (logits.unflatten(-1, (-1, 4)).softmax(dim=-1) * scores[..., None, :, None]).flatten(-2)
            counted, picks = attention, None
            if not is_last:
                kept = attention.topk(self.top_k[level], dim=-1)
                scores, picks = kept.values.flatten(2, 3), kept.indices
                if weights is None:
                    # an opened cell speaks through its children
                    counted = attention.scatter(-1, picks, 0.0)
            found = counted @ own_values
            if beside is not None:
                found = found + beside @ others[1][:, :, None]
            if weights is not None:
                found = found * weights[level]
            message = (message[:, :, :, None] + found).flatten(2, 3)
            if picks is not None:
                chosen = picks if opened is None else opened[:, :, :, None].expand(*attention.shape).gather(-1, picks)
                opened = children(chosen.flatten(2, 3), grid[1])
            if is_grid and level:
                # families lie one after the other; the next level wants rows
                message = from_families(message.unflatten(2, (-1, 4)), grid)
                if opened is not None and scores is not None and not is_last:
                    opened = from_families(opened.unflatten(2, (-1, 4)), grid)
                    scores = from_families(scores.unflatten(2, (-1, 4)), grid)
        return message


def pyramid(values: Float[Tensor, "B heads N d"], grids: Sequence[Size]) -> list[Tensor]:
    """Return means over every level's cells, (B, heads, n, d), coarsest first; the finest are the values themselves."""
    levels = [values]
    for grid in reversed(grids[1:]):
        levels.append(to_families(levels[-1], grid).mean(dim=3))
    return levels[::-1]


def to_families(values: Float[Tensor, "B heads N d"], grid: Size) -> Float[Tensor, "B heads cells 4 d"]:
    """Return values of a grid, row by row, as the four children of every cell of half as many rows and columns."""
    tiled = values.unflatten(2, (grid[0] // 2, 2, grid[1] // 2, 2))
    return tiled.transpose(3, 4).flatten(4, 5).flatten(2, 3)


def from_families(values: Shaped[Tensor, "B heads cells 4 d"], grid: Size) -> Shaped[Tensor, "B heads N d"]:
    """Return the same the other way round."""
    tiled = values.unflatten(2, (grid[0] // 2, grid[1] // 2)).unflatten(4, (2, 2))
    return tiled.transpose(3, 4).flatten(2, 5)


def children(cells: Int[Tensor, "B heads M k"], columns: int) -> Int[Tensor, "B heads M four"]:
    """Return the indices, in the next level, of the four children of every cell, cell by cell."""
    row, column = cells // columns, cells % columns
    corner = 4 * columns * row + 2 * column
    return torch.stack([corner, corner + 1, corner + 2 * columns, corner + 2 * columns + 1], dim=-1).flatten(3)


def look_up(
    values: Float[Tensor, "B heads N d"], indices: Int[Tensor, "B heads M n"]
) -> Float[Tensor, "B heads M n d"]:
    """Return the values at `indices`, each query by its own."""
    wanted = indices.flatten(2)[..., None].expand(-1, -1, -1, values.shape[3])
    return values.gather(2, wanted).unflatten(2, indices.shape[2:])
