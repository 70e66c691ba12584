"""Models as ONNX files: one per static graph, any batch, with a manifest of what they were made from."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sharpose.backends.extras import need, quiet
from sharpose.backends.graphs import Graph, graphs_of
from sharpose.errors import InputError, RunFailed
from sharpose.files import sha256_of, write_json
from sharpose.models.output import PoseModel

MANIFEST = "manifest.json"
TOLERANCE = 1e-4


def export_model(model: PoseModel, folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write every graph of `model` and a manifest with `facts` to a new folder, all or nothing; returns the manifest.

    Raises InputError where the folder has something in it already, or the extra `onnx` is missing; RunFailed where a
    graph cannot be expressed in ONNX.
    """
    check_folder(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from error
    try:
        graphs = {graph.name: described(graph, write_graph(graph, made)) for graph in graphs_of(model.eval())}
        manifest = {**facts, "graphs": graphs}
        write_json(made / MANIFEST, manifest)
        made.chmod(0o755)
        made.replace(folder)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return manifest


def check_folder(folder: Path) -> None:
    """Raise InputError unless `folder` is new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: already there; name a new or empty folder")


def described(graph: Graph, path: Path) -> dict[str, Any]:
    """A graph's part of the manifest: names and shapes of what goes in (`batch` is any number) and comes out, and how
    far it is from torch: the largest error over its outputs relative to their norm, None without ONNX Runtime.

    Raises RunFailed where that is more than rounding.
    """
    import onnx

    shapes = {name: ["batch", *value.shape[1:]] for name, value in graph.inputs.items()}
    taken = [value.name for value in onnx.load(path, load_external_data=False).graph.input]
    error = parity(graph, path)
    if error is not None and not error <= TOLERANCE:
        raise RunFailed(f"{path.name}: differs from torch by {error:.1e} of the output's norm; it is not kept")
    return {
        "file": path.name,
        "sha256": sha256_of(path),
        "inputs": {name: shapes[name] for name in taken},
        "outputs": list(graph.outputs),
        "largest_relative_error": error,
    }


def parity(graph: Graph, path: Path) -> float | None:
    """How far an exported graph is from torch; None where there is no ONNX Runtime to run it."""
    if find_spec("onnxruntime") is None:
        return None
    from sharpose.backends.onnx_runtime import compile_graph
    from sharpose.backends.parity import largest_difference

    return largest_difference(graph, compile_graph(path, "fp32", torch.get_num_threads()))


def write_graph(graph: Graph, folder: Path) -> Path:
    """`folder`/NAME.onnx; weights beyond what one file may hold (2 GiB) go beside it."""
    need("onnx", "onnxscript")
    path = folder / f"{graph.name}.onnx"
    values = tuple(graph.inputs.values())
    with quiet():
        try:
            program = torch.onnx.export(
                traced(graph, values),
                values,
                dynamo=True,
                optimize=True,
                verbose=False,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                custom_translation_table={torch.ops.aten.sort.stable: sort_stable},
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error).strip().splitlines()[-1]
            raise RunFailed(f"{type(graph.module.model).__name__}: cannot be expressed in ONNX ({reason})") from error
        assert program is not None
        inputs = program.model.graph.inputs
        for value in [value for value in inputs if not value.uses()]:
            inputs.remove(value)
        program.save(path)
    return path


def traced(graph: Graph, values: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    """The graph as one program for every batch. Strict, so that `len(images)` is followed and not taken for 2."""
    batch = {0: torch.export.Dim.DYNAMIC}
    # a second parameter takes all further inputs
    shapes = (batch,) if len(values) == 1 else (batch, tuple(batch for _ in values[1:]))
    with torch.no_grad():
        return torch.export.export(graph.module, values, dynamic_shapes=shapes, strict=True)


def sort_stable(self: Any, stable: bool | None = None, dim: int = -1, descending: bool = False) -> Any:
    """ONNX has no sort but TopK, which puts the lower index first among equals, as a stable sort does."""
    from onnxscript import opset18 as op

    count = op.Shape(self, start=dim) if dim == -1 else op.Shape(self, start=dim, end=dim + 1)
    return op.TopK(self, count, axis=dim, largest=int(descending), sorted=1)
