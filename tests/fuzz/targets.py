"""Every reader of files that others make, and what it may raise: the one-line errors of this project, nothing else."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import math
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from experiments.spec.reading import load_spec
from results.records import StoreError, read
from sharpose import cli
from sharpose.cli.app import parse_settings
from sharpose.data.annotations import load_detections, load_pose_file, parse_pose_file
from sharpose.data.coco import ground_truth_instances
from sharpose.data.doctor import examine
from sharpose.data.images import read_image
from sharpose.inference.video import Video
from sharpose.models.registry import resolve_config
from sharpose.runtime.errors import InputError, RunFailed
from sharpose.runtime.files import sha256_of
from sharpose.training.checkpoints import (
    MANIFEST,
    OPTIMIZER,
    PARTS,
    STATE,
    WEIGHTS,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from sharpose.training.recipe import load_recipe
from sharpose.weights.files import read_weights
from sharpose.weights.reading import read_checkpoint
from tests.fuzz import cases

MEMORY_BYTES = 2 * 2**30
SECONDS = 20
ERRORS = (InputError, StoreError, RunFailed)


@dataclass(frozen=True)
class Target:
    """`read` is given a file called `name` with each case's content.

    `content` makes cases that hypothesis can shrink; `edit` makes one from a generator of random numbers, much faster.
    """

    name: str
    content: st.SearchStrategy[bytes]
    edit: Callable[[Random], bytes]
    read: Callable[[Path], object]


def pose_people(path: Path) -> None:
    ground_truth_instances(load_pose_file(path))


def doctor_and_training(path: Path) -> None:
    """What the doctor calls healthy is accepted, with as many people as it counted."""
    found = examine(path)
    if found.healthy:
        assert len(ground_truth_instances(load_pose_file(path))) == found.counts["people to train on"]
    else:
        load_pose_file(path)


def setting(path: Path) -> None:
    text = path.read_bytes().decode("utf-8", "replace")
    resolve_config("sharpose-nano-128x96", **parse_settings([text]))


def detections(path: Path) -> None:
    load_detections(path, parse_pose_file(json.loads(json.dumps(cases.POSE)), Path("people.json")))


def both_ways(path: Path) -> None:
    with contextlib.suppress(*ERRORS):
        read_image(path)
    read_image(path, upright=True)


def every_frame(path: Path) -> None:
    """At most so many that a file which claims thousands ends in time."""
    for frame in itertools.islice(Video(path).frames(), 200):
        assert frame.pixels.ndim == 3 and math.isfinite(frame.time)


def command(*arguments: str) -> Callable[[Path], None]:
    """A command on the file: it must end by itself with 0, 1 or 2, in one line where it complains."""

    def run(path: Path) -> None:
        before, sys.argv = sys.argv, ["sharpose", *(text.replace("FILE", str(path)) for text in arguments)]
        said, code = io.StringIO(), None
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
                cli.main()
        except SystemExit as end:
            code = end.code
        finally:
            sys.argv = before
        assert code in (None, 0, 1, 2), code
        assert code != 2 or len(said.getvalue().strip().splitlines()) == 1, said.getvalue()

    return run


def training_checkpoint(part: str) -> Callable[[Path], None]:
    """A checkpoint whose `part` is the case, with a manifest that agrees with it."""

    def run(path: Path) -> None:
        model = torch.nn.Linear(4, 3)
        optimizer = torch.optim.AdamW(model.parameters())
        folder = path.parent / "run"
        good = save_checkpoint(folder, model, optimizer, {"step": 1})
        shutil.copy(path, good / part)
        if part != MANIFEST:
            (good / MANIFEST).write_text(json.dumps({name: sha256_of(good / name) for name in PARTS}))
        try:
            newest = latest_checkpoint(folder, lambda text: None)
            if newest is not None:
                load_checkpoint(newest, model, optimizer)
        finally:
            shutil.rmtree(folder)

    return run


def document(name: str, tree: Any, dump: Callable[[Any], bytes], read: Callable[[Path], object]) -> Target:
    return Target(name, cases.documents([tree], dump), lambda rng: cases.edit_document(rng, [tree], dump), read)


def binary(name: str, seeds: list[bytes], read: Callable[[Path], object]) -> Target:
    return Target(name, cases.broken_bytes(seeds), lambda rng: cases.edit_bytes(rng, seeds), read)


def capped(path: Path) -> None:
    read_checkpoint(path, max_bytes=2**26)


def targets() -> dict[str, Target]:
    """Every reader, by the kind of file."""
    json_file, yaml_file, torch_files = cases.as_json, cases.as_yaml, cases.torch_files()
    tensors = cases.safetensors(), cases.edit_safetensors
    state = {"step": 1, "wall_s": 1.0, "log": [{"step": 0}], "identity": {}}
    return {
        "specs": document("spec.yaml", cases.SPEC, yaml_file, load_spec),
        "recipes": document("recipe.yaml", cases.RECIPE, yaml_file, load_recipe),
        "annotations": document("people.json", cases.POSE, json_file, pose_people),
        "doctor and training": document("people.json", cases.POSE, json_file, doctor_and_training),
        "settings": binary(
            "setting.txt", [b"alpha=.3", b"image_size=[128, 96]", b"depth=3", b"semantics=paper"], setting
        ),
        "detections": document("boxes.json", cases.DETECTIONS, json_file, detections),
        "images": binary("image.jpg", cases.image_files(), both_ways),
        "videos": binary("walk.mp4", cases.video_files(), every_frame),
        "pickled checkpoints": binary("model.pth", torch_files, capped),
        "safetensors": Target("model.safetensors", *tensors, capped),
        "weights": Target("weights.safetensors", *tensors, read_weights),
        "records": Target("c6d5dd3e6bd6d2c0.json", cases.records(), cases.edit_record, read),
        "doctor": document("people.json", cases.POSE, json_file, command("data", "doctor", "FILE")),
        "status": document("spec.yaml", cases.SPEC, yaml_file, command("status", "FILE")),
        "training weights": Target(WEIGHTS, *tensors, training_checkpoint(WEIGHTS)),
        "training moments": binary(OPTIMIZER, torch_files, training_checkpoint(OPTIMIZER)),
        "training state": document(STATE, state, json_file, training_checkpoint(STATE)),
        "training manifest": document(
            MANIFEST, dict.fromkeys(PARTS, "0" * 64), json_file, training_checkpoint(MANIFEST)
        ),
    }


class Hang(BaseException):
    """A case took longer than SECONDS of this process's time, or ten times that by the clock."""


def ring(number: int, frame: object) -> None:
    raise Hang(f"longer than {SECONDS} s of its own time, or ten times that by the clock")


def set_bells(seconds: float) -> None:
    """A machine that is busy with other things must not make a case look like a hang, nor a sleeping case be missed."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 10 * seconds)


@contextlib.contextmanager
def bounds() -> Iterator[None]:
    """At most MEMORY_BYTES more than now; SECONDS per case, set anew by each."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    handlers = {number: signal.signal(number, ring) for number in (signal.SIGALRM, signal.SIGPROF)}
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_BYTES, before[1]))
    try:
        yield
    finally:
        set_bells(0)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def attempt(target: Target, folder: Path, content: bytes) -> str:
    """Read one case; whether it was accepted or refused. Anything but a one-line error of ours is raised."""
    path = folder / target.name
    path.write_bytes(content)
    set_bells(SECONDS)
    complaint = None
    try:
        target.read(path)
    except ERRORS as error:
        complaint = str(error).strip()
    finally:
        set_bells(0)
    assert complaint is None or (complaint and "\n" not in complaint), complaint
    assert not os.path.lexists(cases.CANARY), "code from a file was run"
    left = sorted(entry.name for entry in folder.iterdir())
    assert left == [target.name], f"files appeared: {left}"
    return "accepted" if complaint is None else "refused"


def try_cases(target: Target, folder: Path, examples: int, number: int) -> dict[str, int]:
    """`examples` cases that follow from the seed `number`; how many were accepted and refused."""
    outcomes = {"accepted": 0, "refused": 0}
    folder.mkdir(parents=True, exist_ok=True)

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(content=target.content)
    def run(content: bytes) -> None:
        outcomes[attempt(target, folder, content)] += 1

    with bounds():
        run()
    (folder / target.name).unlink(missing_ok=True)
    return outcomes


def try_many(target: Target, folder: Path, number: int, count: int) -> dict[str, int]:
    """`count` cases of the seed `number`, without hypothesis; an error that escapes says at which case."""
    outcomes = {"accepted": 0, "refused": 0}
    folder.mkdir(parents=True, exist_ok=True)
    rng = Random(number)
    with bounds():
        for index in range(count):
            content = target.edit(rng)
            try:
                outcomes[attempt(target, folder, content)] += 1
            except BaseException as error:
                error.add_note(f"case {index} of seed {number}: {content[:400]!r}")
                raise
    (folder / target.name).unlink(missing_ok=True)
    return outcomes
