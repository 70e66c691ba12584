"""DVT with keypoint tokens: people of low predicted quality after a coarse stage are refined over the whole picture.

Source: Wang et al., "Not All Images are Worth 16x16 Words", NeurIPS 2021, and its public code for DeiT: features and
relations of the coarse stage are reused in every block of the fine one, which has its own weights. Not published for
poses. As in SHaRPose, whose stages these are, they share patch embedding, keypoint tokens and head, the coarse one
has a smaller picture, and a predicted quality takes the place of the classifier's confidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from sharpose.models.dvt.config import DVTConfig
from sharpose.models.layers.tokens import upsample_tokens
from sharpose.models.layers.vit import Attention, Block, DropPath, Mlp
from sharpose.models.sharpose.model import SHaRPose
from sharpose.models.sharpose.output import CoarseStage, FineStage
from sharpose.runtime.errors import InputError


class ReusingBlock(nn.Module):
    """A pre-norm block of the fine stage, whose logits and MLP also get relations and features of the coarse stage."""

    def __init__(self, config: DVTConfig, drop_path: float, context: int) -> None:
        super().__init__()
        self.context_dim, dim = context, config.embed_dim
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, config.num_heads)
        if context:
            self.context_norm = nn.LayerNorm(dim)
            self.context_mlp = Mlp(dim, config.context_hidden, context)
        self.norm2 = nn.LayerNorm(dim + context)
        self.mlp = Mlp(dim + context, config.mlp_ratio * dim, dim)
        self.drop_path = DropPath(drop_path)

    def context(self, features: Float[Tensor, "B n D"]) -> Float[Tensor, "B n C"]:
        """Return what the block reuses of the coarse stage's patch features."""
        return self.context_mlp(self.context_norm(features))

    def forward(
        self,
        tokens: Float[Tensor, "B N D"],
        context: Float[Tensor, "B N C"] | None,
        relations: Float[Tensor, "B heads N N"] | None,
    ) -> Float[Tensor, "B N D"]:
        """Return the tokens after the block; `context` and `relations` are the coarse stage's, None for none."""
        q, k, v = self.attn.split(self.norm1(tokens))
        tokens = tokens + self.drop_path(self.attn.join(self.attn.mix(q, k, v, relations)))
        known = tokens if context is None else torch.cat([tokens, context], dim=2)
        return tokens + self.drop_path(self.mlp(self.norm2(known)))


class DVT(SHaRPose):
    """Normalised images (B, 3, H, W) to `SHaRPoseOutput`, in which every patch of a refined instance counts as kept."""

    config: DVTConfig
    # the stages have blocks of their own
    decode_block: Any = None

    def make_reuse(self) -> None:
        """Make the fine stage's own blocks, and the MLP over relations."""
        config = self.config
        rates = torch.linspace(0, config.drop_path, config.depth, device="cpu").tolist()
        # patches alone get any context, and nobody reads them after the last block
        contexts = [config.context_dim] * (config.depth - 1) + [0]
        self.fine_blocks = nn.ModuleList(
            ReusingBlock(config, rate, own) for rate, own in zip(rates, contexts, strict=True)
        )
        self.fine_norm = nn.LayerNorm(config.embed_dim)
        if config.relation_reuse:
            maps = config.maps
            self.relation_mlp = nn.Sequential(nn.Conv2d(maps, 3 * maps, 1), nn.GELU(), nn.Conv2d(3 * maps, maps, 1))

    def stage_fields(self) -> list[str]:
        """Return the names of the tensors that the coarse stage hands on."""
        always = ["keypoint_tokens", "quality", "relevance", "patch_inputs", "patch_states"]
        return [*always, "relations"] if self.config.relation_reuse else always

    def coarse(self, images: Float[Tensor, "B 3 H W"]) -> CoarseStage:
        """Run the coarse stage on normalised images, every token through every block, and keep all attention logits."""
        config, first_patch = self.config, 1 + self.config.num_keypoints
        patches, tokens = self.begin(images)
        relations, found = [], []
        for index, block in enumerate(self.blocks):
            tokens, logits = attend(block, tokens)
            tokens = block.feed(tokens)
            # the quality token is the coarse stage's own
            relations.append(logits[:, :, 1:, 1:])
            if index >= config.first_relevance_block:
                watched = logits[:, :, self.watched_rows]
                found.append((watched if self.guided else watched.detach()).softmax(dim=-1))
        relevance, looks = self.read_attention(found)
        learned, states = self.norm(tokens).tensor_split([first_patch], dim=1)
        return CoarseStage(
            learned[:, 1:],
            self.quality_predictor(learned[:, 0]),
            relevance,
            patches,
            states,
            relations=torch.cat(relations, dim=1) if config.relation_reuse else None,
            looks=looks,
        )

    def refine(self, images: Float[Tensor, "R 3 H W"], coarse: CoarseStage | None, num_keep: int) -> FineStage:
        """Run the fine stage on every patch. Raises InputError without a coarse stage or for fewer patches."""
        config = self.config
        if coarse is None or num_keep != config.num_coarse:
            raise InputError(f"DVT refines all {config.num_coarse} coarse patches: leave α at 1")
        first_patch, batch = config.num_keypoints, len(images)
        patches = self.patch_embed(images) + self.fine_pos_embed
        tokens = torch.cat([self.keypoint_tokens.expand(batch, -1, -1), patches], dim=1)
        blocks = cast(list[ReusingBlock], list(self.fine_blocks))
        for block, relations in zip(blocks, self.reused_relations(coarse), strict=True):
            context = None
            if block.context_dim:
                known = upsample_tokens(block.context(coarse.patch_states), config.coarse_grid, config.refine_ratio)
                context = F.pad(known, (0, 0, first_patch, 0))
            tokens = block(tokens, context, relations)
        keypoints = self.fine_norm(tokens)[:, :first_patch]
        everything = torch.arange(config.num_coarse, device=images.device).expand(batch, -1)
        return FineStage(heatmaps=self.head(keypoints), keypoint_tokens=keypoints, keep_indices=everything)

    def reused_relations(self, coarse: CoarseStage) -> Iterator[Tensor | None]:
        """Yield what is added to each fine block's logits, (B, heads, N, N): for a patch, that of its coarse one."""
        if coarse.relations is None:
            yield from [None] * self.config.depth
            return
        places = self.coarse_places(coarse.relations.device)
        for own in self.relation_mlp(coarse.relations).chunk(self.config.depth, dim=1):
            yield own[:, :, places][:, :, :, places]

    def coarse_places(self, device: torch.device) -> Int[Tensor, " N"]:
        """Return the coarse stage's token, by index, for every token of the fine stage."""
        config = self.config
        first, ratio = config.num_keypoints, config.refine_ratio
        cells = torch.arange(config.num_coarse, device=device).unflatten(0, config.coarse_grid)
        cells = cells.repeat_interleave(ratio, dim=0).repeat_interleave(ratio, dim=1)
        return torch.cat([torch.arange(first, device=device), first + cells.flatten()])


def attend(block: Block, tokens: Float[Tensor, "B N D"]) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B heads N N"]]:
    """Return the tokens after a block's attention, and its logits."""
    q, k, v = block.attn.split(block.norm1(tokens))
    logits = q * block.attn.scale @ k.transpose(-2, -1)
    return tokens + block.drop_path(block.attn.join(logits.softmax(dim=-1) @ v)), logits
