"""Trains a small model that is killed again and again, and one that is not; prints both digests of the weights.

A program of its own, because it forks: torch is imported once, and every attempt is a process that can be killed.
    python tests/survival/kills.py --kills 20 --seed 1 --out FOLDER
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sharpose.data.augment import Augmentation
from sharpose.data.coco import CocoTopDown
from sharpose.data.mannequin import annotations_path, images_path
from sharpose.data.mannequin.generate import generate
from sharpose.training import checkpoints, loop
from sharpose.training.engine import Run, train
from sharpose.training.recipe import Recipe

STEPS_PER_KILL = 3
# every call of one of these is a moment at which a run may die
PLACES: tuple[tuple[Any, str], ...] = (
    (loop, "learning_rate"),
    (checkpoints, "save_file"),
    (torch, "save"),
    (checkpoints, "write_json"),
    (checkpoints, "sha256_of"),
    (os, "fsync"),
    (Path, "replace"),
    (checkpoints, "sync_folder"),
    (checkpoints, "prune"),
    (shutil, "rmtree"),
)


def small_recipe(steps: int, per_epoch: int) -> Recipe:
    """All that a resumed run has to repeat: several stages, alphas, dropped paths, augmentation, decay."""
    return Recipe(
        epochs=steps / per_epoch,
        batch_size=8,
        learning_rate=1e-3,
        layer_decay=1.0,
        warmup_iterations=5,
        milestones=(),
        linear_decay_epochs=2,
        sigma=1.5,
        coarse_only_epochs=1,
        quality_start_epoch=2,
        alphas=(0.0, 0.5, 1.0),
        model_options={"embed_dim": 24, "num_heads": 4, "depth": 3, "drop_path": 0.2, "oks_target": "paper"},
    )


def open_people(folder: Path) -> CocoTopDown:
    if not folder.exists():
        generate(folder, split="train", images=12, seed=5, workers=1)
    return CocoTopDown(
        annotations_path(folder, "train"),
        images_path(folder, "train"),
        image_size=(128, 96),
        augmentation=Augmentation(),
        preload=True,
        seed=3,
    )


def die_at(moment: int, note: Path) -> None:
    """Make this process kill itself at the given moment; what it was writing is then half there."""
    left = moment

    def wrapped(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left > 0:
                return original(*arguments, **named)
            if name in ("save_file", "write_json"):
                original(*arguments, **named)
                target = arguments[1] if name == "save_file" else arguments[0]
                os.truncate(target, target.stat().st_size // 2)
            note.write_text(name)
            os.kill(os.getpid(), signal.SIGKILL)

        return call

    for owner, name in PLACES:
        setattr(owner, name, wrapped(name, getattr(owner, name)))


def attempt(run: Run, before: Callable[[], None], kill_after_s: float | None = None) -> int:
    """Train in a forked process; its wait status. Standard error of the attempt goes to a log."""
    pid = os.fork()
    if pid == 0:
        with (run.folder.parent / "attempts.log").open("a") as log:
            os.dup2(log.fileno(), 2)
        before()
        code = 0
        try:
            train(run)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            code = 1
        os._exit(code)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def survive(run: Run, kills: int, rng: random.Random) -> Counter[str]:
    """Train to the end in spite of `kills` deaths; where they happened."""
    died: Counter[str] = Counter()
    note = run.folder.parent / "note"
    while sum(died.values()) < kills:
        # with workers or without: the order of the people does not depend on them
        run = Run(**{**vars(run), "workers": rng.choice((0, 0, 0, 1, 2))})
        by_clock = rng.random() < 0.25
        moment, delay = rng.randint(1, 60), rng.uniform(0.05, 0.5)
        note.write_text("clock")
        status = attempt(
            run, (lambda: None) if by_clock else (lambda m=moment: die_at(m, note)), delay if by_clock else None
        )
        if os.WIFSIGNALED(status):
            died[note.read_text()] += 1
        elif os.WEXITSTATUS(status):
            raise SystemExit(f"an attempt failed instead of dying; see {run.folder.parent / 'attempts.log'}")
        else:
            raise SystemExit(f"the run ended after {sum(died.values())} kills; give it more steps")
    if attempt(run, lambda: None) != 0:
        raise SystemExit(f"the last attempt failed; see {run.folder.parent / 'attempts.log'}")
    return died


def digest(folder: Path) -> str:
    """Of the weights in the last checkpoint, by name, which must be sound."""
    newest = checkpoints.latest_checkpoint(folder)
    assert newest is not None
    return hashlib.sha256((newest / checkpoints.WEIGHTS).read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    people = open_people(arguments.out / "people")
    per_epoch, steps = len(people) // 8, 4 + STEPS_PER_KILL * arguments.kills
    recipe = small_recipe(steps, per_epoch)
    whole = Run("sharpose-nano-128x96", recipe, people, arguments.out / "whole", seed=arguments.seed)
    assert attempt(whole, lambda: None) == 0, (arguments.out / "attempts.log").read_text()
    killed = Run(**{**vars(whole), "folder": arguments.out / "killed", "checkpoint_every_s": 0.0})
    died = survive(killed, arguments.kills, random.Random(arguments.seed))
    digests = {"whole": digest(whole.folder), "killed": digest(killed.folder)}
    print(json.dumps({"steps": steps, "kills": sum(died.values()), "during": dict(died), **digests}))


if __name__ == "__main__":
    main()
