"""Criteria, system by system: the terms of the loss for a batch of crops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sharpose.codecs.choice import HeatmapCodec
from sharpose.models.dynamicvit.model import DynamicViT
from sharpose.models.evit.config import scheduled_keep_rate
from sharpose.models.evit.model import EViT
from sharpose.models.keypoint_vit.config import KeypointViTConfig
from sharpose.models.keypoint_vit.model import KeypointViT
from sharpose.models.layers.tokens import mixed_shares, select_patches
from sharpose.models.output import PoseModel
from sharpose.models.registry import system_of
from sharpose.models.sharpose.model import SHaRPose
from sharpose.models.sharpose.output import SHaRPoseOutput
from sharpose.models.system import load
from sharpose.pose.normalise import normalise
from sharpose.pose.oks import instance_oks
from sharpose.runtime.errors import InputError
from sharpose.training.losses import (
    attention_cross_entropy,
    encode_targets,
    heatmap_loss,
    joint_mse,
    keep_ratio_loss,
    token_distillation,
)
from sharpose.training.recipe import Recipe
from sharpose.training.release_quality import release_instance_oks
from sharpose.training.step_plan import StepPlan
from sharpose.weights.files import load_weights


class SHaRPoseCriterion(nn.Module):
    """Losses of Section 3.5 for a batch of crops; `forward` is what data-parallel training wraps."""

    def __init__(self, model: SHaRPose, codec: HeatmapCodec, sigmas: Sequence[float], recipe: Recipe) -> None:
        super().__init__()
        self.model = model
        self.codec = codec
        self.sigmas = tuple(sigmas)
        self.attention = recipe.attention
        model.guided = recipe.attention > 0

    def forward(self, batch: Mapping[str, Tensor], plan: StepPlan) -> dict[str, Tensor]:
        """Return each loss by name; their sum is what is minimised. Images are uint8 crops."""
        images = normalise(batch["image"])
        targets, weights = encode_targets(self.codec, batch)
        if plan.coarse_only and self.model.config.has_coarse:
            stage = self.model.coarse(images)
            loss = heatmap_loss(self.model.head(stage.keypoint_tokens), targets, weights, plan)
            return {"coarse": loss, **self.coarse_guidance(stage.looks, targets, weights)}
        output = self.model(images, plan.alpha)
        stages = {"coarse": output.coarse_heatmaps, "fine": output.fine_heatmaps}
        losses = {
            name: heatmap_loss(heatmaps, targets, weights, plan)
            for name, heatmaps in stages.items()
            if heatmaps is not None
        }
        if plan.quality_weight > 0 and output.quality is not None:
            truth, labelled = self.true_quality(output.coarse_heatmaps.detach(), targets, weights, batch)
            error = (output.quality[labelled] - truth[labelled]) ** 2
            losses["quality"] = plan.quality_weight * (error.mean() if labelled.any() else error.sum())
        losses |= self.coarse_guidance(output.looks, targets, weights)
        return losses | self.fine_guidance(output, targets, weights)

    def coarse_guidance(self, looks: Tensor | None, targets: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """Return the loss that guides the coarse stage's attention, by its name; none where it is not guided.

        `looks` are (B, blocks, K, Nc), targets (B, K, h, w), weights (B, K); the loss is a scalar.
        """
        if looks is None:
            return {}
        wanted = F.adaptive_avg_pool2d(targets, self.model.config.coarse_grid)
        return {"coarse_attention": self.attention * attention_cross_entropy(looks, wanted, weights)}

    def fine_guidance(self, output: SHaRPoseOutput, targets: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """Return the loss that guides the fine stage's attention, by its name; none where it is not guided.

        Targets are (B, K, h, w), weights (B, K); the loss is a scalar.
        """
        if output.fine_looks is None:
            return {}
        config = self.model.config
        if output.relevance is None or output.keep_indices is None:
            wanted = F.adaptive_avg_pool2d(targets, config.fine_grid)
        else:
            chosen = select_patches(output.relevance, output.keep_indices.shape[1])
            wanted = mixed_shares(targets, *chosen, config.coarse_grid, config.refine_ratio)
        return {"fine_attention": self.attention * attention_cross_entropy(output.fine_looks, wanted, weights)}

    @torch.no_grad()
    def true_quality(
        self, heatmaps: Tensor, targets: Tensor, weights: Tensor, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the OKS of a decoded prediction (eq. 11), and which instances have a labelled keypoint.

        Maps are (B, K, h, w), `weights` (B, K); both results are (B,).
        """
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


class DVTCriterion(SHaRPoseCriterion):
    """SHaRPose's losses without a recipe's α, as DVT refines the whole picture."""

    def forward(self, batch: Mapping[str, Tensor], plan: StepPlan) -> dict[str, Tensor]:
        """Return each loss by name; their sum is what is minimised. Images are uint8 crops."""
        return super().forward(batch, replace(plan, alpha=None))


class HeatmapCriterion(nn.Module):
    """The loss of every system that gives one set of heatmaps; subclasses add terms of their own."""

    def __init__(self, model: PoseModel, codec: HeatmapCodec, sigmas: Sequence[float], recipe: Recipe) -> None:
        super().__init__()
        self.model = model
        self.codec = codec

    def forward(self, batch: Mapping[str, Tensor], plan: StepPlan) -> dict[str, Tensor]:
        """Return each loss by name; their sum is what is minimised. Images are uint8 crops."""
        images = normalise(batch["image"])
        targets, weights = encode_targets(self.codec, batch)
        output = self.predict(images, plan)
        loss = heatmap_loss(output.heatmaps, targets, weights, plan)
        return {"heatmaps": loss, **self.extra_losses(images, output)}

    def predict(self, images: Tensor, plan: StepPlan) -> Any:
        """Return the model's output for normalised images (B, 3, H, W); a system with a schedule follows `plan`."""
        return self.model(images)

    def extra_losses(self, images: Tensor, output: Any) -> dict[str, Tensor]:
        """Return what the system learns beside its heatmaps. `images` are normalised, (B, 3, H, W)."""
        return {}


def coordinate_targets(codec: HeatmapCodec, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the annotated points as fractions of the crop, (B, K, 2), and their weights (B, K), 0 outside of it."""
    height, width = codec.image_size
    wanted = batch["keypoints"] / batch["keypoints"].new_tensor([width - 1, height - 1])
    inside = ((wanted >= 0) & (wanted <= 1)).all(dim=-1)
    return wanted, batch["visible"] * batch.get("label_weight", 1.0) * inside


class RegressionCriterion(HeatmapCriterion):
    """L1 distance of the coordinates, in fractions of the crop; keypoints outside of it do not count."""

    def forward(self, batch: Mapping[str, Tensor], plan: StepPlan) -> dict[str, Tensor]:
        """Return each loss by name; their sum is what is minimised. Images are uint8 crops."""
        wanted, weights = coordinate_targets(self.codec, batch)
        output = self.predict(normalise(batch["image"]), plan)
        error = (output.coordinates - wanted).abs().sum(dim=-1)
        return {"coordinates": (error * weights).mean()}


class EViTCriterion(HeatmapCriterion):
    """The heatmap loss, at the recipe's scheduled keep rate, which is higher at first."""

    model: EViT

    def __init__(self, model: EViT, codec: HeatmapCodec, sigmas: Sequence[float], recipe: Recipe) -> None:
        super().__init__(model, codec, sigmas, recipe)
        self.schedule = recipe.keep_rate_schedule

    def predict(self, images: Tensor, plan: StepPlan) -> Any:
        """Return the output for normalised images (B, 3, H, W), at the keep rate of the schedule at this epoch."""
        if self.schedule is None or plan.epoch >= sum(self.schedule):
            return self.model(images)
        return self.model(images, scheduled_keep_rate(self.model.config.keep_rate, plan.epoch, *self.schedule))


# DynamicViT's weights stand beside a cross-entropy of order 1; a heatmap loss is of order 1e-3
HEATMAP_SCALE = 1e-3
RATIO_WEIGHT = 2.0 * HEATMAP_SCALE
TOKEN_WEIGHT = 0.5 * HEATMAP_SCALE
DISTILLATION_WEIGHT = 0.5


class DynamicViTCriterion(HeatmapCriterion):
    """Adds the keep-ratio loss and, with a `teacher` (the unpruned model), distillation of its heatmaps and tokens."""

    model: DynamicViT

    def __init__(self, model: DynamicViT, codec: HeatmapCodec, sigmas: Sequence[float], recipe: Recipe) -> None:
        super().__init__(model, codec, sigmas, recipe)
        self.teacher = load_teacher(model, recipe.teacher) if recipe.teacher else None

    def extra_losses(self, images: Tensor, output: Any) -> dict[str, Tensor]:
        """Return the keep-ratio loss and, with a teacher, the distillation losses of its heatmaps and patch tokens.

        `images` are normalised, (B, 3, H, W).
        """
        config = self.model.config
        losses = {"ratio": RATIO_WEIGHT * keep_ratio_loss(output.masks, config.ratios)}
        if self.teacher is None:
            return losses
        first = config.num_keypoints
        with torch.no_grad():
            tokens = self.teacher.encode(images)
            heatmaps = self.teacher.heatmaps(tokens)
        every = torch.ones_like(heatmaps[:, :, 0, 0])
        patches = token_distillation(output.tokens[:, first:], tokens[:, first:], output.masks[-1])
        losses["distilled_heatmaps"] = DISTILLATION_WEIGHT * joint_mse(output.heatmaps, heatmaps, every)
        losses["distilled_tokens"] = TOKEN_WEIGHT * patches
        return losses


def criterion_for(model: PoseModel, codec: HeatmapCodec, sigmas: Sequence[float], recipe: Recipe) -> nn.Module:
    """Return the criterion that trains `model`.

    Raises InputError where the recipe's teacher cannot be loaded, where nothing learns from it, or where it guides an
    attention that is not there.
    """
    kind = load(system_of(model.config).criterion)
    if recipe.teacher is not None and not issubclass(kind, DynamicViTCriterion):
        raise InputError("teacher: only DynamicViT learns from one; leave it out")
    # with either option the fine stage would not be guided
    unguided = ("fine_merge", "alpha_mass")
    if recipe.attention and not issubclass(kind, SHaRPoseCriterion):
        raise InputError("attention: only SHaRPose and DVT can be guided; leave it at 0")
    if recipe.attention and any(getattr(model.config, option) for option in unguided):
        raise InputError(f"attention: it does not go with {' or '.join(unguided)}; leave it at 0")
    return kind(model, codec, sigmas, recipe)


def load_teacher(model: KeypointViT, weights: Path) -> KeypointViT:
    """Load the unpruned model of the same sizes, frozen, with its trained weights."""
    sizes = {field.name: getattr(model.config, field.name) for field in fields(KeypointViTConfig)}
    teacher = KeypointViT(KeypointViTConfig(**sizes))
    load_weights(teacher, weights)
    return teacher.requires_grad_(False).eval()
