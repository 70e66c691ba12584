"""What a system takes over from another one: the same function where both have the same parts."""

from __future__ import annotations

import pytest
import torch

from sharpose.models import create_model
from sharpose.runtime.errors import InputError
from sharpose.weights.starting import start_from

TINY = {"embed_dim": 24, "num_heads": 4, "depth": 2}


def made(name: str, **options: object) -> torch.nn.Module:
    torch.manual_seed(1)
    return create_model(name, **TINY, **options).eval()


def test_a_fine_stage_and_a_keypoint_vit_are_the_same_network() -> None:
    # SHaRPose's norms have PyTorch's epsilon
    fine, vit = made("sharpose-nano-128x96", stages="fine"), made("keypoint-vit-nano-128x96", norm_eps=1e-5)
    torch.nn.init.normal_(fine.fine_pos_embed)
    report = start_from(vit, fine.state_dict())
    assert report.renamed == ["fine_pos_embed → pos_embed"]
    assert not (report.missing or report.unexpected or report.resized)
    images = torch.randn(2, 3, 128, 96)
    with torch.inference_mode():
        assert torch.allclose(vit(images).heatmaps, fine(images).heatmaps, atol=1e-5)
        back = made("sharpose-nano-128x96", stages="fine")
        start_from(back, vit.state_dict())
        assert torch.equal(back(images).heatmaps, fine(images).heatmaps)


def test_vitpose_keeps_its_extra_row_and_others_never_have_it() -> None:
    vit, pose = made("keypoint-vit-nano-128x96"), made("vitpose-nano-128x96", patch_padding=0)
    report = start_from(pose, vit.state_dict())
    assert set(report.renamed) == {"norm.weight → last_norm.weight", "norm.bias → last_norm.bias"}
    assert all(name.startswith("head.") for name in report.missing)
    assert {name.split(".")[0] for name in report.unexpected} == {"keypoint_tokens", "head"}
    assert report.facts["matched"] == len(report.matched) and report.facts["missing"] == report.missing
    images = torch.randn(2, 3, 128, 96)
    with torch.inference_mode():
        assert torch.equal(pose.embed(images), vit.embed(images)[:, 17:])
        # with a row that is added everywhere, the plain table has it inside
        torch.nn.init.normal_(pose.pos_embed)
        start_from(vit, pose.state_dict())
        assert torch.allclose(vit.embed(images)[:, 17:], pose.embed(images), atol=1e-6)


def test_tables_are_resampled_after_translation() -> None:
    large, vit = made("sharpose-nano-192x144"), made("vitpose-nano-128x96")
    with torch.no_grad():
        large.fine_pos_embed.fill_(0.25)
    report = start_from(vit, large.state_dict())
    assert "pos_embed" in report.resized
    assert torch.equal(vit.pos_embed[:, 0], torch.zeros(1, 24))
    assert torch.allclose(vit.pos_embed[:, 1:], torch.full((1, 192, 24), 0.25), atol=1e-5)


def test_a_coarse_stage_starts_from_the_positions_of_a_network_without_one() -> None:
    vit, both = made("vitpose-nano-128x96"), made("sharpose-nano-128x96")
    rows = torch.arange(16.0)
    with torch.no_grad():
        vit.pos_embed.zero_()[:, 1:] = rows.repeat_interleave(12)[None, :, None]
    report = start_from(both, vit.state_dict())
    assert "fine_pos_embed → coarse_pos_embed" in report.renamed
    # a coarse patch lies over two rows of fine ones; the outermost are resampled over the border
    inner = both.coarse_pos_embed[0, :, 0].reshape(8, 6)[2:-2]
    assert torch.allclose(inner, rows.reshape(8, 2).mean(1)[2:-2, None].expand(-1, 6), atol=0.05)


def test_what_is_not_learned_is_not_overwritten() -> None:
    source = made("sharpose-nano-128x96")
    tokenpose = create_model("tokenpose-nano-128x96", embed_dim=24, num_heads=4, depth=2)
    before = tokenpose.pos_embed.clone()
    start_from(tokenpose, source.state_dict())
    assert torch.equal(tokenpose.pos_embed, before)
    with pytest.raises(InputError, match="nothing in common"):
        start_from(create_model("okdhp-hourglass-nano-128x96"), source.state_dict())
