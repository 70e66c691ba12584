"""SHaRPose with one stage alone: Table 8's Coarse-None and None-Fine."""

from __future__ import annotations

import pytest
import torch

from sharpose.models import create_model, resolve_config

NANO = "sharpose-nano-128x96"


@torch.inference_mode()
def test_one_stage_gives_what_it_gives_inside_both():
    images = torch.randn(2, 3, 128, 96)
    both = create_model(NANO, quality_threshold=None).eval()
    for stage in ("coarse", "fine"):
        alone = create_model(NANO, stages=stage).eval()
        names = alone.state_dict().keys()
        assert names < both.state_dict().keys() and not any("reuse" in name for name in names)
        alone.load_state_dict({name: both.state_dict()[name] for name in names})
        output = alone(images)
        if stage == "coarse":
            torch.testing.assert_close(output.heatmaps, both(images).coarse_heatmaps)
            assert not output.needs_refinement.any() and output.fine_heatmaps is None
        else:
            assert output.needs_refinement.all() and output.quality is None and output.coarse_heatmaps is None
            torch.testing.assert_close(output.heatmaps, both.fine(images, None).heatmaps)


@torch.inference_mode()
def test_the_fine_stage_alone_is_the_keypoint_vit():
    sharpose = create_model(NANO, stages="fine").eval()
    plain = create_model("keypoint-vit-nano-128x96", norm_eps=1e-5).eval()
    plain.load_state_dict({name.replace("fine_pos", "pos"): value for name, value in sharpose.state_dict().items()})
    images = torch.randn(1, 3, 128, 96)
    torch.testing.assert_close(plain(images).heatmaps, sharpose(images).heatmaps)


def test_another_word_for_stages_is_refused():
    with pytest.raises(ValueError, match=r"^stages = "):
        resolve_config(NANO, stages="both")
