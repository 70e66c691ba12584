"""Transformer layers as DETR has them: the norm behind every step, positions on queries and keys in every layer."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sharpose.models.layers.vit import Attention, softmax_attention


class PositionedAttention(Attention):
    """Multi-head attention whose queries, keys and values come from inputs of their own, as in torch's.

    The three projections are one layer, `qkv`, whose thirds they are.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__(dim, num_heads)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.proj.bias)

    def forward(  # type: ignore[override]
        self, queries: Float[Tensor, "B M D"], keys: Float[Tensor, "B N D"], values: Float[Tensor, "B N D"]
    ) -> Float[Tensor, "B M D"]:
        """Return what each query attends to."""
        q, k, v = (self.project(tokens, third) for third, tokens in enumerate((queries, keys, values)))
        if self.explicit:
            return self.join(self.dropout(softmax_attention(q, k, self.scale)) @ v)
        rate = self.dropout.p if self.training else 0.0
        return self.join(F.scaled_dot_product_attention(q, k, v, dropout_p=rate, scale=self.scale))

    def project(self, tokens: Float[Tensor, "B N D"], third: int) -> Float[Tensor, "B heads N d"]:
        """Return queries, keys or values of `tokens`: the projection's `third`, counted from 0."""
        weight, bias = (one.chunk(3)[third] for one in (self.qkv.weight, self.qkv.bias))
        return F.linear(tokens, weight, bias).unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def weights(self, queries: Float[Tensor, "B M D"], keys: Float[Tensor, "B N D"]) -> Float[Tensor, "B M N"]:
        """Return attention of queries over keys, as a mean over the heads; each row sums to 1."""
        return softmax_attention(self.project(queries, 0), self.project(keys, 1), self.scale).mean(dim=1)


class EncoderLayer(nn.Module):
    """Every token looks at all, then goes through an MLP; a shortcut and a norm around each.

    Names are those of torch's `TransformerEncoderLayer`, except the attention's.
    """

    def __init__(self, dim: int, num_heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = PositionedAttention(dim, num_heads, dropout)
        self.linear1 = nn.Linear(dim, hidden)
        self.linear2 = nn.Linear(hidden, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Float[Tensor, "B N D"], positions: Float[Tensor, "_ N D"]) -> Float[Tensor, "B N D"]:
        """Return tokens that have attended to all others; positions are added to queries and keys alone."""
        placed = tokens + positions
        tokens = self.norm1(tokens + self.dropout(self.self_attn(placed, placed, tokens)))
        return self.norm2(tokens + self.dropout(self.feed(tokens)))

    def feed(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Feed every token forward by itself, before shortcut and norm."""
        return self.linear2(self.dropout(F.relu(self.linear1(tokens))))


class DecoderLayer(nn.Module):
    """Queries look at each other, then at the memory, then go through an MLP; a shortcut and a norm around each."""

    def __init__(self, dim: int, num_heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = PositionedAttention(dim, num_heads, dropout)
        self.cross_attn = PositionedAttention(dim, num_heads, dropout)
        self.linear1 = nn.Linear(dim, hidden)
        self.linear2 = nn.Linear(hidden, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        tokens: Float[Tensor, "B Q D"],
        places: Float[Tensor, "_ Q D"],
        memory: Float[Tensor, "B N D"],
        positions: Float[Tensor, "_ N D"],
    ) -> Float[Tensor, "B Q D"]:
        """Return the queries after attention among themselves, to the memory, and an MLP."""
        placed = tokens + places
        tokens = self.norm1(tokens + self.dropout(self.self_attn(placed, placed, tokens)))
        seen = self.cross_attn(tokens + places, memory + positions, memory)
        tokens = self.norm2(tokens + self.dropout(seen))
        deep = self.linear2(self.dropout(F.relu(self.linear1(tokens))))
        return self.norm3(tokens + self.dropout(deep))


def init_layer(module: nn.Module) -> None:
    """Initialise as DETR does, for `Module.apply`: Xavier's for every matrix; biases keep theirs."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
