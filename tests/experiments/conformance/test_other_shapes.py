"""Cases of other shapes than those that come with the references, derived from them by changes with a known outcome.

A batch of one image gives that image's rows; fewer outputs of a last linear layer give those maps; a block whose
branches end in zeros gives what came in. So other batches, keypoint counts and depths have exact expectations too.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from experiments.conformance.case import load_case
from experiments.conformance.models import sharpose_config
from experiments.conformance.run import Verdict, run_case
from sharpose.models.sharpose.model import SHaRPose
from sharpose.runtime.errors import InputError

Change = Callable[[dict[str, Any], dict[str, Tensor], dict[str, Tensor]], None]


def derived(shared: Path, tmp_path: Path, name: str, change: Change) -> Verdict:
    """The verdict on a copy of a case after `change` edited its config, weights and tensors."""
    source, target = shared / "golden" / name, tmp_path / name
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    target.chmod(0o755)
    facts = json.loads((source / "case.json").read_text())
    weights, tensors = load_file(source / "weights.safetensors"), load_file(source / "tensors.safetensors")
    change(facts["config"], weights, tensors)
    (target / "case.json").write_text(json.dumps(facts))
    for stem, content in (("weights", weights), ("tensors", tensors)):
        save_file({key: value.contiguous() for key, value in content.items()}, target / f"{stem}.safetensors")
    return run_case(target)


def last_image(config: dict[str, Any], weights: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    """The last image of the batch alone."""
    batch = tensors["in.image"].shape[0]
    for name, value in tensors.items():
        if value.ndim > 1 and len(value) == batch:
            tensors[name] = value[-1:]


@pytest.mark.parametrize(
    "case",
    ["vitpose_classic", "vitpose_simple", "hrnet", "hrformer", "simplebaseline_resnet50", "tokenpose_l", "evit_fuse"],
)
def test_a_batch_of_one(shared: Path, tmp_path: Path, case: str) -> None:
    verdict = derived(shared, tmp_path, case, last_image)
    assert verdict.status == "passed" and verdict.worst.bound > 0, verdict.line


def three_keypoints(config: dict[str, Any], weights: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    """The maps of three keypoints, in another order."""
    chosen = [4, 0, 16]
    config["num_keypoints"] = 3
    for name in ("keypoint_head.final_layer.weight", "keypoint_head.final_layer.bias"):
        weights[name] = weights[name][chosen]
    tensors["out.heatmaps"] = tensors["out.heatmaps"][:, chosen]


@pytest.mark.parametrize("case", ["vitpose_classic", "vitpose_simple", "hrnet", "hrformer", "simplebaseline_resnet50"])
def test_three_keypoints(shared: Path, tmp_path: Path, case: str) -> None:
    verdict = derived(shared, tmp_path, case, three_keypoints)
    assert verdict.status == "passed", verdict.line
    wrong = derived(shared, tmp_path / "wrong", case, lambda *all: (three_keypoints(*all), shuffle(all[2]))[0])
    assert wrong.status == "FAILED" and wrong.worst.name == "heatmaps"


def shuffle(tensors: dict[str, Tensor]) -> None:
    tensors["out.heatmaps"] = tensors["out.heatmaps"].flip(1)


def deeper(prefix: str, ends: tuple[str, str]) -> Change:
    """One more block, a copy of the last whose two branches end in zeros."""

    def change(config: dict[str, Any], weights: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
        last, config["depth"] = config["depth"] - 1, config["depth"] + 1
        if "keep_rate" in config:
            config["keep_rate"].append(1.0)
            counts = tensors["out.token_counts"]
            tensors["out.token_counts"] = torch.cat([counts, counts[-1:]])
        pattern = re.compile(rf"{re.escape(prefix)}{last}\.(.+)")
        copied = {found[1]: value for name, value in weights.items() if (found := pattern.fullmatch(name))}
        assert copied
        for rest, value in copied.items():
            zero = rest.startswith(ends)
            weights[f"{prefix}{last + 1}.{rest}"] = torch.zeros_like(value) if zero else value.clone()

    return change


@pytest.mark.parametrize(
    ("case", "prefix", "ends"),
    [
        # depth 5 and 4 of ViTPose, 4 of TokenPose, 6 of EViT: no longer what the references were run with
        ("vitpose_classic", "backbone.blocks.", ("attn.proj.", "mlp.fc2.")),
        ("vitpose_simple", "backbone.blocks.", ("attn.proj.", "mlp.fc2.")),
        ("evit_fuse", "blocks.", ("attn.proj.", "mlp.fc2.")),
        ("tokenpose_t", "transformer.transformer.layers.", ("0.fn.fn.to_out.0.", "1.fn.fn.net.3.")),
    ],
)
def test_one_more_block(shared: Path, tmp_path: Path, case: str, prefix: str, ends: tuple[str, str]) -> None:
    verdict = derived(shared, tmp_path, case, deeper(prefix, ends))
    assert verdict.status == "passed", verdict.line


def test_merging_may_end_early(shared: Path, tmp_path: Path) -> None:
    def only_constant(config: dict[str, Any], weights: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
        # the same numbers written out block by block, and as a schedule that does not change
        mean = config["variants"][0]["r"]
        config["variants"][0] |= {"r": [mean] * config["depth"], "kind": "explicit"}
        config["variants"][1] |= {"r": [mean, 0.0], "kind": "schedule"}

    verdict = derived(shared, tmp_path, "tome", only_constant)
    assert verdict.status == "passed", verdict.line


@pytest.mark.parametrize(
    ("depth", "heads", "grid", "patch", "keypoints", "first"),
    [(3, 3, (2, 5), 4, 1, 0), (6, 1, (3, 3), 8, 2, 1), (7, 7, (1, 4), 5, 21, 1), (9, 5, (4, 2), 16, 13, 2)],
)
def test_sharpose_of_any_shape_is_what_a_case_says(
    tmp_path: Path, depth: int, heads: int, grid: tuple[int, int], patch: int, keypoints: int, first: int
) -> None:
    fine = [3 * side for side in grid]
    config = {
        "image_size": [patch * side for side in fine],
        "patch_size": patch,
        "coarse_grid": list(grid),
        "fine_grid": fine,
        "embed_dim": 5 * heads,
        "depth": depth,
        "num_heads": heads,
        "mlp_ratio": 2,
        "num_keypoints": keypoints,
        "heatmap_size": [7, 5],
        "head": "two_layer",
        "attention_beta": 0.9,
        "relevance_first_block": first,
    }
    (tmp_path / "case.json").write_text(json.dumps({"system": "SHaRPose", "config": config}))
    case = load_case(tmp_path)
    variant = {"alpha": 0.35, "early_exit": False, "quality_threshold": None}
    ours = sharpose_config(case, variant)
    assert (ours.coarse_grid, list(ours.fine_grid), ours.refine_ratio) == (grid, fine, 3)
    assert ours.first_relevance_block == first and ours.num_keep() == -(-35 * grid[0] * grid[1] // 100)
    with torch.inference_mode():
        output = SHaRPose(ours).eval()(torch.randn(3, 3, *ours.image_size))
    assert output.heatmaps.shape == (3, keypoints, 7, 5) and output.keep_indices.shape == (3, ours.num_keep())
    config["relevance_first_block"] = depth - 1
    (tmp_path / "case.json").write_text(json.dumps({"system": "SHaRPose", "config": config}))
    with pytest.raises(InputError, match="relevance_first_block"):
        sharpose_config(load_case(tmp_path), variant)
