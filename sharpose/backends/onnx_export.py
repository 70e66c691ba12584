"""Models as ONNX files: one per static graph, any batch, with a manifest of what they were made from."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sharpose.backends.extras import need, quiet
from sharpose.backends.graphs import Graph, graphs_of, largest_difference
from sharpose.codecs.choice import codec_of
from sharpose.models.output import PoseModel
from sharpose.pose.geometry import BOX_PADDING
from sharpose.pose.normalise import IMAGENET_MEAN, IMAGENET_STD
from sharpose.pose.skeleton import known_skeleton
from sharpose.runtime.errors import RunFailed
from sharpose.runtime.files import new_folder, sha256_of, write_json

MANIFEST = "manifest.json"
TOLERANCE = 1e-4
BATCH = "batch"


def export_model(model: PoseModel, folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write every graph of `model` and a manifest with `facts` to a new folder, all or nothing; returns the manifest.

    Raises InputError where the folder has something in it already, or the extra `onnx` is missing; RunFailed where a
    graph cannot be expressed in ONNX.
    """
    with new_folder(folder) as made:
        graphs = {graph.name: described(graph, write_graph(graph, made)) for graph in graphs_of(model.eval())}
        manifest = {**facts, **around(model), "graphs": graphs}
        write_json(made / MANIFEST, manifest)
    return manifest


def around(model: PoseModel) -> dict[str, Any]:
    """Return what a caller does before, between and after the graphs; `docs/deploy.md` explains it."""
    config, codec = model.config, codec_of(model.config)
    skeleton = known_skeleton(config.num_keypoints)
    return {
        "preprocessing": {
            "image_size": list(config.image_size),
            "padding": BOX_PADDING,
            "warp": codec.warp,
            "mean": list(IMAGENET_MEAN),
            "std": list(IMAGENET_STD),
        },
        "quality_threshold": getattr(config, "quality_threshold", None),
        "postprocessing": {"decoder": type(codec).__name__, "kernel": getattr(codec, "kernel", None)},
        "keypoints": list(skeleton.keypoint_names) if skeleton else [str(n) for n in range(config.num_keypoints)],
    }


def described(graph: Graph, path: Path) -> dict[str, Any]:
    """Return a graph's part of the manifest, after running it once.

    Names and shapes of what goes in (`batch` is any number) and comes out, and how far it is from torch: the largest
    error over its outputs relative to their norm, None without ONNX Runtime.

    Raises RunFailed where that is more than rounding.
    """
    import onnx

    content = onnx.load(path, load_external_data=False).graph
    shapes = [
        {value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in side}
        for side in (content.input, content.output)
    ]
    error = None
    if find_spec("onnxruntime") is not None:
        from sharpose.backends.onnx_runtime import compile_graph

        error = largest_difference(graph, compile_graph(path, "fp32", torch.get_num_threads()))
        if not error <= TOLERANCE:
            raise RunFailed(f"{path.name}: differs from torch by {error:.1e} of the output's norm; it is not kept")
    return {
        "file": path.name,
        "sha256": sha256_of(path),
        "inputs": shapes[0],
        "outputs": shapes[1],
        "largest_relative_error": error,
    }


def write_graph(graph: Graph, folder: Path) -> Path:
    """Write `folder`/NAME.onnx; weights beyond what one file may hold (2 GiB) go beside it.

    Raises RunFailed where ONNX cannot express it.
    """
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
            # the first line of what stopped it; the exporter's own text is of steps and where to report them
            reason = str(error.__cause__ or error).strip().partition("\n")[0]
            raise RunFailed(f"{type(graph.module.model).__name__}: cannot be expressed in ONNX ({reason})") from error
        assert program is not None
        inputs = program.model.graph.inputs
        for value in [value for value in inputs if not value.uses()]:
            inputs.remove(value)
        name_batch(program.model.graph)
        program.save(path)
    return path


def name_batch(graph: Any) -> None:
    """Call the one axis without a fixed size `batch` in all inputs and outputs, whatever the tracer called it."""
    for value in (*graph.inputs, *graph.outputs):
        value.shape = type(value.shape)([axis if isinstance(axis, int) else BATCH for axis in value.shape])


def traced(graph: Graph, values: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    """Return the graph as one program for every batch. Strict, so that `len(images)` is followed and not taken for 2.

    Of the example `values` (B, ...) the first dimension is free.
    """
    batch = {0: torch.export.Dim.DYNAMIC}
    # a second parameter takes all further inputs
    shapes = (batch,) if len(values) == 1 else (batch, tuple(batch for _ in values[1:]))
    with torch.no_grad():
        return torch.export.export(graph.module, values, dynamic_shapes=shapes, strict=True)


def sort_stable(self: Any, stable: bool | None = None, dim: int = -1, descending: bool = False) -> Any:
    """Sort by TopK, ONNX's only sort, which puts the lower index first among equals, as a stable sort does."""
    from onnxscript import opset18 as op

    count = op.Shape(self, start=dim) if dim == -1 else op.Shape(self, start=dim, end=dim + 1)
    return op.TopK(self, count, axis=dim, largest=int(descending), sorted=1)
