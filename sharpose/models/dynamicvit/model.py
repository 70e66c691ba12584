"""DynamicViT with keypoint tokens: small predictors say which patches are worth going on with.

Training keeps every patch and hides the dropped ones from attention, so that the choice can be learnt; at inference
they are gone. Keypoint tokens are never dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from sharpose.models.dynamicvit.config import DynamicViTConfig
from sharpose.models.keypoint_vit.model import KeypointViT
from sharpose.models.layers.tokens import gather_tokens
from sharpose.models.layers.vit import Block, init_linear
from sharpose.models.output import PoseOutput


@dataclass(frozen=True)
class DynamicViTOutput(PoseOutput):
    """One entry per reduction.

    `keep_indices` (inference) are patches of the image, best first; `masks` (training) are 1 where a patch is kept.
    `log_probs` are the predictors' (index 0: keep) for the patches then present. `tokens` are those after the final
    norm: keypoints first, and at inference keypoints alone, unless `dense_compute`.
    """

    tokens: Float[Tensor, "B N D"]
    log_probs: tuple[Float[Tensor, "B _ 2"], ...]
    keep_indices: tuple[Int[Tensor, "B _"], ...] = ()
    masks: tuple[Float[Tensor, "B P"], ...] = ()


class KeepPredictor(nn.Module):
    """Log-probabilities of keeping and dropping every patch, from itself and the mean of the patches still kept."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.in_conv = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU())
        self.out_conv = nn.Sequential(
            nn.Linear(dim, dim // 2), nn.GELU(), nn.Linear(dim // 2, dim // 4), nn.GELU(), nn.Linear(dim // 4, 2)
        )

    def forward(self, patches: Float[Tensor, "B n D"], kept: Float[Tensor, "B n"]) -> Float[Tensor, "B n 2"]:
        """Return log-probabilities that each patch is kept (0) or dropped (1), by itself and the mean of the `kept`."""
        local, others = self.in_conv(patches).chunk(2, dim=-1)
        weights = kept[..., None]
        overall = (others * weights).sum(dim=1, keepdim=True) / weights.sum(dim=1, keepdim=True)
        return self.out_conv(torch.cat([local, overall.expand_as(local)], dim=-1)).log_softmax(dim=-1)


class PolicySoftmax(torch.autograd.Function):
    """`policy_softmax` in the precision of its logits; autograd's own gradient passes over the map twice as often."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, policy: Tensor, eps: float) -> Tensor:
        """Return the attention, (B, heads, N, N)."""
        count = policy.shape[1]
        own = torch.eye(count, dtype=policy.dtype, device=policy.device)
        visible = (policy[:, None, :] + (1 - policy[:, None, :]) * own)[:, None].type_as(logits)
        # the shift changes nothing but the range
        shifted = (logits - logits.amax(dim=-1, keepdim=True)).exp_()
        weights = shifted * visible
        inverse = (weights.sum(dim=-1, keepdim=True) + eps).reciprocal()
        attention = weights.add_(eps / count).mul_(inverse)
        ctx.save_for_backward(shifted, visible, inverse, attention)
        return attention

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of logits and policy; the own key is seen whatever the policy says."""
        shifted, visible, inverse, attention = ctx.saved_tensors
        change = (grad - (grad * attention).sum(dim=-1, keepdim=True)).mul_(inverse).mul_(shifted)
        whole, own = change.sum(dim=(1, 2)), change.diagonal(dim1=2, dim2=3).sum(dim=1)
        return change.mul_(visible), whole - own, None


def policy_softmax(
    logits: Float[Tensor, "B heads N N"], policy: Float[Tensor, "B N"], eps: float = 1e-6
) -> Float[Tensor, "B heads N N"]:
    """Return the softmax over the keys that `policy` keeps (1) and, in every row, the query's own key."""
    attention: Tensor = PolicySoftmax.apply(logits, policy, eps)
    return attention


def masked_block(block: Block, tokens: Float[Tensor, "B N D"], policy: Float[Tensor, "B N"]) -> Float[Tensor, "B N D"]:
    """Apply a block whose attention sees only what `policy` keeps; every token goes on."""
    q, k, v = block.attn.split(block.norm1(tokens))
    attention = policy_softmax(q * block.attn.scale @ k.transpose(-2, -1), policy)
    return block.feed(tokens + block.drop_path(block.attn.join(attention @ v)))


def draw_decisions(log_probs: Float[Tensor, "B n 2"]) -> Float[Tensor, "B n"]:
    """Draw random hard choices (1 keep) with the gradient of the soft ones: straight-through Gumbel softmax, tau 1."""
    return F.gumbel_softmax(log_probs, hard=True)[..., 0]


class DynamicViT(KeypointViT):
    """`KeypointViT` that drops patches before some of its blocks."""

    config: DynamicViTConfig

    def __init__(self, config: DynamicViTConfig) -> None:
        super().__init__(config)
        self.predictors = nn.ModuleList(KeepPredictor(config.embed_dim) for _ in config.reduction_blocks)
        self.predictors.apply(init_linear)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> DynamicViTOutput:
        """Return the result of masking, in training, or of removing patches, at inference."""
        return self.masked(images) if self.training else self.pruned(images)

    def pruned(self, images: Float[Tensor, "B 3 H W"]) -> DynamicViTOutput:
        """Remove dropped patches: a fixed number stays after each reduction."""
        first, tokens = self.config.num_keypoints, self.embed(images)
        left = torch.arange(self.config.num_patches, device=images.device).expand(len(images), -1)
        log_probs: list[Tensor] = []
        keep_indices: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            if index in self.config.reduction_blocks:
                stage = len(log_probs)
                patches = tokens[:, first:]
                log_probs.append(self.predictors[stage](patches, torch.ones_like(patches[..., 0])))
                order = log_probs[-1][..., 0].argsort(dim=1, descending=True, stable=True)
                keep = order[:, : self.config.num_kept[stage]]
                tokens = torch.cat([tokens[:, :first], gather_tokens(patches, keep)], dim=1)
                left = left.gather(1, keep)
                keep_indices.append(left)
            if index + 1 < self.config.depth:
                tokens, _ = block(tokens)
        tokens = self.finish(tokens)
        return DynamicViTOutput(self.heatmaps(tokens), tokens, tuple(log_probs), keep_indices=tuple(keep_indices))

    def masked(
        self, images: Float[Tensor, "B 3 H W"], decisions: Sequence[Float[Tensor, "B P"]] | None = None
    ) -> DynamicViTOutput:
        """Keep dropped patches, unseen by the others; `decisions` (1 keep, per reduction) replace the random draws."""
        first, tokens = self.config.num_keypoints, self.embed(images)
        kept = torch.ones_like(tokens[:, first:, 0])
        log_probs: list[Tensor] = []
        masks: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            if index in self.config.reduction_blocks:
                stage = len(log_probs)
                log_probs.append(self.predictors[stage](tokens[:, first:], kept))
                drawn = draw_decisions(log_probs[-1]) if decisions is None else decisions[stage]
                kept = kept * drawn
                masks.append(kept)
            if masks:
                tokens = masked_block(block, tokens, F.pad(kept, (first, 0), value=1.0))
            else:
                tokens, _ = block(tokens)
        tokens = self.norm(tokens)
        return DynamicViTOutput(self.heatmaps(tokens), tokens, tuple(log_probs), masks=tuple(masks))
