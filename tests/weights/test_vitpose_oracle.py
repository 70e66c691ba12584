"""ViTPose in Hugging Face transformers as the oracle: the same random weights give the same heatmaps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sharpose.models import create_model
from sharpose.weights.files import load_weights
from sharpose.weights.importing import import_weights

transformers = pytest.importorskip("transformers", reason="the oracle is of the dev extra")

SIZES = {"image_size": (64, 48), "patch_size": 16, "embed_dim": 48, "depth": 3, "num_heads": 4, "mlp_ratio": 2}


def oracle(simple: bool) -> torch.nn.Module:
    """A small ViTPose with no parameter left at its initial zeros or ones."""
    torch.manual_seed(0)
    backbone = transformers.VitPoseBackboneConfig(
        image_size=[64, 48],
        patch_size=[16, 16],
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        mlp_ratio=2,
        layer_norm_eps=1e-6,
        out_indices=[3],
    )
    config = transformers.VitPoseConfig(backbone_config=backbone, num_labels=17, use_simple_decoder=simple)
    model = transformers.VitPoseForPoseEstimation(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.add_(torch.rand_like(buffer))
    return model


@pytest.mark.parametrize("head", ["classic", "simple"])
def test_the_same_weights_give_the_same_heatmaps(head: str, tmp_path: Path) -> None:
    theirs = oracle(head == "simple")
    save_file({name: value.contiguous() for name, value in theirs.state_dict().items()}, tmp_path / "hf.safetensors")
    options = {**SIZES, "head": head}
    source, target = tmp_path / "hf.safetensors", tmp_path / "ours.safetensors"
    report, _ = import_weights(str(source), "vitpose-base-256x192", target, options=options)
    assert "Hugging Face" in report.layout and not (report.missing or report.unexpected or report.resized)
    ours = create_model("vitpose-base-256x192", **options).eval()
    load_weights(ours, target)
    images = torch.randn(2, 3, 64, 48)
    with torch.inference_mode():
        expected, found = theirs(images).heatmaps, ours(images).heatmaps
    assert expected.shape == found.shape and expected.std() > 0.01
    assert (found - expected).abs().max() <= 3e-6 * expected.abs().max()
