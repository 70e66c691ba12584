"""When does token reduction pay? Speed-up over the same transformer without it, predicted and measured.

    python -m experiments.tools.token_reduction --size small --batch 1 --batch 4 --batch 16
    python -m experiments.tools.token_reduction --show

SHaRPose (everyone refined), EViT, DynamicViT and ToMe against the keypoint-token ViT of the same size, all eager, in
interleaved rounds, with attention fused and as explicit matrices. Predictions: the ratio of multiply-adds, and the sum
over operators of what their matmuls or their bytes take at the machine's rates, measured in the same rounds. A line
per size, picture, batch and attention is added to docs/token-reduction.jsonl; `--show` prints them as a table, with
one sentence; ‡ marks what was measured while the machine was slowed, by throttled clocks or other guests of its host.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any

from experiments.cells.provenance import REPOSITORY
from experiments.tools.module import Line, Timing, options, run, study
from results.logs import markdown
from sharpose.models import list_models
from sharpose.runtime.errors import InputError

LOG = REPOSITORY / "docs" / "token-reduction.jsonl"
WHOLE = "keypoint-vit"
REDUCING = ("sharpose", "evit", "dynamicvit", "tome")
PICTURES, ATTENTION, BATCHES = ("256x192", "384x288"), ("fused", "unfused"), (1, 4, 16)
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


def measure(size: str, picture: str, batch: int, attention: str, timing: Timing) -> dict[str, Any]:
    """Return what every system takes and what it was predicted to take, as a line of the log."""
    import torch

    from sharpose.efficiency.machine import copy_call, matmul_call
    from sharpose.efficiency.work import operator_work, predicted_seconds
    from sharpose.models import create_model
    from sharpose.models.layers.vit import use_explicit_attention

    calls: dict[str, Callable[[], Any]] = {}
    work = {}
    for system in (WHOLE, *REDUCING):
        name, options = model_of(system, size, picture)
        torch.manual_seed(0)
        model = create_model(name, **options).eval().to(timing.device)
        use_explicit_attention(model, attention == "unfused")
        images = torch.randn(batch, 3, *model.config.image_size, device=timing.device)
        work[system] = operator_work(partial(model, images))
        calls[system] = torch.inference_mode()(partial(model, images))
    (multiply, multiplied), (copy, copied) = matmul_call(timing.device), copy_call(timing.device)
    samples, clocks, made = timing.measure({**calls, "matmul": multiply, "copy": copy}, warmup=2)
    wall = {label: statistics.median(one.wall_s for one in taken) for label, taken in samples.items()}
    rate, bandwidth = multiplied / wall["matmul"], copied / wall["copy"]
    macs = {system: sum(one.macs for one in work[system]) for system in calls}
    predicted = {system: predicted_seconds(work[system], rate, bandwidth) for system in calls}

    def paired(system: str, clock: str) -> float:
        """Return the median over rounds of how many times as fast a system is."""
        pairs = zip(samples[WHOLE], samples[system], strict=True)
        return statistics.median(getattr(whole, clock) / getattr(own, clock) for whole, own in pairs)

    return {
        "size": size,
        "picture": picture,
        "batch": batch,
        "attention": attention,
        "rounds": timing.rounds,
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
                    **({"measured_cpu": paired(system, "cpu_s")} if timing.device == "cpu" else {}),
                },
                "samples_ms": [round(1e3 * one.wall_s, 3) for one in samples[system]],
            }
            for system in calls
        },
        **clocks,
        **made,
    }


def table(lines: Sequence[Line]) -> str:
    """Return the log as a Markdown table: speed-ups by multiply-adds / by the roofline / **measured**."""
    heads = ("size", "picture", "batch", "attention")
    cell = "{macs:.2f} / {roofline:.2f} / **{measured:.2f}**"
    return markdown(
        (*heads, *REDUCING),
        (
            [line[key] for key in heads[:-1]]
            + [line["attention"] + " ‡" * line.get("throttled", False)]
            + [cell.format(**line["systems"][one]["times_as_fast"]) for one in REDUCING]
            for line in lines
        ),
    )


def sentence(lines: Sequence[Line]) -> str:
    """Say when it pays, in one sentence: how often, and what share of each prediction is reached, batch by batch."""
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


def report(lines: Sequence[Line]) -> str:
    """Return table and sentence of every device."""
    found = {
        device: [line for line in lines if line["device"] == device] for device in {one["device"] for one in lines}
    }
    return "\n".join(f"{device}\n\n{table(own)}\n\n{sentence(own)}\n" for device, own in sorted(found.items()))


def main() -> None:
    """Measure every combination and add a line for each to the log, or print what is there."""
    parser = options(__doc__, log=True, rounds=12)
    parser.add_argument("--size", action="append", choices=("nano", "small", "base"), help="default: small")
    parser.add_argument("--picture", action="append", help=f"height x width; default: {' and '.join(PICTURES)}")
    parser.add_argument("--batch", type=int, action="append", help="default: 1, 4 and 16")
    parser.add_argument("--attention", action="append", choices=ATTENTION, help="default: both")
    chosen = parser.parse_args()
    timing = Timing(chosen.device, chosen.rounds, chosen.threads)
    asked = (
        chosen.size or ["small"],
        chosen.picture or PICTURES,
        chosen.batch or BATCHES,
        chosen.attention or ATTENTION,
    )
    study(LOG, report, chosen.show, lambda: ([measure(*one, timing)] for one in product(*asked)), MEASURES_THE_SAME)


if __name__ == "__main__":
    run(main)
