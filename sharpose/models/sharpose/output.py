"""The outputs of SHaRPose's stages, and of the whole model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sharpose.models.layers.heads import KeypointTokenHead
from sharpose.models.output import PoseOutput


@dataclass(frozen=True)
class Stage:
    """Tensors with one row per instance."""

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors that are not None, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class CoarseStage(Stage):
    """The output of the coarse stage.

    `patch_inputs` are patch tokens before the blocks. `patch_states` are those before the last block, whose `keys`
    and `values` let `SHaRPose.patch_outputs` run it for some patches alone; without keys and values they are those
    after it and the final norm.
    """

    keypoint_tokens: Float[Tensor, "B K D"]
    quality: Float[Tensor, " B"]
    relevance: Float[Tensor, "B Nc"]
    patch_inputs: Float[Tensor, "B Nc D"]
    patch_states: Float[Tensor, "B Nc D"]
    keys: Float[Tensor, "B heads N d"] | None = None
    values: Float[Tensor, "B heads N d"] | None = None
    relations: Float[Tensor, "B maps n n"] | None = None
    """What DVT's fine stage reuses: the attention logits of every block and head."""
    looks: Float[Tensor, "B blocks K Nc"] | None = None
    """Where keypoint tokens look in the last blocks (`layers.tokens.keypoint_looks`), where a loss guides them."""

    def rows(self, indices: Int[Tensor, " R"]) -> CoarseStage:
        """Return the coarse stage of the instances at `indices` of the batch."""
        return CoarseStage(**{name: value[indices] for name, value in self.tensors().items()})


@dataclass(frozen=True)
class FineStage(Stage):
    """The output of the fine stage, for the R refined instances; without a coarse stage nothing is selected.

    Where instances keep different numbers of patches, rows of `keep_indices` end in -1.
    """

    heatmaps: Float[Tensor, "R K h w"]
    keypoint_tokens: Float[Tensor, "R K D"]
    keep_indices: Int[Tensor, "R kept"] | None
    looks: Float[Tensor, "R blocks K n"] | None = None
    """As the coarse stage's, over its own n patch tokens; None where they merge or differ in number."""


@dataclass(frozen=True)
class SHaRPoseOutput(PoseOutput):
    """`heatmaps` are the fine ones where an instance was refined, else the coarse ones.

    `fine_heatmaps` and `keep_indices` have one row per refined instance, in batch order; None when there is none. With
    `alpha_mass` rows of `keep_indices` end in -1 where others keep more patches.
    What the coarse stage gives is None for a model without it; so are `looks` unless they are guided. `coarse_heatmaps`
    of all instances are decoded by `head` when they are asked for, since those of refined instances are seldom wanted.
    """

    fine_heatmaps: Float[Tensor, "R K h w"] | None
    coarse_tokens: Float[Tensor, "B K D"] | None
    quality: Float[Tensor, " B"] | None
    relevance: Float[Tensor, "B Nc"] | None
    keep_indices: Int[Tensor, "R kept"] | None
    needs_refinement: Bool[Tensor, " B"]
    head: KeypointTokenHead = field(repr=False)
    looks: Float[Tensor, "B blocks K Nc"] | None = None
    fine_looks: Float[Tensor, "R blocks K n"] | None = None

    @property
    def num_kept(self) -> Int[Tensor, " B"] | None:
        """Return how many patches of each instance were refined, 0 after an early exit; None without a coarse stage."""
        if self.coarse_tokens is None:
            return None
        counts = self.needs_refinement.long()
        if self.keep_indices is not None:
            counts[self.needs_refinement] = (self.keep_indices >= 0).sum(dim=1)
        return counts

    @cached_property
    def coarse_heatmaps(self) -> Float[Tensor, "B K h w"] | None:
        """Return the coarse stage's heatmaps of all instances, decoded when first wanted; None without the stage."""
        if self.coarse_tokens is None:
            return None
        # tokens made in inference mode can be used in no other
        with torch.inference_mode() if self.coarse_tokens.is_inference() else nullcontext():
            return self.head(self.coarse_tokens)


def in_order(parts: Sequence[FineStage], rows: Int[Tensor, " R"]) -> FineStage:
    """Join parts of a batch; `rows` are their instances' positions in it, one part after the other."""
    place = rows.argsort()
    kept = [part.keep_indices for part in parts if part.keep_indices is not None]
    widest = max(indices.shape[1] for indices in kept)
    return FineStage(
        heatmaps=torch.cat([part.heatmaps for part in parts])[place],
        keypoint_tokens=torch.cat([part.keypoint_tokens for part in parts])[place],
        keep_indices=torch.cat([F.pad(own, (0, widest - own.shape[1]), value=-1) for own in kept])[place],
    )
