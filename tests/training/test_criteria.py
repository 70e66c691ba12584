"""What the systems beside SHaRPose learn from a batch."""

from __future__ import annotations

import pytest
import torch

from sharpose.codecs.udp import UdpCodec
from sharpose.models import create_model
from sharpose.pose.normalise import normalise
from sharpose.pose.skeleton import COCO
from sharpose.training.criterion import criterion_for
from sharpose.training.losses import keep_ratio_loss, token_distillation
from sharpose.training.recipe import Recipe
from sharpose.training.step_plan import StepPlan
from sharpose.weights.files import save_weights

TINY = {"embed_dim": 24, "num_heads": 2, "depth": 6}


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.randint(0, 256, (2, 3, 128, 96), generator=generator, dtype=torch.uint8),
        "keypoints": 90 * torch.rand(2, 17, 2, generator=generator),
        "visible": torch.ones(2, 17),
    }


def losses(name: str, epoch: float = 0.0, **recipe) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = create_model(name, **TINY).train()
    criterion = criterion_for(model, UdpCodec((128, 96), (32, 24)), COCO.sigmas, Recipe(**recipe))
    made = criterion(batch(), StepPlan(alpha=None, coarse_only=False, quality_weight=0.0, epoch=epoch))
    sum(made.values()).backward()
    assert all(p.grad is not None for p in model.parameters())
    return {name: float(value.detach()) for name, value in made.items()}


@pytest.mark.parametrize("name", ["vitpose-nano-128x96", "keypoint-vit-nano-128x96", "tome-nano-128x96"])
def test_heatmaps_alone(name):
    assert losses(name).keys() == {"heatmaps"}


def test_coordinates_are_learnt_inside_the_crop_alone():
    assert losses("regression-vit-nano-128x96").keys() == {"coordinates"}
    model = create_model("regression-vit-nano-128x96", **TINY).eval()
    criterion = criterion_for(model, UdpCodec((128, 96), (32, 24)), COCO.sigmas, Recipe())
    step, plan = batch(), StepPlan(alpha=None, coarse_only=False, quality_weight=0.0)
    with torch.no_grad():
        found = model(normalise(step["image"])).coordinates
        step["keypoints"] = found * found.new_tensor([95.0, 127.0])
        assert float(criterion(step, plan)["coordinates"]) == pytest.approx(0, abs=1e-6)
        # half the height away, in one of 2 x 17 keypoints
        step["keypoints"][0, 0, 1] += torch.where(found[0, 0, 1] < 0.5, 63.5, -63.5)
        assert float(criterion(step, plan)["coordinates"]) == pytest.approx(0.5 / 34, rel=1e-4)
        step["keypoints"][0, 0, 0] = -1.0
        assert float(criterion(step, plan)["coordinates"]) == pytest.approx(0, abs=1e-6)


def test_dynamicvit_learns_its_ratio_and_from_a_teacher(tmp_path):
    assert losses("dynamicvit-nano-128x96").keys() == {"heatmaps", "ratio"}
    teacher = create_model("keypoint-vit-nano-128x96", **TINY)
    save_weights(teacher, tmp_path / "teacher.safetensors", {})
    taught = losses("dynamicvit-nano-128x96", teacher=tmp_path / "teacher.safetensors")
    assert taught.keys() == {"heatmaps", "ratio", "distilled_heatmaps", "distilled_tokens"}
    with pytest.raises(ValueError, match="absent"):
        losses("dynamicvit-nano-128x96", teacher=tmp_path / "absent.safetensors")


def test_evit_follows_its_schedule():
    plain = losses("evit-nano-128x96")["heatmaps"]
    scheduled = [losses("evit-nano-128x96", epoch, keep_rate_schedule=(1, 2))["heatmaps"] for epoch in (0, 2, 3)]
    assert scheduled[2] == plain and scheduled[0] != plain and scheduled[1] not in (scheduled[0], plain)


def test_keep_ratio_loss_and_token_distillation_by_hand():
    masks = [torch.tensor([[1.0, 1, 0, 0], [1, 1, 1, 1]]), torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0]])]
    expected = ((0 + 0.25) / 2 + (0 + 0.0625) / 2) / 2
    assert float(keep_ratio_loss(masks, (0.5, 0.25))) == pytest.approx(expected)
    student, teacher = torch.zeros(1, 2, 3), torch.tensor([[[1.0, 1, 1], [9, 9, 9]]])
    assert float(token_distillation(student, teacher, torch.tensor([[1.0, 0.0]]))) == pytest.approx(1.0)
    assert float(token_distillation(student, teacher, torch.zeros(1, 2))) == 0.0
