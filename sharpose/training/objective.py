"""What a training step computes: the heatmaps of both stages against their targets, and the quality against the OKS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sharpose.codecs.udp import UdpCodec
from sharpose.data.normalise import normalise
from sharpose.metrics.oks import instance_oks, release_instance_oks
from sharpose.models.sharpose import SHaRPose
from sharpose.training.losses import joint_mse


@dataclass(frozen=True)
class StepPlan:
    """What differs between steps: alpha (None: the model's own), whether only the coarse stage learns, and lambda."""

    alpha: float | None
    coarse_only: bool
    quality_weight: float


class SHaRPoseObjective(nn.Module):
    """Losses of Section 3.5 for a batch of crops; `forward` is what data-parallel training wraps."""

    def __init__(self, model: SHaRPose, codec: UdpCodec, sigmas: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        self.codec = codec
        self.sigmas = tuple(sigmas)

    def forward(self, batch: Mapping[str, Tensor], plan: StepPlan) -> dict[str, Tensor]:
        """Each loss by name; their sum is what is minimised. Images are uint8 crops."""
        images = normalise(batch["image"])
        targets, weights = self.codec.encode(batch["keypoints"], batch["visible"])
        if plan.coarse_only and self.model.config.has_coarse:
            return {"coarse": joint_mse(self.model.coarse(images).heatmaps, targets, weights)}
        output = self.model(images, plan.alpha)
        stages = {"coarse": output.coarse_heatmaps, "fine": output.fine_heatmaps}
        losses = {
            name: joint_mse(heatmaps, targets, weights) for name, heatmaps in stages.items() if heatmaps is not None
        }
        if plan.quality_weight > 0 and output.quality is not None:
            truth, labelled = self.true_quality(output.coarse_heatmaps.detach(), targets, weights, batch)
            error = (output.quality[labelled] - truth[labelled]) ** 2
            losses["quality"] = plan.quality_weight * (error.mean() if labelled.any() else error.sum())
        return losses

    @torch.no_grad()
    def true_quality(
        self, heatmaps: Tensor, targets: Tensor, weights: Tensor, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The OKS of the decoded coarse prediction (eq. 11), and which instances have a labelled keypoint."""
        if self.model.config.oks_target == "release":
            return release_instance_oks(heatmaps, targets, weights, batch["scale"], self.sigmas)
        predicted, _ = self.codec.decode(heatmaps)
        height, width = self.codec.image_size
        rows, columns = self.codec.heatmap_size
        stride = predicted.new_tensor([(width - 1) / (columns - 1), (height - 1) / (rows - 1)])
        # the area is in pixels of the photograph, so distances are too
        zoom = (batch["scale"] / predicted.new_tensor([width - 1, height - 1]))[:, None]
        oks = instance_oks(predicted * stride * zoom, batch["keypoints"] * zoom, weights, batch["area"], self.sigmas)
        return oks, (weights > 0).any(dim=1)
