"""SHaRPose: look coarsely, judge the result, look again finely only where the keypoints attend to (Figure 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from timm.layers import Mlp
from torch import Tensor, nn

from sharpose.models.configs.sharpose import SHaRPoseConfig
from sharpose.models.heads import KeypointTokenHead
from sharpose.models.output import PoseModel, PoseOutput
from sharpose.models.tokens import (
    accumulate_attention,
    fine_indices,
    gather_tokens,
    patch_relevance,
    select_patches,
    upsample_tokens,
)
from sharpose.models.vit import PatchEmbed, init_linear, make_blocks, sincos_positions


@dataclass(frozen=True)
class CoarseStage:
    """What the coarse look gives; `patch_inputs` and `patch_outputs` are patch tokens before and after the blocks."""

    heatmaps: Float[Tensor, "B K h w"]
    quality: Float[Tensor, " B"]
    relevance: Float[Tensor, "B Nc"]
    keypoint_tokens: Float[Tensor, "B K D"]
    patch_inputs: Float[Tensor, "B Nc D"]
    patch_outputs: Float[Tensor, "B Nc D"]

    def rows(self, indices: Int[Tensor, " R"]) -> CoarseStage:
        """The same for some instances of the batch."""
        return CoarseStage(**{name: value[indices] for name, value in vars(self).items()})


@dataclass(frozen=True)
class FineStage:
    """What the fine look gives, for the R instances that were refined; without a coarse look nothing is selected."""

    heatmaps: Float[Tensor, "R K h w"]
    keypoint_tokens: Float[Tensor, "R K D"]
    keep_indices: Int[Tensor, "R kept"] | None


@dataclass(frozen=True)
class SHaRPoseOutput(PoseOutput):
    """`heatmaps` are the fine ones where an instance was refined, else the coarse ones.

    `fine_heatmaps` and `keep_indices` have one row per refined instance, in batch order; None when there is none.
    What the coarse stage gives is None for a model without it.
    """

    coarse_heatmaps: Float[Tensor, "B K h w"] | None
    fine_heatmaps: Float[Tensor, "R K h w"] | None
    quality: Float[Tensor, " B"] | None
    relevance: Float[Tensor, "B Nc"] | None
    keep_indices: Int[Tensor, "R kept"] | None
    needs_refinement: Bool[Tensor, " B"]


class QualityPredictor(nn.Module):
    """Expected OKS of the coarse result from the quality token (Section 3.3); the last GELU is the release's."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 1), nn.GELU()
        )

    def forward(self, token: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
        return self.mlp(self.norm(token)).squeeze(1)


class SHaRPose(PoseModel):
    """Sparse high-resolution pose transformer: normalised images (B, 3, H, W) to `SHaRPoseOutput`.

    The stages share every weight but their position tables; `coarse` and `fine` can be called apart. A model of one
    stage has no weights for the other.
    """

    config: SHaRPoseConfig

    def __init__(self, config: SHaRPoseConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.embed_dim
        self.keypoint_tokens = nn.Parameter(torch.zeros(1, config.num_keypoints, dim))
        if config.has_coarse:
            self.quality_token = nn.Parameter(torch.zeros(1, 1, dim))
            self.coarse_pos_embed = nn.Parameter(torch.zeros(1, config.num_coarse, dim))
        if config.has_fine:
            self.fine_pos_embed = nn.Parameter(torch.zeros(1, config.num_fine, dim))
        self.patch_embed = PatchEmbed(config.patch_size, dim)
        self.blocks = make_blocks(config.depth, dim, config.num_heads, config.mlp_ratio, config.drop_path)
        self.norm = nn.LayerNorm(dim)
        if config.has_coarse and config.has_fine:
            self.reuse_norm = nn.LayerNorm(dim)
            self.reuse_mlp = Mlp(dim, config.mlp_ratio * dim)
        if config.has_coarse:
            self.quality_predictor = QualityPredictor(dim)
        self.head = KeypointTokenHead(dim, config.heatmap_size, config.head)
        self.init_weights()

    def init_weights(self) -> None:
        """Truncated normal weights, tokens and positions; sine-cosine positions where the configuration says so."""
        self.apply(init_linear)
        for table in self.parameters(recurse=False):
            nn.init.trunc_normal_(table, std=0.02)
        if self.config.position_init == "sincos":
            self.init_positions()

    @torch.no_grad()
    def init_positions(self) -> None:
        """The same sine-cosine plane for both grids."""
        config = self.config
        if config.has_coarse:
            self.coarse_pos_embed.copy_(sincos_positions(config.coarse_grid, config.embed_dim))
        if config.has_fine:
            self.fine_pos_embed.copy_(sincos_positions(config.fine_grid, config.embed_dim, 1 / config.refine_ratio))

    def forward(self, images: Float[Tensor, "B 3 H W"], alpha: float | None = None) -> SHaRPoseOutput:
        """`alpha` overrides the configured share of refined patches, so that one elastic model serves many."""
        everyone = torch.ones(len(images), dtype=torch.bool, device=images.device)
        if not self.config.has_coarse:
            fine = self.fine(images, None)
            return collect(None, fine, fine.heatmaps, everyone)
        coarse = self.coarse(images)
        if not self.config.has_fine:
            return collect(coarse, None, coarse.heatmaps, ~everyone)
        threshold = self.config.quality_threshold
        # training always refines (Section 4.1)
        if threshold is None or self.training:
            fine = self.fine(images, coarse, alpha)
            return collect(coarse, fine, fine.heatmaps, everyone)
        needs_refinement = coarse.quality < threshold
        rows = needs_refinement.nonzero().squeeze(1)
        if len(rows) == 0:
            return collect(coarse, None, coarse.heatmaps, needs_refinement)
        fine = self.fine(images[rows], coarse.rows(rows), alpha)
        return collect(coarse, fine, coarse.heatmaps.index_copy(0, rows, fine.heatmaps), needs_refinement)

    def coarse(self, images: Float[Tensor, "B 3 H W"]) -> CoarseStage:
        """The whole picture at low resolution (Section 3.2), its relevance per patch and its predicted quality."""
        config, batch = self.config, len(images)
        small = F.interpolate(images, size=config.coarse_image_size, mode="bilinear", align_corners=False)
        patches = self.patch_embed(small) + self.coarse_pos_embed
        learned = torch.cat([self.quality_token, self.keypoint_tokens], dim=1).expand(batch, -1, -1)
        tokens = torch.cat([learned, patches], dim=1)
        first_patch = 1 + config.num_keypoints
        rows = config.relevance_queries
        running = None
        for index, block in enumerate(self.blocks):
            counts = index >= config.first_relevance_block
            tokens, attention = block(tokens, rows if counts else None)
            if attention is not None:
                # it only ranks patches, so no gradient flows through it
                running = accumulate_attention(running, attention.detach(), config.attention_beta)
        assert running is not None  # a depth of at least 1 always leaves a block that counts
        tokens = self.norm(tokens)
        keypoints = tokens[:, 1:first_patch]
        return CoarseStage(
            heatmaps=self.head(keypoints),
            quality=self.quality_predictor(tokens[:, 0]),
            relevance=patch_relevance(running)[:, first_patch:],
            keypoint_tokens=keypoints,
            patch_inputs=patches,
            patch_outputs=tokens[:, first_patch:],
        )

    def fine(
        self, images: Float[Tensor, "R 3 H W"], coarse: CoarseStage | None, alpha: float | None = None
    ) -> FineStage:
        """The picture at full resolution; after a coarse look, only its relevant patches (Section 3.4)."""
        patches = self.patch_embed(images) + self.fine_pos_embed
        keep: Tensor | None = None
        if coarse is not None:
            patches, keep = self.select(patches, coarse, alpha)
        tokens = torch.cat([self.keypoint_tokens.expand(len(images), -1, -1), patches], dim=1)
        for block in self.blocks:
            tokens, _ = block(tokens)
        keypoints = self.norm(tokens)[:, : self.config.num_keypoints]
        return FineStage(heatmaps=self.head(keypoints), keypoint_tokens=keypoints, keep_indices=keep)

    def select(
        self, fine_patches: Float[Tensor, "R Nf D"], coarse: CoarseStage, alpha: float | None
    ) -> tuple[Float[Tensor, "R mixed D"], Int[Tensor, "R kept"]]:
        """Relevant patches fine and with what the coarse look learnt, every other one still coarse."""
        config = self.config
        keep, rest = select_patches(coarse.relevance, config.num_keep(alpha))
        reuse = self.reuse_mlp(self.reuse_norm(coarse.patch_outputs))
        fine_patches = fine_patches + upsample_tokens(reuse, config.coarse_grid, config.refine_ratio)
        unselected = coarse.patch_inputs if config.unselected_tokens == "input" else coarse.patch_outputs
        chosen = gather_tokens(fine_patches, fine_indices(keep, config.coarse_grid, config.refine_ratio))
        return torch.cat([chosen, gather_tokens(unselected, rest)], dim=1), keep


def collect(
    coarse: CoarseStage | None,
    fine: FineStage | None,
    heatmaps: Float[Tensor, "B K h w"],
    needs_refinement: Bool[Tensor, " B"],
) -> SHaRPoseOutput:
    """Both stages as one result."""
    return SHaRPoseOutput(
        heatmaps=heatmaps,
        coarse_heatmaps=None if coarse is None else coarse.heatmaps,
        fine_heatmaps=None if fine is None else fine.heatmaps,
        quality=None if coarse is None else coarse.quality,
        relevance=None if coarse is None else coarse.relevance,
        keep_indices=None if fine is None else fine.keep_indices,
        needs_refinement=needs_refinement,
    )
