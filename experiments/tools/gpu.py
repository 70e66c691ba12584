"""What is worth a GPU's few minutes, by itself: does it compute right, small models on photographs, speeds, races.

    sharpose gpu run --budget 10m

Every step has a share of what is left of the budget, stops by its deadline, and goes on in the next call; a step that
fails costs the others nothing. All that is made lies in one folder, with a log.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from experiments.cells.cells import throughput_identity
from experiments.cells.provenance import REPOSITORY, provenance, usable_cores
from experiments.run.fill import OutOfTime as TooLong
from experiments.run.fill import ended_after
from experiments.run.train_missing import Outcome, Training, shared_budget, train_missing
from experiments.spec.catalog import Catalog, Places
from experiments.tools import gpu_agreement
from experiments.tools.gpu_agreement import all_refined
from experiments.tools.gpu_training import train_system
from experiments.tools.gpu_work import Race, Scale, System, Work
from results.records import Record
from sharpose.runtime.errors import InputError, Interrupted, OutOfTime, RunFailed, first_line
from sharpose.runtime.files import write_json

OUT = REPOSITORY / "runs" / "gpu"
PROGRESS = "steps.json"

SMALL = (
    System("sharpose-small", "sharpose-small-256x192", 16),
    System("vitpose-small", "vitpose-small-256x192", 14),
    System("keypoint-vit-small", "keypoint-vit-small-256x192", 10),
    System("evit-small", "evit-small-256x192", 10),
    System("dynamicvit-small", "dynamicvit-small-256x192", 10, teacher="keypoint-vit-small"),
)
SPEEDS = (
    "sharpose-base-256x192", "vitpose-base-256x192", "sharpose-small-256x192", "vitpose-small-256x192",
    "hrnet-w48-256x192", "keypoint-vit-base-256x192", "dynamicvit-base-256x192", "evit-base-256x192",
    "tome-base-256x192", "sharpose-base-384x288", "vitpose-base-384x288", "hrnet-w48-384x288",
    "sharpose-small-384x288", "simple-baseline-r152-256x192", "tokenpose-l-d24-256x192", "hrformer-base-256x192",
    "regression-vit-base-256x192", "simple-baseline-r152-384x288", "hrformer-base-384x288", "tokenpose-l-d24-384x288",
    "tokenpose-t-256x192", "sharpose-base-256x256-mpii", "hrnet-w48-256x256", "okdhp-hourglass-4-256x256",
    "tokenpose-l-d6-256x192", "simple-baseline-r152-256x256", "tokenpose-l-d24-256x256",
    "vitpose-large-256x192", "vitpose-huge-256x192",
)  # fmt: skip
"""Models of the paper's sizes, those of most tables first."""

FULL = Scale(
    systems=SMALL,
    # a batch of 16 leaves a GPU idle; the rate grows with the root of the batch, as AdamW's steps want
    changes={"batch_size": 64, "learning_rate": 5.0e-4},
    validate=("photos-val", "photos-coco"),
    crops=1_000_000,
    least_crops=20_000,
    probe_steps=60,
    speeds=SPEEDS,
    # that of the tables first
    batch_sizes=(2, 1, 32, 8, 64),
    precisions=("fp32", "bf16"),
    modes=("eager", "compiled"),
    rounds=10,
    speeds_share=15,
    races=(Race("photos", 15), Race("nano", 6)),
)

REHEARSAL = Scale(
    systems=[replace(one, model=one.model.replace("small-256x192", "nano-128x96")) for one in SMALL],
    changes={"batch_size": 4, "model_options": {"embed_dim": 24, "num_heads": 2}, "warmup_iterations": 2},
    validate=("photos-coco",),
    crops=400,
    least_crops=4,
    probe_steps=3,
    speeds=("sharpose-nano-128x96", "hrnet-nano-128x96"),
    batch_sizes=(1, 2),
    precisions=("fp32",),
    modes=("eager",),
    rounds=2,
    speeds_share=10,
    races=(Race("rehearsal", 10),),
    tiers=REPOSITORY / "experiments" / "specs" / "rehearsal" / "tiers.yaml",
)
"""The same steps by tiny models on a CPU."""


@dataclass(frozen=True)
class Step:
    """A step of a call; `do` takes its deadline (of the work's clock) and returns whether all is done, and a line."""

    name: str
    share: float
    do: Callable[[Work, float], tuple[bool, str]]


def steps(scale: Scale) -> list[Step]:
    """Return everything in order of worth."""
    return [
        Step("agreement", 4, agree),
        *(Step(one.name, one.share, partial(train_system, one)) for one in scale.systems),
        Step("speeds", scale.speeds_share, measure_speeds),
        *(Step(f"race {one.tier}", one.share, partial(race, one)) for one in scale.races),
    ]


def run(work: Work) -> dict[str, dict[str, Any]]:
    """Do every step that is not done, until the work's end; where each stands, which is also in the folder.

    Raises Interrupted after SIGTERM, with what is there kept.
    """
    path = work.folder / PROGRESS
    stands: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    todo = [step for step in steps(work.scale) if not stands.get(step.name, {}).get("done")]
    work.log(f"on {work.device}: {', '.join(step.name for step in todo) or 'nothing left to do'}")
    for number, step in enumerate(todo):
        left = work.end - work.clock()
        if left <= 0:
            work.log("out of time; the same command goes on")
            break
        deadline = work.clock() + left * step.share / sum(one.share for one in todo[number:])
        work.log(f"{step.name}: {deadline - work.clock():.0f} s")
        try:
            done, note = step.do(work, deadline)
        except OutOfTime as stop:
            done, note = False, str(stop)
        except Interrupted:
            work.log(f"{step.name}: interrupted; the same command goes on")
            raise
        # a step must not take the others with it, whatever its libraries raise
        except Exception as error:
            done, note = False, f"failed: {type(error).__name__}: {first_line(error)}"
        stands[step.name] = {"done": done, "note": note}
        write_json(path, stands)
        work.log(f"{step.name}: {note}")
    return stands


def agree(work: Work, deadline: float) -> tuple[bool, str]:
    """Compare the device's heatmaps with a CPU's, of every system, before anything rests on them."""
    worst, count, apart = (0.0, "none"), 0, 0
    for what, error, limit in gpu_agreement.errors(work.device.kind, work.scale.precisions, work.scale.modes):
        worst, count = max(worst, (error, what)), count + 1
        # NaN, too
        if not error <= limit:
            apart += 1
            work.log(f"agreement: {what} is {error:.2g} from a CPU's heatmaps, more than {limit:g}")
        if work.clock() >= deadline:
            return False, f"{count} compared, {apart} differ, the rest out of time"
    return True, f"{count} compared with a CPU, {apart} differ; the furthest {worst[0]:.1e}, {worst[1]}"


def measure_speeds(work: Work, deadline: float) -> tuple[bool, str]:
    """The speed of every model of the paper's sizes: eager first, then compiled, the precisions of one side by side."""
    made, left, failed = 0, 0, 0
    for mode, batch, name in product(work.scale.modes, work.scale.batch_sizes, work.scale.speeds):
        wanted = speeds_wanted(work, name, mode, batch)
        if not wanted:
            continue
        if work.clock() >= deadline:
            left += len(wanted)
            continue
        try:
            with ended_after(deadline - work.clock()):
                made += measure_speed(work, name, mode, batch, wanted)
        except TooLong:
            left += len(wanted)
        # a model that does not fit or compile leaves the others' numbers alone
        except Exception as error:
            failed += len(wanted)
            rest = "; its eager speed stands" if mode == "compiled" else ""
            work.log(f"speeds: {name} {mode}, batch {batch}: {type(error).__name__}: {first_line(error)}{rest}")
    return left == 0, f"{made} measured, {failed} failed, {left} left"


def speeds_wanted(work: Work, name: str, mode: str, batch: int) -> dict[str, dict[str, Any]]:
    """Return the identities, by precision, of what nobody has measured here yet."""
    how: dict[str, Any] = {"batch_size": batch, "mode": mode}
    found = {
        precision: throughput_identity(name, all_refined(name), work.device, precision=precision, **how)
        for precision in work.scale.precisions
    }
    return {precision: identity for precision, identity in found.items() if work.store.find(identity) is None}


def measure_speed(work: Work, name: str, mode: str, batch: int, wanted: Mapping[str, dict[str, Any]]) -> int:
    """Measure a model, its precisions interleaved, and store the records; how many they are."""
    import torch

    from sharpose.efficiency.throughput import measure_throughput
    from sharpose.efficiency.variants import Variant

    began = work.clock()
    variants = {one: Variant(name, all_refined(name), batch, mode, one) for one in wanted}
    found = measure_throughput(variants, device=work.device.kind, rounds=work.scale.rounds, threads=work.device.threads)
    seconds = {"seconds": round((work.clock() - began) / len(wanted), 3), "model": name}
    for precision, identity in wanted.items():
        row = f"{name} {precision} {mode}, batch {batch}"
        made = {**provenance(work.device), **seconds}
        work.store.save(Record(identity, found[precision], "gpu", row, "paper-size", made))
        work.log(f"speeds: {row}: {found[precision]['images_per_s']:.1f} images/s")
    if mode == "compiled":
        # CUDA graphs keep their memory until the compiler forgets them
        torch._dynamo.reset()
    return len(wanted)


def race(which: Race, work: Work, deadline: float) -> tuple[bool, str]:
    """Train what a tier's shared budget lacks, several systems at a time, as one small model leaves a GPU idle."""
    catalog = race_catalog(work.scale, which.tier, work.folder)
    shared = shared_budget(catalog)
    names = [name for name in shared.trainings if not catalog.weights_path(name).exists()]
    if not names:
        return True, "all weights are there"
    together = max(1, min(len(names), usable_cores() // 3)) if work.is_gpu else 1
    one = partial(race_one, catalog, work.folder, work.device.kind, time.time() + deadline - work.clock())
    states: Counter[str] = Counter()
    # a forked process cannot use CUDA
    with ProcessPoolExecutor(together, mp_context=get_context("spawn")) as pool:
        for outcome in pool.map(one, names):
            states[outcome.state] += 1
            work.log(f"race {which.tier}: {outcome.line}")
    return set(states) == {"trained"}, ", ".join(f"{count} {state}" for state, count in states.items())


def race_catalog(scale: Scale, tier: str, folder: Path) -> Catalog:
    """Return a tier, whose finished weights go where its tables look for them; a rehearsal's stay in its own folder."""
    places = Places(tiers=scale.tiers)
    return Catalog(tier, replace(places, weights=folder / "races" / "weights") if scale is REHEARSAL else places)


def race_one(catalog: Catalog, folder: Path, device: str, until: float, name: str) -> Outcome:
    """Train one system of a race in a process of its own, until `until` (seconds since 1970)."""
    gpu = device == "cuda"
    how = Training(out=folder / "races" / catalog.name, device=device, workers=2 if gpu else 0, preload=gpu)
    try:
        return train_missing(catalog.name, max(0.0, until - time.time()), [name], how, catalog)[0]
    except (InputError, RunFailed) as error:
        return Outcome(name, "failed", str(error))
