"""What OKDHP's branches learn from each other."""

from __future__ import annotations

import pytest
import torch

from sharpose.codecs.choice import codec_of
from sharpose.models import create_model
from sharpose.training.criterion import criterion_for
from sharpose.training.losses import joint_mse
from sharpose.training.recipe import Recipe
from sharpose.training.stacked import OkdhpCriterion, map_divergence, ramp_up
from sharpose.training.step_plan import StepPlan


def step(branches: int, epoch: float) -> tuple[OkdhpCriterion, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    model = create_model("okdhp-hourglass-nano-128x96", stacks=3, features=16, depth=2, branches=branches)
    codec = codec_of(model.config)
    criterion = criterion_for(model, codec, [0.1] * 17, Recipe(epochs=10))
    assert isinstance(criterion, OkdhpCriterion)
    batch = {
        "image": torch.randint(0, 256, (2, 3, 128, 96), dtype=torch.uint8),
        "keypoints": torch.rand(2, 17, 2) * 90,
        "visible": torch.ones(2, 17),
    }
    return criterion, batch, criterion(batch, StepPlan(None, False, 0.0, epoch))


def test_every_stack_is_supervised() -> None:
    criterion, batch, losses = step(branches=1, epoch=0.0)
    assert losses.keys() == {"stacks"}
    sum(losses.values()).backward()  # type: ignore[union-attr]
    assert all(parameter.grad is not None for parameter in criterion.parameters())
    # maps near zero: every stack has about the error of empty maps
    targets, weights = criterion.codec.encode(batch["keypoints"], batch["visible"])
    empty = joint_mse(torch.zeros_like(targets), targets, weights).item()
    assert losses["stacks"].item() == pytest.approx(3 * empty, rel=0.05)


def test_branches_learn_from_their_ensemble_more_and_more() -> None:
    early, late = (step(branches=2, epoch=epoch)[2] for epoch in (0.0, 10.0))
    assert early.keys() == {"stacks", "ensemble", "distillation"}
    assert late["distillation"].item() == pytest.approx(early["distillation"].item() / ramp_up(0.0), rel=1e-4)
    assert ramp_up(0.0) == pytest.approx(6.738e-3, rel=1e-3) and ramp_up(1.0) == ramp_up(2.0) == 1.0


def test_divergence_of_maps() -> None:
    teacher = torch.tensor([0.0, 0.0]).view(1, 1, 1, 2)
    assert map_divergence(teacher, teacher).item() == pytest.approx(0)
    student = torch.tensor([0.75, 0.25]).log().view(1, 1, 1, 2)
    # half the sum of 0.5 · log(0.5 / p), two pixels
    expected = 0.5 * (0.5 * torch.log(torch.tensor(0.5 / 0.75)) + 0.5 * torch.log(torch.tensor(0.5 / 0.25)))
    assert map_divergence(student, teacher).item() == pytest.approx(expected.item(), rel=1e-5)
