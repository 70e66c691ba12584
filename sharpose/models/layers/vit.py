"""The plain vision transformer that every ViT system here shares: patch embedding, attention, blocks, positions."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

Queries = Float[Tensor, "B heads M d"]
Keys = Float[Tensor, "B heads N d"]
Attended = tuple[Float[Tensor, "B M D"], Float[Tensor, "B heads rows N"] | None]
"""Tokens after attention, and the attention of those in `rows` over all; None without `rows`."""


class PatchEmbed(nn.Module):
    """Non-overlapping patches to tokens, row by row: (B, 3, H, W) to (B, H/p · W/p, D)."""

    def __init__(self, patch_size: int, embed_dim: int, padding: int = 0) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, kernel_size=patch_size, stride=patch_size, padding=padding)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N D"]:
        """Return the tokens of all patches, row by row, without positions."""
        return self.proj(images).flatten(2).transpose(1, 2)

    def some(self, images: Float[Tensor, "B 3 H W"], indices: Int[Tensor, "B n"]) -> Float[Tensor, "B n D"]:
        """Return the tokens at `indices` alone, each image by its own row; equals gathering from all (no padding)."""
        side = self.proj.kernel_size[0]
        columns = images.shape[3] // side
        tiles = images.unflatten(3, (columns, side)).unflatten(2, (-1, side)).permute(0, 2, 4, 1, 3, 5)
        image = torch.arange(len(images), device=images.device)[:, None]
        pixels = tiles[image, indices // columns, indices % columns].flatten(2)
        return F.linear(pixels, self.proj.weight.flatten(1), self.proj.bias)


class Attention(nn.Module):
    """Multi-head self-attention that can also return the attention rows of some queries.

    With `explicit` the whole attention matrix is formed: slower, and what cost counters and the paper's GFLOPs see.
    `split`, `mix` and `join` are its three steps, for systems that do something of their own between them; `queries`
    and `keys_values` are `split` in two, for those that want the output of some tokens alone.
    """

    explicit: bool = False

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Float[Tensor, "B N D"], rows: slice | None = None) -> Attended:
        """Return the tokens after attention, and the attention of those in `rows`; None without `rows`."""
        return self.answer(*self.split(tokens), rows)

    def answer(self, q: Queries, k: Keys, v: Keys, rows: slice | None = None) -> Attended:
        """Return the attention output of the queries, and the attention matrix rows of those in `rows`."""
        if self.explicit and rows is not None:
            attention = softmax_attention(q, k, self.scale)
            return self.join(attention @ v), attention[:, :, rows]
        picked = None if rows is None else softmax_attention(q[:, :, rows], k, self.scale)
        return self.join(self.mix(q, k, v)), picked

    def split(self, tokens: Float[Tensor, "B N D"]) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each (B, heads, N, d)."""
        batch, count, dim = tokens.shape
        qkv = self.qkv(tokens).reshape(batch, count, 3, self.num_heads, dim // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        return q, k, v

    def queries(self, tokens: Float[Tensor, "B M D"]) -> Queries:
        """Return the queries alone, (B, heads, M, d)."""
        dim = tokens.shape[2]
        q = F.linear(tokens, self.qkv.weight[:dim], self.qkv.bias[:dim])
        return q.unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def keys_values(self, tokens: Float[Tensor, "B N D"]) -> tuple[Tensor, Tensor]:
        """Return keys and values, each (B, heads, N, d)."""
        dim = tokens.shape[2]
        both = F.linear(tokens, self.qkv.weight[dim:], self.qkv.bias[dim:])
        k, v = both.unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return k, v

    def mix(self, q: Queries, k: Keys, v: Keys, bias: Float[Tensor, "B _ _ N"] | None = None) -> Queries:
        """Return values mixed by attention; `bias` is added to its logits."""
        bias = None if bias is None else bias.to(q.dtype)
        # fused attention with a bias has other strides than what an exported graph has in its place
        if self.explicit or (bias is not None and torch.compiler.is_exporting()):
            return softmax_attention(q, k, self.scale, bias) @ v
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=self.scale)

    def join(self, mixed: Float[Tensor, "B heads N d"]) -> Float[Tensor, "B N D"]:
        """Concatenate the heads and apply the output projection."""
        return self.proj(mixed.transpose(1, 2).flatten(2))


def softmax_attention(
    q: Queries, k: Keys, scale: float, bias: Float[Tensor, "B _ _ N"] | None = None
) -> Float[Tensor, "B heads M N"]:
    """Return attention of every query over all keys; each row sums to 1. `bias` is added to the logits."""
    logits = q * scale @ k.transpose(-2, -1)
    return (logits if bias is None else logits + bias).softmax(dim=-1)


class DropPath(nn.Module):
    """Stochastic depth (Huang et al., 2016): in training, each sample's residual branch is dropped at a rate.

    Branches that stay are scaled by 1 / (1 − rate), so that their expectation is that of inference.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        """Return the branch, of which some samples are zero in training."""
        if not self.rate or not self.training:
            return branch
        kept = branch.new_empty(len(branch), *[1] * (branch.ndim - 1)).bernoulli_(1 - self.rate)
        # a rate of 1 keeps nothing that could be scaled
        return branch * (kept / (1 - self.rate) if self.rate < 1 else kept)


class Mlp(nn.Module):
    """Two linear layers with the exact GELU between them; `out` is as wide as the input unless given."""

    def __init__(self, dim: int, hidden: int, out: int | None = None) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, out or dim)

    def forward(self, tokens: Float[Tensor, "... D"]) -> Float[Tensor, "... d"]:
        """Return every token after both layers, by itself."""
        return self.fc2(self.act(self.fc1(tokens)))


class Block(nn.Module):
    """Pre-norm transformer block with exact GELU and stochastic depth: `attend`, then `feed`.

    Where the output of some tokens alone is wanted, `memory` is what they need of all others, and `read` gives theirs.
    """

    def __init__(self, dim: int, num_heads: int, mlp_ratio: int, drop_path: float, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, mlp_ratio * dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Float[Tensor, "B N D"], rows: slice | None = None) -> Attended:
        """Return the tokens after the block, and the attention of those in `rows`; None without `rows`."""
        tokens, picked = self.attend(tokens, rows)
        return self.feed(tokens), picked

    def memory(self, tokens: Float[Tensor, "B N D"]) -> tuple[Tensor, Tensor]:
        """Return keys and values of every token, each (B, heads, N, d)."""
        return self.attn.keys_values(self.norm1(tokens))

    def read(
        self, tokens: Float[Tensor, "B M D"], memory: tuple[Tensor, Tensor], rows: slice | None = None
    ) -> Attended:
        """Return what `forward` gives for `tokens`, a subset of those in `memory`; `rows` are positions among them.

        Stochastic depth draws anew at each call, so only calls for all that is wanted equal `forward` in training.
        `memory`: keys and values, (B, heads, N, d).
        """
        mixed, picked = self.attn.answer(self.attn.queries(self.norm1(tokens)), *memory, rows)
        return self.feed(tokens + self.drop_path(mixed)), picked

    def attend(self, tokens: Float[Tensor, "B N D"], rows: slice | None = None) -> Attended:
        """Apply the attention half of the block; also return the attention of the queries in `rows`."""
        mixed, picked = self.attn(self.norm1(tokens), rows)
        return tokens + self.drop_path(mixed), picked

    def feed(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Apply the MLP half of the block, to every token by itself."""
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


class Blocks(nn.ModuleList):
    """Blocks one after the other."""

    def forward(self, tokens: Float[Tensor, "B N D"], first: int | None = None) -> Float[Tensor, "B n D"]:
        """Return tokens after all blocks: those before position `first` alone, or every one.

        The last block computes queries, projection and MLP for nothing else.
        """
        *earlier, last = self
        for block in earlier:
            tokens, _ = block(tokens)
        if first is None:
            return last(tokens)[0]
        return last.read(tokens[:, :first], last.memory(tokens))[0]

    def watched(
        self, tokens: Float[Tensor, "B N D"], first: int, count: int
    ) -> tuple[Float[Tensor, "B n D"], list[Float[Tensor, "B heads n N"]]]:
        """Return the tokens before `first` after all blocks, and their attention in each of the last `count`."""
        *earlier, last = self
        found = []
        for index, block in enumerate(earlier, start=1):
            tokens, attention = block(tokens, slice(first) if index > len(self) - count else None)
            found += [] if attention is None else [attention]
        tokens, attention = last.read(tokens[:, :first], last.memory(tokens), slice(first))
        assert attention is not None
        return tokens, [*found, attention]

    def __iter__(self) -> Iterator[Block]:
        return super().__iter__()  # type: ignore[return-value]


def make_blocks(depth: int, dim: int, num_heads: int, mlp_ratio: int, drop_path: float, eps: float = 1e-5) -> Blocks:
    """Make `depth` blocks whose stochastic-depth rate grows linearly from 0 to `drop_path`."""
    rates = torch.linspace(0, drop_path, depth, device="cpu").tolist()
    return Blocks(Block(dim, num_heads, mlp_ratio, rate, eps) for rate in rates)


def use_explicit_attention(model: nn.Module, explicit: bool = True) -> None:
    """Switch every attention of `model` between the fused kernel and the explicit matrices."""
    for module in model.modules():
        # window attention has the same switch
        if hasattr(module, "explicit"):
            module.explicit = explicit  # type: ignore[assignment]


def compute_densely(model: nn.Module, dense: bool = True) -> None:
    """Let `model` compute every token as published (`dense`), or only what its result depends on (its default)."""
    if hasattr(model, "dense_compute"):
        model.dense_compute = dense  # type: ignore[assignment]


def init_linear(module: nn.Module) -> None:
    """Initialise as a ViT, for `Module.apply`: truncated normal weights, zero biases."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def sincos_positions(grid: tuple[int, int], dim: int, step: float = 1.0) -> Float[Tensor, "1 N D"]:
    """Return a fixed 2-D sine-cosine table for a grid of patches `step` units apart; coordinates are patch centres.

    Two grids over the same picture agree where they overlap when their steps are in the ratio of their patch sizes.
    """
    quarter = dim // 4
    frequencies = 10000.0 ** -(torch.arange(quarter, dtype=torch.float32) / quarter)
    rows, columns = ((torch.arange(side, dtype=torch.float32) + 0.5) * step for side in grid)
    angles = torch.cat(
        [
            (rows[:, None, None] * frequencies).expand(-1, grid[1], -1),
            (columns[None, :, None] * frequencies).expand(grid[0], -1, -1),
        ],
        dim=-1,
    ).flatten(0, 1)
    table = torch.cat([angles.sin(), angles.cos()], dim=-1)
    return F.pad(table, (0, dim - table.shape[1]))[None]
