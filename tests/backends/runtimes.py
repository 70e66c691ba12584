"""What back-ends compute, run by `test_backends.py` in a process of its own: their runtimes bring threads and libraries
that the process of all other tests has no use for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from sharpose.backends.deploy import DeployedSHaRPose
from sharpose.backends.graphs import Run, difference, graphs_of, largest_difference
from sharpose.models.output import PoseModel
from sharpose.models.sharpose.output import SHaRPoseOutput
from sharpose.runtime.errors import InputError
from tests.backends.exported import RELATED, other, parting, related, some_images

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return some_images()


@pytest.fixture(scope="module")
def model() -> PoseModel:
    return parting()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    folder = tmp_path_factory.mktemp("exported")
    command = [sys.executable, "-m", "tests.backends.exported", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


def compiled(folder: Path, runtime: str, precision: str = "fp32") -> dict[str, Run]:
    pytest.importorskip(runtime, reason=f"the extra of {runtime} is not installed")
    from sharpose.backends import onnx_runtime, openvino

    module = {"onnxruntime": onnx_runtime, "openvino": openvino}[runtime]
    return {name: module.compile_graph(folder / "graphs" / f"{name}.onnx", precision, 1) for name in ("coarse", "fine")}


def test_manifest_says_what_goes_in_and_how_far_it_is_from_torch(exported: Path) -> None:
    manifest = json.loads((exported / "graphs" / "manifest.json").read_text())
    assert all(graph["largest_relative_error"] < 1e-5 for graph in manifest["graphs"].values())
    coarse, fine = manifest["graphs"]["coarse"], manifest["graphs"]["fine"]
    assert manifest["model"] == "tiny"
    assert coarse["inputs"] == {"images": ["batch", 3, 128, 96]}
    # the coarse heatmaps are not read by the fine stage, so its graph does not ask for them
    assert "coarse_heatmaps" not in fine["inputs"] and fine["inputs"]["coarse_relevance"] == ["batch", 48]
    assert {path.name for path in (exported / "graphs").iterdir()} == {"coarse.onnx", "fine.onnx", "manifest.json"}


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_graphs_equal_torch(model: PoseModel, exported: Path, runtime: str) -> None:
    runs = compiled(exported, runtime)
    assert all(largest_difference(graph, runs[graph.name]) < 1e-5 for graph in graphs_of(model))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@torch.inference_mode()
def test_early_exit_between_the_graphs(model: PoseModel, exported: Path, images: torch.Tensor, runtime: str) -> None:
    deployed, seen = DeployedSHaRPose(model, compiled(exported, runtime)), []
    fine = deployed.runs["fine"]

    def spy(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        seen.append(len(tensors["images"]))
        return fine(tensors)

    deployed.runs = {**deployed.runs, "fine": spy}
    ours, theirs = deployed.eval()(images), model(images)
    assert isinstance(ours, SHaRPoseOutput) and seen == [2]
    assert torch.equal(ours.needs_refinement, theirs.needs_refinement)
    assert ours.keep_indices is not None and torch.equal(ours.keep_indices, theirs.keep_indices)
    for name in ("heatmaps", "coarse_heatmaps", "fine_heatmaps", "quality", "relevance"):
        assert difference(getattr(ours, name), getattr(theirs, name)) < 1e-5, name


def test_alpha_is_fixed_in_a_graph(model: PoseModel, exported: Path, images: torch.Tensor) -> None:
    deployed = DeployedSHaRPose(model, compiled(exported, "onnxruntime")).eval()
    with pytest.raises(InputError, match=r"alpha = 0\.9"):
        deployed(images, 0.9)


@pytest.mark.parametrize(
    ("runtime", "precision"), [("onnxruntime", "int8"), ("openvino", "bf16"), ("openvino", "int8")]
)
def test_fewer_bits_stay_near(model: PoseModel, exported: Path, runtime: str, precision: str) -> None:
    try:
        runs = compiled(exported, runtime, precision)
    except InputError as error:
        # this processor has none, and is said to have none
        if "bf16" in str(error):
            return
        raise
    errors = [difference_of(graph, runs[graph.name]) for graph in graphs_of(model)]
    assert all(1e-6 < error < 0.1 for error in errors), errors


def difference_of(graph: object, run: Run) -> float:
    """Of the heatmaps alone: with fewer bits, near ties may be ranked otherwise."""
    found = run(graph.inputs)["heatmaps"]
    with torch.inference_mode():
        return difference(
            found, dict(zip(graph.outputs, graph.module(*graph.inputs.values()), strict=True))["heatmaps"]
        )


@torch.inference_mode()
def test_other_systems_are_one_graph(exported: Path, images: torch.Tensor) -> None:
    assert difference(torch.load(exported / "other.pt"), other()(images).heatmaps) < 1e-5


@pytest.mark.parametrize("name", RELATED)
@torch.inference_mode()
def test_related_systems_equal_torch(exported: Path, images: torch.Tensor, name: str) -> None:
    assert difference(torch.load(exported / f"{name}.pt"), related(name)(images).heatmaps) < 1e-4
