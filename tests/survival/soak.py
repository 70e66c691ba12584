"""Trains, evaluates, is disturbed, goes on, again and again: what was injected, what was survived, what it cost.

    python tests/survival/soak.py --minutes 30 --seed 0
Every round trains the same small model in spite of kills, signals to one process and to all with loader workers,
killed workers, changed pictures, a flipped bit and a full disk, and must end with the weights of the undisturbed run.
Then it is evaluated, killed and with pictures that change meanwhile, and its record must be there, the same; and it
predicts pictures and a video until the disk is full, of which whole JSON and no cut file must be left.
Standard output is one JSON document; the exit code is 1 when anything was not survived.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from kills import attempt, die_at, digest, open_people, small_recipe
from PIL import Image

from results.records import Record
from results.store import Store
from sharpose import cli
from sharpose.codecs.choice import codec_of
from sharpose.data.coco import CocoTopDown
from sharpose.data.pictures import pictures_sha256, unchanged
from sharpose.evaluation.coco import score
from sharpose.inference.dataset import predict
from sharpose.inference.drawing import DRAWN
from sharpose.inference.pictures import predict_pictures
from sharpose.inference.pose import Pose
from sharpose.inference.video import Video, predict_video, writer
from sharpose.models import create_model
from sharpose.models.output import PoseModel
from sharpose.runtime.errors import InputError, Interrupted, RunFailed
from sharpose.runtime.signals import STOP, StopOnSignal, ignore_stop_signals
from sharpose.training import checkpoints
from sharpose.training.engine import Run, train
from sharpose.weights.files import read_weights

STEPS = 20
KILLS_PER_ROUND = 3
FRAMES = 12
# what `sharpose` ends with: done, failed, refused, stopped in a way that can go on, an error that nobody caught
DONE, FAILED, REFUSED, STOPPED, FAULT = 0, 1, 2, Interrupted.exit_code, 99


class Soak:
    """One folder, one store, the undisturbed run, and counts of what happened."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng = folder, random.Random(seed)
        self.people = open_people(folder / "people")
        self.pictures = pictures_sha256(self.people.pictures)
        self.video = make_video(folder / "walk.mp4", self.people)
        self.recipe = small_recipe(STEPS, len(self.people) // 8)
        self.store = Store(folder / "store")
        self.injected: Counter[str] = Counter()
        self.survived: Counter[str] = Counter()
        self.problems: list[str] = []
        self.records: dict[str, float | None] = {}
        self.rows: dict[str, list[dict[str, object]]] = {}
        whole = self.run_in("whole")
        if attempt(whole, lambda: None) != 0:
            raise SystemExit(f"the undisturbed run failed; see {folder / 'attempts.log'}")
        self.expected = digest(whole.folder)

    def run_in(self, name: str) -> Run:
        how: dict[str, Any] = {"seed": 7, "checkpoint_every_s": 0.0, "pictures": (self.pictures,)}
        return Run("sharpose-nano-128x96", self.recipe, self.people, self.folder / name, **how)

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
        self.signal_the_group(run)
        self.kill_a_worker(run)
        self.fill_disk(run)
        self.flip_bit(run)
        self.change_pictures(run)
        finished = attempt(run, lambda: None) == 0
        self.inject("all of a round together", finished and digest(run.folder) == self.expected)
        self.measure(run, number)
        self.predict_on_a_full_disk(run)

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

    def signal_the_group(self, run: Run) -> None:
        """As clusters and terminals send it: to the training and to its loader's workers alike."""
        number = self.rng.choice(STOP)
        pid = self.start(lambda: train(replace(run, max_steps=STEPS - 4, workers=2)))
        time.sleep(self.rng.uniform(0, 0.6))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)
        ended = self.end(pid) in (DONE, STOPPED) and self.sound_or_none(run)
        self.inject(f"{signal.Signals(number).name} to the group", ended and self.nobody_left(pid))

    def kill_a_worker(self, run: Run) -> None:
        """As the kernel does where memory runs out."""
        pid = self.start(lambda: train(replace(run, max_steps=STEPS - 4, workers=2)))
        workers: list[psutil.Process] = []
        while not workers and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            workers = psutil.Process(pid).children()
            time.sleep(0.01)
        time.sleep(self.rng.uniform(0, 0.3))
        for victim in workers[:1]:
            victim.kill()
        ended = self.end(pid) in (DONE, FAILED) and self.sound_or_none(run)
        if workers:
            self.inject("killed worker", ended and self.nobody_left(pid))

    def change_pictures(self, run: Run) -> None:
        """A training does not go on with other pictures."""
        if checkpoints.latest_checkpoint(run.folder, lambda text: None) is None:
            return
        with self.one_changed():
            changed = replace(run, pictures=(pictures_sha256(self.people.pictures),))
            self.inject("changed picture while training", self.end(self.start(lambda: train(changed))) == REFUSED)

    @contextlib.contextmanager
    def one_changed(self) -> Iterator[None]:
        """Another picture in the place of one, for a while."""
        victim = self.rng.choice(self.people.pictures)
        content = victim.read_bytes()
        try:
            with Image.open(io.BytesIO(content)) as picture:
                picture.rotate(180).save(victim)
            yield
        finally:
            victim.write_bytes(content)

    def start(self, body: Callable[[], object]) -> int:
        """Run something in a process group of its own, as the command line would: with its signals and exit codes."""
        hears, began = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.dup2(os.open(self.folder / "attempts.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT), 2)
            sys.argv = ["sharpose", "train"]
            stop, code = StopOnSignal(at_once=True), FAULT
            # whatever comes, this copy of the soak ends here, and does not clear the folder that the other one uses
            try:
                with stop:
                    os.write(began, b"!")
                    body()
                    code = DONE
            except BaseException as error:
                ignore_stop_signals()
                if code != DONE:
                    message, code = cli.verdict(error, stop)
                    print(message, file=sys.stderr, flush=True)
            finally:
                os._exit(code)
        os.read(hears, 1)
        os.close(hears)
        os.close(began)
        return pid

    def end(self, pid: int) -> int:
        """The exit code of what was started; below 0 where a signal ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def nobody_left(self, group: int) -> bool:
        """Whether all workers have ended, too."""
        for _ in range(600):
            try:
                os.killpg(group, 0)
            except ProcessLookupError:
                return True
            time.sleep(0.1)
        return False

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
        """Evaluate the weights into the store; first killed at a random moment, then with a picture that changes."""
        identity = {"measure": "accuracy", "version": 1, "weights_sha256": digest(run.folder), "round": number}
        identity["pictures_sha256"] = self.pictures
        killed = self.start(lambda: self.evaluate_into_store(run, identity))
        time.sleep(self.rng.uniform(0.0, 0.4))
        os.kill(killed, signal.SIGKILL)
        self.end(killed)
        self.inject("SIGKILL while evaluating", True)
        changed = self.start(lambda: self.evaluate_into_store(run, identity))
        time.sleep(self.rng.uniform(0.0, 0.4))
        with self.one_changed():
            code = self.end(changed)
        stored = self.store.find(identity) is not None
        self.inject("changed picture while evaluating", stored if code == DONE else code in (FAILED, REFUSED))
        if self.end(self.start(lambda: self.evaluate_into_store(run, identity))) != DONE:
            self.problems.append(f"round {number}: the evaluation failed")
        found = self.store.find(identity)
        if found is not None:
            self.records[found.run_id] = found.metrics["ap"]

    def evaluate_into_store(self, run: Run, identity: dict[str, object]) -> None:
        model = self.trained(run)
        people = CocoTopDown(self.people.annotations, self.people.folder, image_size=(128, 96))
        with unchanged(people.pictures) as pictures:
            if pictures != identity["pictures_sha256"]:
                raise InputError(f"{people.folder}: not the pictures that are meant")
            metrics = score(predict(model, people, codec_of(model.config)), people, resamples=20).summary()
        with self.store.lease(Record(identity, {}, "", "", "").run_id) as mine:
            assert mine
            self.store.save(Record(identity, metrics, "soak", "round", "nano"))

    def trained(self, run: Run) -> PoseModel:
        newest = checkpoints.latest_checkpoint(run.folder)
        assert newest is not None
        model = create_model(run.model_name, **self.recipe.model_options)
        model.load_state_dict(read_weights(newest / checkpoints.WEIGHTS))
        return model

    def predict_on_a_full_disk(self, run: Run) -> None:
        """Pictures, then a video: their rows are those of an empty disk as far as they go, and no drawing is cut."""
        if not self.rows:
            self.predict_all(run, self.folder / "all")
            self.rows = rows_in(self.folder / "all")
        limit, out = self.rng.randint(300, 40_000), run.folder / "poses"

        def body() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
            self.predict_all(run, out)

        code, rows = self.end(self.start(body)), rows_in(out)
        whole = all(found == self.rows[name][: len(found)] for name, found in rows.items())
        self.inject("full disk while predicting", code in (DONE, FAILED) and whole and not cut_drawings(out))

    def predict_all(self, run: Run, out: Path) -> None:
        pose = Pose(self.trained(run), whole_picture=True, device="cpu", backend="eager")
        full: list[OSError | RunFailed] = []
        for work, source in ((predict_pictures, self.people.pictures), (predict_video, self.video)):
            try:
                work(pose, source, out)  # type: ignore[operator]
            except (OSError, RunFailed) as error:
                full.append(error)
        if full:
            raise full[0]

    def lost(self) -> int:
        """Records that were stored once and are not there any more, or say something else."""
        there = {record.run_id: record.metrics["ap"] for record in self.store.records()}
        return sum(there.get(name, "gone") != ap for name, ap in self.records.items())


def make_video(path: Path, people: CocoTopDown) -> Path:
    """A picture of people that moves sideways."""
    pixels = people.photograph(people.image_ids[0])
    with writer(path) as show:
        for number in range(FRAMES):
            show(np.roll(pixels, 4 * number, axis=1), number / 25)
    return path


def rows_in(folder: Path) -> dict[str, list[dict[str, object]]]:
    """What the keypoint files of a folder hold, by their names; each must be whole JSON."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}


def cut_drawings(folder: Path) -> list[Path]:
    """Drawings that cannot be read to their end, and files that were to become some."""
    cut = list(folder.glob(".*"))
    for path in folder.glob(f"*{DRAWN}"):
        try:
            with Image.open(path) as picture:
                picture.load()
        except OSError:
            cut.append(path)
    for path in folder.glob("*.mp4"):
        video = Video(path)
        if sum(1 for _ in video.frames()) != FRAMES or video.damage:
            cut.append(path)
    return cut


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
            for old in (*Path(folder).glob("round-*/step-*/*"), *Path(folder).glob("round-*/poses/*")):
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
