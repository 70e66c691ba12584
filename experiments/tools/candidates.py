"""Time what else could make a model faster on a CPU, on both sides: SHaRPose and ViTPose of the same size.

    python -m experiments.tools.candidates sharpose-small-256x192 vitpose-small-256x192 --batch 1
    python -m experiments.tools.candidates --show

Back-ends and settings of torch's compiler are interleaved in one run: random weights, fp32, everyone refined. A line
is added to docs/candidates.jsonl; `--show` prints the log as a table. Not among them is oneDNN Graph: torch reaches it
through TorchScript alone, which is deprecated, and there these models end the process (torch 2.14.1).
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import truediv
from typing import TYPE_CHECKING, Any

from experiments.cells.provenance import REPOSITORY
from experiments.tools.module import Line, Timing, options, run, study
from results.logs import markdown
from sharpose.runtime.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from sharpose.backends.graphs import Graph, Run
    from sharpose.models.output import PoseModel

LOG = REPOSITORY / "docs" / "candidates.jsonl"
BACKENDS = ("eager", "packed", "onnxruntime", "openvino")
FROZEN = {"freezing": True}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "compiled": {},
    "compiled, weights frozen": FROZEN,
    "compiled, C++ matmuls tuned": {**FROZEN, "max_autotune": True, "max_autotune_gemm_backends": "CPP,ATEN"},
}
"""Settings of torch's compiler. It packs frozen weights; tuned, it takes the fastest kernel it finds for a matmul."""


def compiled(model: PoseModel, settings: Mapping[str, Any]) -> PoseModel:
    """Return a model whose static graphs torch compiles with `settings`, for the sizes that come."""
    import torch

    from sharpose.backends.deploy import deploy_graphs

    def compile_graph(graph: Graph) -> Run:
        module = torch.compile(graph.module, dynamic=False, options=dict(settings))

        def call(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return dict(zip(graph.outputs, module(*(tensors[name] for name in graph.inputs)), strict=True))

        return call

    return deploy_graphs(model, compile_graph)


def candidates_of(
    name: str, batch_size: int, threads: int | None = None, **options: Any
) -> dict[str, Callable[[], Any]]:
    """Return a call per candidate, each with the same weights and images of `batch_size` instances.

    threads: of the runtimes; None for as many as torch uses.
    """
    import torch

    from sharpose.backends.deploy import deploy
    from sharpose.models import create_model

    torch.manual_seed(0)
    model = create_model(name, **options).eval().requires_grad_(False)
    images = torch.randn(batch_size, 3, *model.config.image_size)
    made = {one: deploy(copy.deepcopy(model), one, threads=threads, batch_size=batch_size) for one in BACKENDS}
    made |= {label: compiled(copy.deepcopy(model), settings) for label, settings in SETTINGS.items()}
    # the compiler freezes nothing in inference mode
    return {label: partial(torch.no_grad()(one), images) for label, one in made.items()}


def measure(ours: str, peer: str, batch_size: int, timing: Timing) -> dict[str, Any]:
    """Return a line of the log: medians in milliseconds by model and candidate.

    Raises InputError without a batch, or for another device than the CPU.
    """
    if batch_size < 1:
        raise InputError("--batch: at least one is needed")
    if timing.device != "cpu":
        raise InputError(f"--device {timing.device}: these are candidates for a CPU")
    calls = {
        f"{label}|{name}": call
        for name, options in ((ours, {"quality_threshold": None}), (peer, {}))
        for label, call in candidates_of(name, batch_size, timing.threads, **options).items()
    }
    samples, clocks, made = timing.measure(calls, warmup=2)
    ms = {key: [1e3 * one.wall_s for one in taken] for key, taken in samples.items()}
    return {
        "ours": ours,
        "peer": peer,
        "batch_size": batch_size,
        "rounds": timing.rounds,
        "ms": {key: round(statistics.median(taken), 3) for key, taken in ms.items()},
        "times_as_fast": {
            label: round(statistics.median(map(truediv, ms[f"{label}|{peer}"], ms[f"{label}|{ours}"])), 3)
            for label in (*BACKENDS, *SETTINGS)
        },
        "samples_ms": {key: [round(one, 3) for one in taken] for key, taken in ms.items()},
        **clocks,
        **made,
    }


def table(lines: Sequence[Line]) -> str:
    """Return the log as a Markdown table: a row per candidate of every pair, batch size and device."""
    heads = ["device", "pair", "batch", "candidate", "ms of ours", "ms of the peer", "times as fast"]
    rows = (
        [
            line["device"],
            f"{line['ours']} ÷ {line['peer']}",
            line["batch_size"],
            label,
            *(f"{line['ms'][f'{label}|{line[side]}']:.1f}" for side in ("ours", "peer")),
            f"{faster:.2f}",
        ]
        for line in lines
        for label, faster in line["times_as_fast"].items()
    )
    return markdown(heads, rows)


def main() -> None:
    """Measure a pair and add a line to the log, or print what is there."""
    parser = options(__doc__, log=True, rounds=12)
    parser.add_argument("ours", nargs="?")
    parser.add_argument("peer", nargs="?")
    parser.add_argument("--batch", type=int, default=1)
    chosen = parser.parse_args()
    show = chosen.show or chosen.peer is None
    timing = Timing(chosen.device, chosen.rounds, chosen.threads)
    key = ("device", "ours", "peer", "batch_size")
    study(LOG, table, show, lambda: [[measure(chosen.ours, chosen.peer, chosen.batch, timing)]], key)


if __name__ == "__main__":
    run(main)
