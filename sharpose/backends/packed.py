"""A model for inference on a CPU: weights in the order in which oneDNN multiplies them, and attention for few tokens.

torch's own fp32 matmul takes the weights as they are and reorders them at each call, which is most felt where there
are few rows, and adds bias and GELU in passes of their own. Its fused attention is made for long sequences. The outputs
differ by rounding alone.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn

from sharpose.models.layers.vit import Attention, Mlp
from sharpose.runtime.errors import InputError

MATRIX_BYTES = 2**20
"""Attention matrices of an image up to this size, which a core's own cache holds, are formed."""


class PackedLinear(nn.Linear):
    """A linear layer (..., in) to (..., out) with packed weights, in fp32 or, inside alone, in bf16.

    `gelu` is applied by the same kernel. `narrow` leaves the result in the kernel's precision, not the weights'.
    The plain weights stay, for callers that read some of their rows; later changes do not reach the packed ones.
    """

    def __init__(self, linear: nn.Linear, kind: torch.dtype, gelu: bool = False, narrow: bool = False) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.kind, self.narrow, self.then = kind, narrow, "gelu" if gelu else "none"
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().to(kind))
        self.shift = None if linear.bias is None else linear.bias.detach().to(kind)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the outputs (..., out) of `rows` (..., in), in the weights' precision unless `narrow`."""
        found = torch.ops.mkldnn._linear_pointwise(rows.to(self.kind), self.packed, self.shift, self.then, [], "none")
        return found if self.narrow else found.to(self.weight.dtype)


class PackedAttention(Attention):
    """Attention that forms the matrices of few tokens, image by image, and gives the rows asked for from them.

    torch's fused kernel takes fewer than 192 queries in blocks of 32, and would have those rows computed once more.
    """

    def answer(self, q: Tensor, k: Tensor, v: Tensor, rows: slice | None = None) -> tuple[Tensor, Tensor | None]:
        """Return what `Attention.answer` does: (B, M, D), and (B, heads, rows, N) where there are `rows`.

        `q` is (B, heads, M, d), `k` and `v` are (B, heads, N, d).
        """
        batch, heads, queries, _ = q.shape
        if self.explicit or batch == 0 or q.dtype != torch.float32 or 4 * heads * queries * k.shape[2] > MATRIX_BYTES:
            return super().answer(q, k, v, rows)
        keys, nothing = k.transpose(2, 3), q.new_empty(1, 1, 1)
        logits, attention = q.new_empty(2, heads, queries, k.shape[2])
        mixed = q.new_empty(batch, queries, heads, q.shape[3])
        picked = None if rows is None else q.new_empty(batch, *attention[:, rows].shape)
        for image in range(batch):
            torch.baddbmm(nothing, q[image], keys[image], beta=0, alpha=self.scale, out=logits)
            torch.softmax(logits, dim=-1, out=attention)
            torch.bmm(attention, v[image], out=mixed[image].transpose(0, 1))
            if picked is not None:
                picked[image] = attention[:, rows]
        return self.proj(mixed.flatten(2)), picked

    @cached_property
    def halves(self) -> tuple[PackedLinear, PackedLinear]:
        """Return `qkv` as two layers on the same weights, queries, and keys and values, packed at the first use."""
        assert isinstance(self.qkv, PackedLinear)
        dim, made = self.qkv.in_features, []
        for part in (slice(dim), slice(dim, None)):
            layer = nn.Linear(dim, len(self.qkv.weight[part]), device="meta")
            layer.weight, layer.bias = nn.Parameter(self.qkv.weight[part]), nn.Parameter(self.qkv.bias[part])
            made.append(PackedLinear(layer, self.qkv.kind))
        return made[0], made[1]

    def queries(self, tokens: Tensor) -> Tensor:
        """Return the queries (B, heads, M, d) of tokens (B, M, D)."""
        return self.halves[0](tokens).unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def keys_values(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values, each (B, heads, N, d), of tokens (B, N, D)."""
        k, v = self.halves[1](tokens).unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return k, v


def pack_linears(model: nn.Module, precision: str = "fp32") -> None:
    """Pack every linear layer of `model` in place, the GELU after it included; from now on it is for inference alone.

    Everything but the matmuls (norms, softmax, residuals, convolutions) stays in fp32. It takes as much memory again
    as these layers' weights. Raises InputError where torch cannot do it.
    """
    if reason := why_not_packed(precision):
        raise InputError(reason)
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    model.eval().requires_grad_(False)
    for module in list(model.modules()):
        if type(module) is Mlp:
            module.fc1 = PackedLinear(module.fc1, kind, gelu=True, narrow=True)
            module.act = nn.Identity()  # type: ignore[assignment]
        elif type(module) is Attention:
            # with the same weights under the same names
            module.__class__ = PackedAttention
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            # subclasses may do something of their own
            if type(child) is nn.Linear:
                setattr(module, name, PackedLinear(child, kind))


def why_not_packed(precision: str) -> str | None:
    """Return why linear layers cannot be packed here in a precision, with the way out; None where they can."""
    if not can_pack():
        return "backend = 'packed': this torch has no oneDNN kernels for it; use --backend eager"
    if precision == "bf16" and not can_pack(torch.bfloat16):
        return "precision = 'bf16': this processor has no instructions for it; use fp32"
    return None


def can_pack(kind: torch.dtype = torch.float32) -> bool:
    """Return whether this torch has the kernels here; no version promises them: they are its own compiler's."""
    try:
        probe = PackedLinear(nn.Linear(8, 8), kind)
        with torch.inference_mode():
            probe(torch.zeros(1, 8))
    except (AttributeError, RuntimeError):
        return False
    return True
