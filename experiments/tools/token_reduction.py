"""When does token reduction pay? Speed-up over the same transformer without it, predicted and measured.

    python -m experiments.tools.token_reduction --size small --batch 1 --batch 4 --batch 16
    python -m experiments.tools.token_reduction --show

SHaRPose (everyone refined), EViT, DynamicViT and ToMe against the keypoint-token ViT of the same size, all eager, in
interleaved rounds, with attention fused and as explicit matrices. Predictions: the ratio of multiply-adds, and the sum
over operators of what their products or their bytes take at the machine's rates, measured in the same rounds. A line
per size, picture, batch and attention is added to docs/token-reduction.jsonl; `--show` prints them as a table, with
one sentence.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

from experiments.cells.provenance import REPOSITORY, local_device, provenance
from experiments.tools.module import run, timing_options
from results.logs import add_lines, read_lines
from sharpose.models import list_models
from sharpose.runtime.errors import InputError

LOG = REPOSITORY / "docs" / "token-reduction.jsonl"
WHOLE = "keypoint-vit"
REDUCING = ("sharpose", "evit", "dynamicvit", "tome")
PICTURES, ATTENTION, BATCHES = ("256x192", "384x288"), ("fused", "unfused"), (1, 4, 16)
WARMUP = 2
SPEED_UPS = ("macs", "roofline", "measured")
MEASURES_THE_SAME = ("device", "threads", "size", "picture", "batch", "attention")
PAYS = 1.05
"""A speed-up from which on it is said to pay."""


def model_of(system: str, size: str, picture: str) -> tuple[str, dict[str, Any]]:
    """Return the name and options of a system at a size, on pictures of `picture` (height x width) pixels.

    Raises InputError where the system has no such size.
    """
    names = [name for name in list_models() if name.startswith(f"{system}-{size}-")]
    if not names:
        raise InputError(f"--size {size}: {system} has no such size; use nano, small or base")
    options: dict[str, Any] = {"quality_threshold": None} if system == "sharpose" else {}
    name = f"{system}-{size}-{picture}"
    if name in names:
        return name, options
    height, width = (int(side) for side in picture.split("x"))
    return names[0], {**options, "image_size": (height, width), "heatmap_size": (height // 4, width // 4)}


def measure(
    size: str, picture: str, batch: int, attention: str, *, device: str, rounds: int, threads: int | None
) -> dict[str, Any]:
    """Return what every system takes and what it was predicted to take, as a line of the log."""
    import torch

    from sharpose.efficiency.clocks import changes, read_clocks
    from sharpose.efficiency.machine import copy_call, matmul_call
    from sharpose.efficiency.timing import interleave, torch_threads
    from sharpose.efficiency.work import operator_work, predicted_seconds
    from sharpose.models import create_model
    from sharpose.models.layers.vit import use_explicit_attention

    calls: dict[str, Callable[[], Any]] = {}
    work = {}
    with torch_threads(threads):
        for system in (WHOLE, *REDUCING):
            name, options = model_of(system, size, picture)
            torch.manual_seed(0)
            model = create_model(name, **options).eval().to(device)
            use_explicit_attention(model, attention == "unfused")
            images = torch.randn(batch, 3, *model.config.image_size, device=device)
            work[system] = operator_work(partial(model, images))
            calls[system] = torch.inference_mode()(partial(model, images))
        (multiply, products), (copy, copied) = matmul_call(device), copy_call(device)
        before = read_clocks(device)
        samples = interleave({**calls, "matmul": multiply, "copy": copy}, device, rounds, WARMUP)
        clocks, used = changes(before, read_clocks(device)), torch.get_num_threads()
    wall = {label: statistics.median(one.wall_s for one in taken) for label, taken in samples.items()}
    rate, bandwidth = products / wall["matmul"], copied / wall["copy"]
    macs = {system: sum(one.macs for one in work[system]) for system in calls}
    predicted = {system: predicted_seconds(work[system], rate, bandwidth) for system in calls}

    def paired(system: str, clock: str) -> float:
        """The median over rounds of how many times as fast a system is."""
        pairs = zip(samples[WHOLE], samples[system], strict=True)
        return statistics.median(getattr(whole, clock) / getattr(own, clock) for whole, own in pairs)

    return {
        "size": size,
        "picture": picture,
        "batch": batch,
        "attention": attention,
        "rounds": rounds,
        "matmul_macs_per_s": rate,
        "copy_bytes_per_s": bandwidth,
        "systems": {
            system: {
                "macs": macs[system],
                "operators": len(work[system]),
                "moved_bytes": sum(one.moved_bytes for one in work[system]),
                "ms": 1e3 * wall[system],
                "cpu_ms": 1e3 * statistics.median(one.cpu_s for one in samples[system]),
                "roofline_ms": 1e3 * predicted[system],
                "times_as_fast": {
                    "macs": macs[WHOLE] / macs[system],
                    "roofline": predicted[WHOLE] / predicted[system],
                    "measured": paired(system, "wall_s"),
                    # what others did to the machine is not in it
                    **({"measured_cpu": paired(system, "cpu_s")} if device == "cpu" else {}),
                },
                "samples_ms": [round(1e3 * one.wall_s, 3) for one in samples[system]],
            }
            for system in calls
        },
        **clocks,
        **provenance(local_device(device)),
        "threads": used,
    }


def table(lines: Iterable[Mapping[str, Any]]) -> str:
    """The log as a Markdown table: speed-ups by multiply-adds / by the roofline / **measured**."""
    rows = [f"| size | picture | batch | attention | {' | '.join(REDUCING)} |", "|---" * (4 + len(REDUCING)) + "|"]
    for line in lines:
        found = (line["systems"][system]["times_as_fast"] for system in REDUCING)
        cells = [f"{one['macs']:.2f} / {one['roofline']:.2f} / **{one['measured']:.2f}**" for one in found]
        rows.append(
            f"| {' | '.join([*(str(line[key]) for key in ('size', 'picture', 'batch', 'attention')), *cells])} |"
        )
    return "\n".join(rows)


def sentence(lines: Sequence[Mapping[str, Any]]) -> str:
    """When it pays, in one sentence: how often, and what share of each prediction is reached, batch by batch."""
    said = []
    for batch in sorted({line["batch"] for line in lines}):
        cells = [
            line["systems"][system]["times_as_fast"] for line in lines for system in REDUCING if line["batch"] == batch
        ]
        by_macs, by_roofline = (
            statistics.median(one["measured"] / one[kind] for one in cells) for kind in SPEED_UPS[:2]
        )
        paid = sum(one["measured"] >= PAYS for one in cells)
        said.append(
            f"at batch {batch} in {paid} of {len(cells)} cases, with {by_macs:.0%} of the speed-up that multiply-adds "
            f"predict and {by_roofline:.0%} of the roofline's (medians)"
        )
    return f"Token reduction pays (at least {PAYS} times as fast) {'; '.join(said)}."


def main() -> None:
    """Measure every combination and add a line for each to the log, or print what is there."""
    parser = timing_options(__doc__, rounds=12)
    parser.add_argument("--size", action="append", choices=("nano", "small", "base"), help="default: small")
    parser.add_argument("--picture", action="append", help=f"height x width; default: {' and '.join(PICTURES)}")
    parser.add_argument("--batch", type=int, action="append", help="default: 1, 4 and 16")
    parser.add_argument("--attention", action="append", choices=ATTENTION, help="default: both")
    chosen = parser.parse_args()
    if chosen.show:
        lines = read_lines(LOG, MEASURES_THE_SAME)
        for device in sorted({line["device"] for line in lines}):
            own = [line for line in lines if line["device"] == device]
            print(f"{device}\n\n{table(own)}\n\n{sentence(own)}\n")
        return
    for size, picture, batch, attention in product(
        chosen.size or ["small"], chosen.picture or PICTURES, chosen.batch or BATCHES, chosen.attention or ATTENTION
    ):
        limits = {"device": chosen.device, "rounds": chosen.rounds, "threads": chosen.threads}
        line = measure(size, picture, batch, attention, **limits)
        add_lines(LOG, [line])
        print(table([line]).splitlines()[-1], flush=True)


if __name__ == "__main__":
    run(main)
