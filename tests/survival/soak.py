"""Trains, evaluates, is disturbed, goes on, again and again: what was injected, what was survived, what it cost.

    python tests/survival/soak.py --minutes 30 --seed 0
Every round trains the same small model in spite of kills, a signal, a flipped bit and a full disk, and must end
with the weights of the undisturbed run; then it is evaluated, killed meanwhile, and its record must be there,
the same.
Standard output is one JSON document; the exit code is 1 when anything was not survived.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import torch
from kills import attempt, die_at, digest, open_people, small_recipe

from results.records import Record
from results.store import Store
from sharpose.codecs.choice import codec_of
from sharpose.data.coco import CocoTopDown
from sharpose.evaluation.coco import score
from sharpose.inference.dataset import predict
from sharpose.models import create_model
from sharpose.runtime.errors import Interrupted, RunFailed
from sharpose.training import checkpoints
from sharpose.training.engine import Run, train
from sharpose.weights.files import read_weights

STEPS = 20
KILLS_PER_ROUND = 3


class Soak:
    """One folder, one store, the undisturbed run, and counts of what happened."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng = folder, random.Random(seed)
        self.people = open_people(folder / "people")
        self.recipe = small_recipe(STEPS, len(self.people) // 8)
        self.store = Store(folder / "store")
        self.injected: Counter[str] = Counter()
        self.survived: Counter[str] = Counter()
        self.problems: list[str] = []
        self.records: dict[str, float | None] = {}
        whole = self.run_in("whole")
        if attempt(whole, lambda: None) != 0:
            raise SystemExit(f"the undisturbed run failed; see {folder / 'attempts.log'}")
        self.expected = digest(whole.folder)

    def run_in(self, name: str) -> Run:
        return Run("sharpose-nano-128x96", self.recipe, self.people, self.folder / name, seed=7, checkpoint_every_s=0.0)

    def inject(self, fault: str, happened: bool) -> None:
        """Count a fault, and whether it had the effect that it should have."""
        self.injected[fault] += 1
        if happened:
            self.survived[fault] += 1
        else:
            self.problems.append(f"round {len(self.records)}: {fault} was not survived")

    def round(self, number: int) -> None:
        run = self.run_in(f"round-{number}")
        self.kill(run)
        self.interrupt(run)
        self.fill_disk(run)
        self.flip_bit(run)
        finished = attempt(run, lambda: None) == 0
        self.inject("all of a round together", finished and digest(run.folder) == self.expected)
        self.measure(run, number)

    def kill(self, run: Run) -> None:
        note = self.folder / "note"
        for _ in range(KILLS_PER_ROUND):
            moment = self.rng.randint(1, 60)
            disturbed = replace(run, workers=self.rng.choice((0, 0, 1)), max_steps=STEPS - 5)
            status = attempt(disturbed, lambda m=moment: die_at(m, note))
            # a run that came to its end first was not disturbed
            if os.WIFSIGNALED(status):
                self.inject("SIGKILL while training", self.sound_or_none(run))

    def interrupt(self, run: Run) -> None:
        moment = self.rng.uniform(0, 0.2)

        def body() -> None:
            signal.setitimer(signal.ITIMER_REAL, moment)
            signal.signal(signal.SIGALRM, lambda number, frame: os.kill(os.getpid(), signal.SIGTERM))
            # a signal before the loop ends the process, as it does any other
            signal.signal(signal.SIGTERM, lambda number, frame: os._exit(75))

        self.in_child("SIGTERM", replace(run, max_steps=STEPS - 4), body, Interrupted)

    def fill_disk(self, run: Run) -> None:
        def body() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

        self.in_child("full disk", replace(run, max_steps=STEPS - 3), body, RunFailed)

    def in_child(self, fault: str, run: Run, body: Callable[[], None], wanted: type[Exception]) -> None:
        """Train with a disturbance; the child exits with 0 at its end and with 75 where `wanted` was raised."""
        pid = os.fork()
        if pid == 0:
            log = os.open(self.folder / "attempts.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.dup2(log, 2)
            try:
                body()
                train(run)
                os._exit(0)
            except wanted:
                os._exit(75)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
        status = os.waitpid(pid, 0)[1]
        self.inject(fault, os.WIFEXITED(status) and os.WEXITSTATUS(status) in (0, 75) and self.sound_or_none(run))

    def flip_bit(self, run: Run) -> None:
        newest = checkpoints.latest_checkpoint(run.folder, lambda text: None)
        if newest is None:
            return
        victim = newest / self.rng.choice(checkpoints.PARTS)
        content = bytearray(victim.read_bytes())
        content[self.rng.randrange(len(content))] ^= 1 << self.rng.randrange(8)
        victim.write_bytes(content)
        found = checkpoints.latest_checkpoint(run.folder, lambda text: None)
        self.inject("flipped bit", found != newest)

    def sound_or_none(self, run: Run) -> bool:
        """Whether a checkpoint verifies, or none was finished yet."""
        finished = list(run.folder.glob("step-*"))
        return not finished or checkpoints.latest_checkpoint(run.folder, lambda text: None) is not None

    def measure(self, run: Run, number: int) -> None:
        """Evaluate the weights into the store; the first attempt is killed at a random moment."""
        identity = {"measure": "accuracy", "version": 1, "weights_sha256": digest(run.folder), "round": number}
        for delay in (self.rng.uniform(0.0, 0.4), None):
            pid = os.fork()
            if pid == 0:
                self.evaluate_into_store(run, identity)
                os._exit(0)
            if delay is not None:
                time.sleep(delay)
                os.kill(pid, signal.SIGKILL)
            status = os.waitpid(pid, 0)[1]
            if delay is not None:
                self.inject("SIGKILL while evaluating", True)
            elif status != 0:
                self.problems.append(f"round {number}: the evaluation failed")
        found = self.store.find(identity)
        if found is not None:
            self.records[found.run_id] = found.metrics["ap"]

    def evaluate_into_store(self, run: Run, identity: dict[str, object]) -> None:
        newest = checkpoints.latest_checkpoint(run.folder)
        assert newest is not None
        model = create_model(run.model_name, **self.recipe.model_options)
        model.load_state_dict(read_weights(newest / checkpoints.WEIGHTS))
        people = CocoTopDown(self.people.annotations, self.people.folder, image_size=(128, 96))
        metrics = score(predict(model, people, codec_of(model.config)), people, resamples=20).summary()
        with self.store.lease(Record(identity, {}, "", "", "").run_id) as mine:
            assert mine
            self.store.save(Record(identity, metrics, "soak", "round", "nano"))

    def lost(self) -> int:
        """Records that were stored once and are not there any more, or say something else."""
        there = {record.run_id: record.metrics["ap"] for record in self.store.records()}
        return sum(there.get(name, "gone") != ap for name, ap in self.records.items())


def memory_mib() -> float:
    return psutil.Process().memory_info().rss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="sharpose-soak-") as folder:
        soak = Soak(Path(folder), given.seed)
        began, rounds, memory = time.monotonic(), 0, []
        while rounds == 0 or time.monotonic() - began < given.minutes * 60:
            soak.round(rounds)
            rounds += 1
            memory.append(memory_mib())
            for old in Path(folder).glob("round-*/step-*/*"):
                old.unlink()
            print(
                f"round {rounds}: {sum(soak.injected.values())} faults, {memory[-1]:.0f} MiB",
                file=sys.stderr,
                flush=True,
            )
        lost = soak.lost() + rounds - len(soak.records)
        different = len(set(soak.records.values())) - 1
    report = {
        "minutes": round((time.monotonic() - began) / 60, 1),
        "rounds": rounds,
        "faults_injected": dict(soak.injected),
        "faults_survived": dict(soak.survived),
        "memory_growth_mib": round(memory[-1] - memory[0], 1),
        "peak_memory_of_a_run_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        "records": len(soak.records),
        "records_lost": lost,
        "records_that_differ": different,
        "problems": soak.problems,
    }
    print(json.dumps(report, indent=1))
    sys.exit(1 if soak.problems or lost or different else 0)


if __name__ == "__main__":
    main()
