"""SHaRPose: a coarse stage, its predicted quality, and a fine stage over the patches keypoints attend to (Figure 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sharpose.models.layers.heads import KeypointTokenHead
from sharpose.models.layers.token_merging import merging_blocks
from sharpose.models.layers.tokens import (
    accumulate_attention,
    fine_indices,
    gather_tokens,
    keypoint_looks,
    mass_counts,
    patch_relevance,
    round_up_to,
    select_patches,
    upsample_tokens,
)
from sharpose.models.layers.vit import Mlp, PatchEmbed, init_linear, make_blocks, sincos_positions
from sharpose.models.output import PoseModel
from sharpose.models.sharpose.config import SHaRPoseConfig
from sharpose.models.sharpose.output import CoarseStage, FineStage, SHaRPoseOutput, in_order
from sharpose.models.sharpose.predictors import QualityPredictor
from sharpose.runtime.errors import InputError


class SHaRPose(PoseModel):
    """Sparse high-resolution pose transformer: normalised images (B, 3, H, W) to `SHaRPoseOutput`.

    The stages share every weight but their position tables; `coarse` and `fine` can be called apart. A model of one
    stage has no weights for the other. Only what a result depends on is computed, unless `dense_compute`.
    """

    config: SHaRPoseConfig
    dense_compute: bool = False
    """Whether to compute as published: every patch is embedded, and every token goes through every block."""
    guided: bool = False
    """Whether stages also give what their keypoint tokens look at, for a loss that guides them."""
    ranking: Callable[[Tensor], Tensor] | None = None
    """Relevance (B, Nc) in place of attention's, where `selection` asks for a control."""

    def __init__(self, config: SHaRPoseConfig) -> None:
        super().__init__(config)
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
            self.make_reuse()
        if config.has_coarse:
            self.quality_predictor = QualityPredictor(dim)
        self.head = KeypointTokenHead(dim, config.heatmap_size, config.head)
        self.init_weights()

    def make_reuse(self) -> None:
        """Make the norm and MLP by which the fine stage reuses the coarse stage's features."""
        dim = self.config.embed_dim
        self.reuse_norm = nn.LayerNorm(dim)
        self.reuse_mlp = Mlp(dim, self.config.mlp_ratio * dim)

    @property
    def stages(self) -> tuple[str, ...]:
        """Return the names of the stages, in their order."""
        return tuple(self.config.stages.split("-"))

    @property
    def whole_last_block(self) -> bool:
        """Return whether the coarse stage's last block takes all tokens: dense, or for one draw of stochastic depth."""
        return self.dense_compute or (self.training and self.config.drop_path > 0)

    def stage_fields(self) -> list[str]:
        """Return the fields that `coarse` fills, in their order."""
        always = ["keypoint_tokens", "quality", "relevance", "patch_inputs", "patch_states"]
        return always if self.whole_last_block else [*always, "keys", "values"]

    def as_stage(self, tensors: Sequence[Tensor]) -> CoarseStage:
        """Return a coarse stage from its tensors as `CoarseStage.tensors` lists them."""
        return CoarseStage(**dict(zip(self.stage_fields(), tensors, strict=True)))

    @torch.no_grad()
    def init_weights(self) -> None:
        """Draw truncated normal weights, tokens and positions; sine-cosine positions where so configured."""
        config = self.config
        self.apply(init_linear)
        for table in self.parameters(recurse=False):
            nn.init.trunc_normal_(table, std=0.02)
        # the same plane for both grids
        if config.position_init == "sincos" and config.has_coarse:
            self.coarse_pos_embed.copy_(sincos_positions(config.coarse_grid, config.embed_dim))
        if config.position_init == "sincos" and config.has_fine:
            self.fine_pos_embed.copy_(sincos_positions(config.fine_grid, config.embed_dim, 1 / config.refine_ratio))

    def forward(self, images: Float[Tensor, "B 3 H W"], alpha: float | None = None) -> SHaRPoseOutput:
        """Return the output for normalised images; `alpha` overrides the configured fraction of refined patches."""
        everyone = torch.ones(len(images), dtype=torch.bool, device=images.device)
        coarse = self.coarse(images) if self.config.has_coarse else None
        if coarse is not None and not self.config.has_fine:
            return self.collect(coarse, None, ~everyone)
        threshold = self.config.quality_threshold
        # training always refines (Section 4.1)
        if coarse is None or threshold is None or self.training:
            return self.collect(coarse, self.fine(images, coarse, alpha), everyone)
        needs_refinement = coarse.quality < threshold
        rows = needs_refinement.nonzero().squeeze(1)
        fine = self.fine(images[rows], coarse.rows(rows), alpha) if len(rows) else None
        return self.collect(coarse, fine, needs_refinement)

    def coarse(self, images: Float[Tensor, "B 3 H W"]) -> CoarseStage:
        """Run the coarse stage on normalised images: tokens, relevance per patch, predicted quality (Section 3.2)."""
        config = self.config
        patches, tokens = self.begin(images)
        first_patch = 1 + config.num_keypoints
        rows = self.watched_rows
        *earlier, last = self.blocks
        found = []
        for index, block in enumerate(earlier):
            tokens, attention = block(tokens, rows if index >= config.first_relevance_block else None)
            found.append(attention)
        if self.whole_last_block:
            memory: tuple[Tensor, ...] = ()
            tokens, attention = last(tokens, rows)
            learned, states = self.norm(tokens).tensor_split([first_patch], dim=1)
        else:
            memory = last.memory(tokens)
            learned, states = tokens.tensor_split([first_patch], dim=1)
            learned, attention = last.read(learned, memory, rows)
            learned = self.norm(learned)
        relevance, looks = self.read_attention([one for one in (*found, attention) if one is not None])
        quality = self.quality_predictor(learned[:, 0])
        stage = CoarseStage(learned[:, 1:], quality, relevance, patches, states, *memory)
        return stage if looks is None else replace(stage, looks=looks)

    def begin(self, images: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B Nc D"], Float[Tensor, "B N D"]]:
        """Return the coarse patches, and the sequence `[quality, keypoints, patches]` that enters the blocks."""
        small = F.interpolate(images, size=self.config.coarse_image_size, mode="bilinear", align_corners=False)
        patches = self.patch_embed(small) + self.coarse_pos_embed
        learned = torch.cat([self.quality_token, self.keypoint_tokens], dim=1).expand(len(images), -1, -1)
        return patches, torch.cat([learned, patches], dim=1)

    @property
    def watched_rows(self) -> slice:
        """Return the coarse tokens whose attention is read: all before the patches where a loss guides it."""
        return slice(1 + self.config.num_keypoints) if self.guided else self.config.relevance_queries

    def read_attention(
        self, found: Sequence[Float[Tensor, "B heads rows N"]]
    ) -> tuple[Float[Tensor, "B Nc"], Float[Tensor, "B blocks K Nc"] | None]:
        """Return each patch's relevance by the attention of `watched_rows`, block by block, and what a loss guides."""
        config, running = self.config, None
        for attention in found:
            # it only ranks patches, so no gradient flows through it
            ranking = attention[:, :, config.relevance_queries] if self.guided else attention
            running = accumulate_attention(running, ranking.detach(), config.attention_beta)
        assert running is not None  # the last block always counts
        if not self.guided:
            return self.relevance(running), None
        by_keypoints = [attention[:, :, 1:] for attention in found[-config.guided_blocks :]]
        return self.relevance(running), keypoint_looks(by_keypoints, config.num_coarse)

    def relevance(self, attention: Float[Tensor, "B heads rows N"]) -> Float[Tensor, "B Nc"]:
        """Return how relevant each patch is: by attention, or by the control that stands in for it.

        Raises InputError where a control has not been given.
        """
        found = patch_relevance(attention)[:, -self.config.num_coarse :]
        if self.config.selection == "attention":
            return found
        if self.ranking is None:
            raise InputError(
                f"selection = {self.config.selection!r} is a control of evaluation: give the model its `ranking` with "
                "sharpose.evaluation.selection.set_ranking first"
            )
        return self.ranking(found)

    def patch_outputs(self, coarse: CoarseStage, indices: Int[Tensor, "B n"]) -> Float[Tensor, "B n D"]:
        """Return the patch tokens at `indices` after the coarse stage."""
        states = gather_tokens(coarse.patch_states, indices)
        if coarse.keys is None or coarse.values is None:
            return states
        *_, last = self.blocks
        return self.norm(last.read(states, (coarse.keys, coarse.values))[0])

    def fine(
        self, images: Float[Tensor, "R 3 H W"], coarse: CoarseStage | None, alpha: float | None = None
    ) -> FineStage:
        """Run the fine stage on normalised images; after a coarse stage, on relevant patches alone (Section 3.4).

        With `alpha_mass` instances keep different numbers of patches, and only those with equal numbers share a batch,
        so that no result depends on the rest of the batch.
        """
        share = self.config.alpha_mass
        if coarse is None or alpha is not None or share is None or len(images) == 0:
            return self.refine(images, coarse, self.config.num_keep(alpha))
        counts = round_up_to(mass_counts(coarse.relevance, share), self.config.keep_sizes)
        rows = [(counts == size).nonzero().squeeze(1) for size in counts.unique()]
        parts = [self.refine(images[own], coarse.rows(own), int(counts[own[0]])) for own in rows]
        return in_order(parts, torch.cat(rows))

    def refine(self, images: Float[Tensor, "R 3 H W"], coarse: CoarseStage | None, num_keep: int) -> FineStage:
        """Run the fine stage on instances that keep `num_keep` patches each; without a coarse stage, on every patch."""
        keep: Tensor | None = None
        if coarse is None:
            patches = self.patch_embed(images) + self.fine_pos_embed
        else:
            patches, keep = self.select(images, coarse, num_keep)
        tokens = torch.cat([self.keypoint_tokens.expand(len(images), -1, -1), patches], dim=1)
        first_patch, looks = self.config.num_keypoints, None
        if self.config.fine_merge:
            schedule = self.config.merge_schedule
            tokens, _, _ = merging_blocks(self.blocks, tokens, schedule, first_patch, last_dense=self.dense_compute)
        elif self.guided:
            tokens, found = self.blocks.watched(tokens, first_patch, self.config.guided_blocks)
            looks = keypoint_looks(found, patches.shape[1])
        else:
            tokens = self.blocks(tokens, None if self.dense_compute else first_patch)
        keypoints = self.norm(tokens)[:, :first_patch]
        return FineStage(heatmaps=self.head(keypoints), keypoint_tokens=keypoints, keep_indices=keep, looks=looks)

    def select(
        self, images: Float[Tensor, "R 3 H W"], coarse: CoarseStage, num_keep: int
    ) -> tuple[Float[Tensor, "R mixed D"], Int[Tensor, "R kept"]]:
        """Return relevant patches, fine with reused coarse features, then the others, coarse; and kept indices."""
        config = self.config
        keep, rest = select_patches(coarse.relevance, num_keep)
        where = fine_indices(keep, config.coarse_grid, config.refine_ratio)
        if self.dense_compute:
            reused = self.reuse(coarse.patch_states)
            reused = upsample_tokens(reused, config.coarse_grid, config.refine_ratio)
            chosen = gather_tokens(self.patch_embed(images) + self.fine_pos_embed + reused, where)
        else:
            # fine patches come in groups, each in the order of `keep`
            reused = self.reuse(self.patch_outputs(coarse, keep)).repeat(1, config.refine_ratio**2, 1)
            # gathered, as gradients of indexing are added up in no fixed order
            positions = gather_tokens(self.fine_pos_embed.expand(len(images), -1, -1), where)
            chosen = self.patch_embed.some(images, where) + positions + reused
        if config.unselected_tokens == "input":
            return torch.cat([chosen, gather_tokens(coarse.patch_inputs, rest)], dim=1), keep
        return torch.cat([chosen, self.patch_outputs(coarse, rest)], dim=1), keep

    def reuse(self, outputs: Float[Tensor, "B n D"]) -> Float[Tensor, "B n D"]:
        """Return the coarse stage's patch features as they are added to fine patches."""
        return self.reuse_mlp(self.reuse_norm(outputs))

    def collect(
        self, coarse: CoarseStage | None, fine: FineStage | None, needs_refinement: Bool[Tensor, " B"]
    ) -> SHaRPoseOutput:
        """Join both stages into one output."""
        return SHaRPoseOutput(
            heatmaps=self.best_heatmaps(coarse, fine, needs_refinement),
            fine_heatmaps=None if fine is None else fine.heatmaps,
            coarse_tokens=None if coarse is None else coarse.keypoint_tokens,
            quality=None if coarse is None else coarse.quality,
            relevance=None if coarse is None else coarse.relevance,
            looks=None if coarse is None else coarse.looks,
            fine_looks=None if fine is None else fine.looks,
            keep_indices=None if fine is None else fine.keep_indices,
            needs_refinement=needs_refinement,
            head=self.head,
        )

    def best_heatmaps(
        self, coarse: CoarseStage | None, fine: FineStage | None, needs_refinement: Bool[Tensor, " B"]
    ) -> Float[Tensor, "B K h w"]:
        """Return the fine heatmaps of refined instances, and the coarse ones of all others."""
        if fine is not None and (coarse is None or len(fine.heatmaps) == len(needs_refinement)):
            return fine.heatmaps
        assert coarse is not None
        if fine is None:
            return self.head(coarse.keypoint_tokens)
        rows, done = (which.nonzero().squeeze(1) for which in (needs_refinement, ~needs_refinement))
        good_enough = self.head(coarse.keypoint_tokens[done])
        return torch.cat([fine.heatmaps, good_enough])[torch.cat([rows, done]).argsort()]

    def decode_block(self, tokens: Float[Tensor, "B N D"], stage: str) -> Float[Tensor, "B K h w"]:
        """Return heatmaps from the tokens behind any block of a stage; the coarse one begins with the quality token.

        Raises InputError where the tokens change on their way, or each image has its own number.
        """
        config = self.config
        if config.fine_merge or config.alpha_mass is not None:
            raise InputError("intermediate heatmaps: need the same tokens in every block, so no fine_merge, alpha_mass")
        first = 1 if stage == "coarse" else 0
        return self.head(self.norm(tokens)[:, first : first + config.num_keypoints])
