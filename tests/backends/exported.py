"""Tiny models, and a program that exports them: a tracer cannot look into the shape checks of other tests."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from sharpose.backends.deploy import deploy
from sharpose.backends.onnx_export import export_model
from sharpose.models import create_model
from sharpose.models.output import PoseModel

TINY = {"embed_dim": 24, "num_heads": 4, "depth": 2}


def tiny(name: str = "sharpose-nano-128x96", **options: object) -> PoseModel:
    torch.manual_seed(0)
    model = create_model(name, **{**TINY, **options})
    with torch.no_grad():
        # random but far from zero, so that differences show
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


def some_images() -> torch.Tensor:
    return torch.randn(5, 3, 128, 96, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def parting() -> PoseModel:
    """Its threshold parts the five images."""
    quality = tiny(quality_threshold=None)(some_images()).quality.sort().values
    return tiny(quality_threshold=quality[1:3].mean().item())


def other() -> PoseModel:
    return tiny("evit-nano-128x96", reduction_blocks=[1])


SLIM = {"hidden_dim": 48, "resnet_channels": 8, "stem_channels": 8}
QUERIES = {**SLIM, "embed_dim": 32, "num_heads": 4, "encoder_depth": 1, "decoder_depth": 2}
RELATED: dict[str, dict[str, object]] = {
    "transpose-r-nano-128x96": {**TINY, **SLIM},
    "tfpose-nano-128x96": QUERIES,
    # assigning queries is no static graph; taking the best is
    "prtr-nano-128x96": {**QUERIES, "readout": "best"},
    "quadtree-nano-128x96": TINY,
    # at its own size: a smaller one was traced where this one was not
    "dvt-nano-128x96": {"quality_threshold": None},
}


def related(name: str) -> PoseModel:
    torch.manual_seed(0)
    return create_model(name, **RELATED[name]).eval()


def main(folder: Path) -> None:
    export_model(parting(), folder / "graphs", {"model": "tiny"})
    with torch.inference_mode():
        torch.save(deploy(other(), "onnxruntime", threads=1)(some_images()).heatmaps, folder / "other.pt")
        for name in RELATED:
            torch.save(deploy(related(name), "onnxruntime", threads=1)(some_images()).heatmaps, folder / f"{name}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
