"""Linear layers that keep their weights in the order in which oneDNN multiplies them, for inference on a CPU.

torch's own fp32 product takes the weights as they are and orders them anew at each call, which is most felt where there
are few rows, and adds bias and GELU in passes of their own. The outputs differ by rounding alone.
"""

from __future__ import annotations

import torch
from timm.layers import Mlp
from torch import Tensor, nn

from sharpose.runtime.errors import InputError


class PackedLinear(nn.Linear):
    """A linear layer (..., in) to (..., out) with packed weights, in fp32 or, inside alone, in bf16.

    `gelu` is applied by the same kernel. `narrow` leaves the result in the kernel's precision, not the weights'.
    The plain weights stay, for those who read some rows of them; the packed ones do not follow their changes.
    """

    def __init__(self, linear: nn.Linear, kind: torch.dtype, gelu: bool = False, narrow: bool = False) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.kind, self.narrow, self.then = kind, narrow, "gelu" if gelu else "none"
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().to(kind))
        self.shift = None if linear.bias is None else linear.bias.detach().to(kind)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the products (..., out) of `rows` (..., in), in the weights' precision unless `narrow`."""
        found = torch.ops.mkldnn._linear_pointwise(rows.to(self.kind), self.packed, self.shift, self.then, [], "none")
        return found if self.narrow else found.to(self.weight.dtype)


def pack_linears(model: nn.Module, precision: str = "fp32") -> None:
    """Pack every linear layer of `model` in place, the GELU after it included; from now on it is for inference alone.

    Everything but the products (norms, softmax, residuals, convolutions) stays in fp32. It takes as much memory again
    as these layers' weights. Raises InputError where torch cannot do it.
    """
    if not can_pack():
        raise InputError("backend = 'packed': this torch has no oneDNN kernels for it; use --backend eager")
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    model.eval().requires_grad_(False)
    for module in list(model.modules()):
        if isinstance(module, Mlp) and is_plain(module):
            module.fc1 = PackedLinear(module.fc1, kind, gelu=True, narrow=True)  # type: ignore[arg-type]
            module.act = nn.Identity()
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            # subclasses may do something of their own
            if type(child) is nn.Linear:
                setattr(module, name, PackedLinear(child, kind))


def is_plain(mlp: Mlp) -> bool:
    """Two linear layers with the exact GELU between them, and nothing else."""
    gelu = isinstance(mlp.act, nn.GELU) and mlp.act.approximate == "none"
    return gelu and type(mlp.fc1) is nn.Linear and isinstance(mlp.norm, nn.Identity)


def can_pack() -> bool:
    """Whether this torch has the kernels, which no version promises: they are those of its own compiler."""
    try:
        probe = PackedLinear(nn.Linear(8, 8), torch.float32)
        with torch.inference_mode():
            probe(torch.zeros(1, 8))
    except (AttributeError, RuntimeError):
        return False
    return True
