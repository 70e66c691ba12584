"""How many people in a picture until a detector and SHaRPose are slower than a model that finds everybody at once.

    pip install ultralytics
    python -m experiments.tools.break_even --threads 2
    python -m experiments.tools.break_even --show

SHaRPose (packed, everyone refined, one person at a time), the default detector and a fast one, and one-stage models
that can be installed, all with random weights, are timed in interleaved rounds. A line is added to
docs/break-even.jsonl; `--show` prints the last one of every device as a table. APs are the published ones on COCO val;
nothing is downloaded.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

from experiments.cells.provenance import REPOSITORY
from experiments.tools.module import Line, Timing, options, run, study
from results.logs import markdown
from sharpose.efficiency.stages import break_even
from sharpose.inference.detector import DEFAULT_DETECTOR
from sharpose.runtime.errors import InputError

LOG = REPOSITORY / "docs" / "break-even.jsonl"
ONE_STAGE = {
    "yolo11n-pose": 50.0,
    "yolo11s-pose": 58.9,
    "yolo11m-pose": 64.9,
    "yolo11l-pose": 66.1,
    "yolo11x-pose": 69.5,
}
"""AP on COCO val at 640 x 640, by the table of docs.ultralytics.com."""
PICTURE = (640, 640)
OURS = {"sharpose-small-256x192": 74.2, "sharpose-base-256x192": 75.5, "sharpose-base-384x288": 77.4}
"""AP on COCO val by SHaRPose's Table 3, in boxes of a stronger detector than the one timed here."""
DETECTORS = (DEFAULT_DETECTOR, "fasterrcnn_mobilenet_v3_large_320_fpn")


def measure(ours: Iterable[str], one_stage: Iterable[str], timing: Timing) -> dict[str, Any]:
    """Return a line of the log: medians in milliseconds, per person of ours, per picture of the others.

    Raises InputError where one-stage models are wanted and their package is not installed.
    """
    import torch

    from sharpose.backends.packed import pack_linears
    from sharpose.models import create_model

    calls: dict[str, Callable[[], Any]] = {}
    picture = torch.rand(3, *PICTURE, device=timing.device)
    for name in ours:
        model = create_model(name, quality_threshold=None).eval().to(timing.device)
        pack_linears(model)
        calls[name] = partial(model, torch.randn(1, 3, *model.config.image_size, device=timing.device))
    calls |= {name: partial(detector(name).eval().to(timing.device), [picture]) for name in DETECTORS}
    calls |= {name: partial(yolo(name).eval().to(timing.device), picture[None]) for name in one_stage}
    calls = {name: torch.inference_mode()(call) for name, call in calls.items()}
    samples, clocks, made = timing.measure(calls, warmup=2)
    return {
        "picture": list(PICTURE),
        "rounds": timing.rounds,
        "ms": {name: 1e3 * statistics.median(one.wall_s for one in taken) for name, taken in samples.items()},
        "samples_ms": {name: [round(1e3 * one.wall_s, 3) for one in taken] for name, taken in samples.items()},
        **clocks,
        **made,
    }


def detector(name: str) -> Any:
    """Return a detector with random weights."""
    from torchvision.models import detection

    return getattr(detection, name)(weights=None, weights_backbone=None)


def yolo(name: str) -> Any:
    """Return a one-stage model with random weights, its normalisation folded. Raises InputError without its package."""
    if find_spec("ultralytics") is None:
        raise InputError(f"{name} needs ultralytics, which is not installed: pip install ultralytics")
    from ultralytics import YOLO  # type: ignore[import-not-found]

    return YOLO(f"{name}.yaml").model.fuse(verbose=False)


def table(line: Line) -> str:
    """Return a log line's milliseconds, and up to how many people ours is as fast with the default / fast detector."""
    ms: Mapping[str, float] = line["ms"]
    ours = [name for name in OURS if name in ms]
    heads = (f"{name}, AP {OURS[name]}: {ms[name]:.0f} ms a person" for name in ours)
    rows = []
    for name in (name for name in ONE_STAGE if name in ms):
        people = ([f"{break_even(ms[name], ms[found], ms[mine]):.1f}" for found in DETECTORS] for mine in ours)
        rows.append([name, ONE_STAGE[name], f"{ms[name]:.0f}", *map(" / ".join, people)])
    detectors = " / ".join(f"{ms[found]:.0f} ms ({found})" for found in DETECTORS)
    made = markdown(["one-stage model", "AP", "ms a picture", *heads], rows)
    return f"{made}\n\nDetectors: {detectors} a picture."


def report(lines: Sequence[Line]) -> str:
    """Return the table of every device."""
    return "\n".join(f"{line['device']}, {line['threads']} threads\n\n{table(line)}\n" for line in lines)


def main() -> None:
    """Measure and add a line to the log, or print what is there."""
    chosen = options(__doc__, log=True, rounds=12).parse_args()
    timing = Timing(chosen.device, chosen.rounds, chosen.threads)
    study(LOG, report, chosen.show, lambda: [[measure(OURS, ONE_STAGE, timing)]], ("device", "threads"))


if __name__ == "__main__":
    run(main)
