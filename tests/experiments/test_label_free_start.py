"""The label-free start of nano width: a student that learns features, and starts every nano ViT."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from experiments.tools import label_free_start
from experiments.tools.label_free_start import MODEL, learn, make_student, pooled
from sharpose.models import create_model
from sharpose.models.registry import resolve_config
from sharpose.weights.files import save_tensors
from sharpose.weights.starting import read_start, start_from


def test_coarse_features_are_means_of_four_and_the_class_token_stays() -> None:
    features = torch.arange(1 + 4 * 2, dtype=torch.float32).view(1, 9, 1)
    means = pooled(features, (4, 2), (2, 1))
    # patches 1..8 in rows of two: 1, 2, 3, 4 and 5, 6, 7, 8
    assert means.flatten().tolist() == [0.0, 2.5, 6.5]


def test_a_student_learns_and_starts_every_nano_vit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(label_free_start, "BATCH", 4)
    config = resolve_config(MODEL, depth=1)
    images = torch.randint(0, 256, (8, 3, *config.image_size), dtype=torch.uint8)
    # what there is to see: how bright each patch is
    bright = torch.nn.functional.avg_pool2d(images.float().mean(dim=1), config.patch_size).flatten(1)[..., None]
    features = torch.cat([bright.mean(dim=1, keepdim=True), bright], dim=1)
    student = make_student(config)
    log = learn(student, {"images": images, "features": features.half()}, config.grid, 60)
    assert log[-1]["step"] == 60 and log[-1]["fine"] < 0.9

    path = tmp_path / "start.safetensors"
    save_tensors({name: value.half() for name, value in student.state_dict().items()}, path, {"model": "vit"})
    for name in (MODEL, "sharpose-nano-128x96", "vitpose-nano-128x96", "evit-nano-128x96"):
        more = {"reduction_blocks": (), "keep_rates": None} if name.startswith("evit") else {}
        model = create_model(name, depth=1, **more)
        report = start_from(model, read_start(path))
        assert report.unexpected == ["cls_token"]
        taken = {"blocks.0.attn.qkv.weight", "patch_embed.proj.weight"}
        assert taken <= set(report.matched) and not any(missing.startswith("blocks") for missing in report.missing)
        assert torch.allclose(model.blocks[0].attn.qkv.weight, student.blocks[0].attn.qkv.weight, atol=1e-3)
