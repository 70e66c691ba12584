"""Make tests/golden/sharpose_tiny: what our own SHaRPose gives where it passes the cases of the public reference.

`python -m tests.conformance.make_tiny`, with ../shared/golden beside the repository.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from experiments.conformance.case import Case
from experiments.conformance.models import sharpose_config
from experiments.conformance.run import run_case
from sharpose.models.sharpose.model import SHaRPose

FOLDER = Path(__file__).resolve().parents[2] / "golden" / "sharpose_tiny"
REFERENCE = Path(__file__).resolve().parents[4] / "shared" / "golden"
# a depth whose quarter is no third, and a last keypoint that the relevance leaves out
CONFIG = {
    "image_size": [48, 32],
    "patch_size": 8,
    "coarse_grid": [3, 2],
    "fine_grid": [6, 4],
    "embed_dim": 16,
    "depth": 7,
    "num_heads": 2,
    "mlp_ratio": 2,
    "num_keypoints": 4,
    "heatmap_size": [12, 8],
    "head": "two_layer",
    "attention_beta": 0.9,
    "relevance_first_block": 1,
    "variants": [
        {"alpha": 0.5, "early_exit": False, "quality_threshold": None},
        {"alpha": 0.3, "early_exit": True, "quality_threshold": 0.0},
    ],
}


def make() -> None:
    """Refuse unless the reference's cases pass, then write the case."""
    for name in ("sharpose_single_head", "sharpose_two_layer_head"):
        verdict = run_case(REFERENCE / name)
        assert verdict.status == "passed", verdict.line
    generator = torch.Generator().manual_seed(0)
    case = Case(FOLDER, "SHaRPose", CONFIG, {}, {}, {}, {})
    model = SHaRPose(sharpose_config(case, CONFIG["variants"][0])).eval()  # type: ignore[index]
    for parameter in model.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    images = torch.randn(5, 3, 48, 32, generator=generator)
    with torch.inference_mode():
        quality = model.coarse(images).quality.sort().values
        CONFIG["variants"][1]["quality_threshold"] = round(float(quality[1:3].mean()), 4)  # type: ignore[index]
        tensors = {"in.image": images, **outputs(model, case, images)}
    FOLDER.mkdir(exist_ok=True)
    facts = {
        "system": "SHaRPose",
        "reference": "this repository, where it passes the cases of the public reference",
        "config": CONFIG,
        "tolerance": {"relative_to_max": 1e-4},
    }
    (FOLDER / "case.json").write_text(json.dumps(facts, indent=1) + "\n")
    save_file({name: value.clone().contiguous() for name, value in tensors.items()}, FOLDER / "tensors.safetensors")
    save_file(model.state_dict(), FOLDER / "weights.safetensors")


def outputs(model: SHaRPose, case: Case, images: Tensor) -> dict[str, Tensor]:
    """What `check_sharpose` compares."""
    coarse, found = model.coarse(images), {}
    found["out.coarse_heatmaps"] = model.head(coarse.keypoint_tokens)
    found |= {f"out.{name}": getattr(coarse, name) for name in ("quality", "relevance")}
    found["out.coarse_tokens"] = coarse.keypoint_tokens
    for index, variant in enumerate(case.config["variants"]):
        model.config = sharpose_config(case, variant)
        output = model(images)
        found[f"out.v{index}.final_heatmaps"] = output.heatmaps
        found[f"out.v{index}.refine_mask"] = output.needs_refinement.long()
        assert output.keep_indices is not None
        found[f"out.v{index}.selected_patches"] = output.keep_indices
    return found


if __name__ == "__main__":
    make()
