"""Heatmaps behind every block: the last ones are the model's own."""

from __future__ import annotations

import pytest
import torch

from sharpose.models import create_model
from sharpose.models.intermediate import block_heatmaps
from sharpose.runtime.errors import InputError


def test_the_last_block_of_each_stage_gives_the_stages_heatmaps():
    torch.manual_seed(0)
    model = create_model("sharpose-nano-128x96", quality_threshold=None).eval()
    images = torch.randn(2, 3, 128, 96)
    maps = block_heatmaps(model, images)
    assert list(maps) == [f"{stage} {block}" for stage in ("coarse", "fine") for block in range(1, 7)]
    with torch.inference_mode():
        output = model(images)
    assert torch.allclose(maps["coarse 6"], output.coarse_heatmaps, atol=1e-5)
    assert torch.allclose(maps["fine 6"], output.heatmaps, atol=1e-5)
    assert not torch.allclose(maps["coarse 5"], maps["coarse 6"], atol=1e-3)
    # the hooks are gone
    assert not any(block._forward_hooks for block in model.blocks)


def test_vitpose_decodes_its_patches():
    torch.manual_seed(0)
    model = create_model("vitpose-nano-128x96").eval()
    images = torch.randn(1, 3, 128, 96)
    maps = block_heatmaps(model, images)
    with torch.inference_mode():
        assert torch.allclose(list(maps.values())[-1], model(images).heatmaps, atol=1e-5)
    assert next(iter(maps)) == "block 1" and len(maps) == len(model.blocks)


def test_other_systems_are_refused():
    with pytest.raises(InputError, match="SimpleBaseline: intermediate heatmaps are not defined"):
        block_heatmaps(create_model("simple-baseline-nano-128x96"), torch.zeros(1, 3, 128, 96))
