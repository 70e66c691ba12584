"""Other back-ends: the same results as torch, also between the stages; clear words where something is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sharpose.backends import onnx_export
from sharpose.backends.choice import check_backend, split_backend
from sharpose.backends.deploy import deploy, why_not
from sharpose.backends.graphs import graphs_of
from sharpose.backends.onnx_export import export_model
from sharpose.models import create_model
from sharpose.models.output import PoseModel
from sharpose.runtime.errors import InputError, RunFailed
from tests.backends.exported import parting, some_images

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model() -> PoseModel:
    return parting()


@pytest.mark.slow
def test_what_runtimes_compute() -> None:
    """In a process of its own; exports take seconds each."""
    command = [sys.executable, "-m", "pytest", "-m", "", "--timeout", "3600", "tests/backends/runtimes.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_eager_is_the_model_itself(model: PoseModel) -> None:
    assert deploy(model) is model


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (("tensorrt", "fp32", "cpu"), "eager, compiled, packed, onnxruntime, openvino"),
        (("onnxruntime", "bf16", "cpu"), "onnxruntime: fp32, int8"),
        (("openvino", "fp32", "cuda"), "--device cpu"),
    ],
)
def test_what_cannot_be_is_said(request_: tuple[str, str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_backend(*request_)


@pytest.mark.parametrize(
    ("backend", "module", "extra"), [("onnxruntime", "onnxscript", "onnx"), ("openvino", "openvino", "openvino")]
)
def test_a_missing_extra_is_one_line(
    monkeypatch: pytest.MonkeyPatch, model: PoseModel, backend: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("sharpose.backends.deploy.write_graph", write_nothing if module == "openvino" else real_write)
    with pytest.raises(InputError, match=rf"needs {module}.*\[{extra}\]"):
        deploy(model, backend)


def test_a_processor_without_bf16_is_said_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, model: PoseModel
) -> None:
    core = SimpleNamespace(get_property=lambda device, name: ["FP32", "INT8"])
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=lambda: core))
    monkeypatch.setattr("sharpose.backends.deploy.write_graph", write_nothing)
    with pytest.raises(InputError, match="this processor has no bf16 instructions; use fp32"):
        deploy(model, "openvino", precision="bf16")
    reasons = [why_not(*asked) for asked in (("openvino", "fp32"), ("onnxruntime", "int8"), ("eager", "bf16"))]
    assert reasons == [None, None, None] and "no bf16" in str(why_not("openvino", "bf16"))


real_write = onnx_export.write_graph


def write_nothing(graph: object, folder: Path) -> Path:
    return folder / "nothing.onnx"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [("sharpose-nano-128x96", {"alpha_mass": 0.8}, "^alpha_mass: "), ("prtr-nano-128x96", {}, "readout=best")],
)
def test_an_option_that_leaves_no_static_graph_is_named(name: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        graphs_of(create_model(name, **options))


def test_a_backend_with_its_precision() -> None:
    assert split_backend("openvino:bf16", "fp32") == ("openvino", "bf16")
    assert split_backend("onnxruntime", "int8") == ("onnxruntime", "int8")


@torch.no_grad()
def test_compiled_is_the_model_for_batches_and_what_an_exit_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    expected, deployed = parting()(some_images()), deploy(parting(), "compiled", batch_size=8)
    torch.testing.assert_close(deployed(some_images()).heatmaps, expected.heatmaps)


def test_a_failed_export_leaves_nothing(monkeypatch: pytest.MonkeyPatch, model: PoseModel, tmp_path: Path) -> None:
    def fail(graph: object, folder: Path) -> Path:
        (folder / "half.onnx").write_bytes(b"half")
        raise RunFailed("no such operator")

    monkeypatch.setattr(onnx_export, "write_graph", fail)
    with pytest.raises(RunFailed):
        export_model(model, tmp_path / "out", {})
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(InputError, match="new or empty"):
        export_model(model, tmp_path / "full", {})
