"""Signals to a whole process group, as clusters and terminals send them: a checkpoint, one line, and 75."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from sharpose.data.mannequin import annotations_path, images_path
from sharpose.training.checkpoints import checkpoints_in, latest_checkpoint

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
# torch says so where there are fewer cores than workers, and these tests compare all that is said
ENVIRONMENT["PYTHONWARNINGS"] = "ignore:This DataLoader will create"
SMALL = "model_options={embed_dim: 24, num_heads: 4, depth: 3}"
LONG = 600
"""Seconds that nothing takes, but on a machine that hangs."""


class Command:
    """`sharpose` in a session of its own; what it says is in files."""

    def __init__(self, server: subprocess.Popen[str], folder: Path, words: list[str], **how: Any) -> None:
        assert server.stdin is not None and server.stdout is not None
        self.answers, self.out, self.err = server.stdout, folder / "out", folder / "err"
        asked = {"pause": 0.0, "terminal": None, "ignore": [], "err": str(self.err), **how}
        server.stdin.write(json.dumps({"words": words, "out": str(self.out), **asked}) + "\n")
        server.stdin.flush()
        self.pid = int(self.answers.readline())
        self.code: int | None = None

    def wait_for(self, line: str) -> None:
        """Until it says a line on standard output."""
        end = time.monotonic() + LONG
        while f"{line}\n" not in (self.out.read_text() if self.out.exists() else ""):
            assert time.monotonic() < end and psutil.pid_exists(self.pid), f"never said {line!r}: {self.said}"
            time.sleep(0.02)

    def signal(self, number: int) -> None:
        """To all its processes."""
        os.killpg(self.pid, number)

    @property
    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children()

    def end(self) -> int:
        """Wait for its end; the exit code."""
        if self.code is None:
            self.code = int(self.answers.readline())
        return self.code

    @property
    def said(self) -> str:
        """On standard error."""
        return self.err.read_text() if self.err.exists() else ""


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(Path(__file__).parent / "forks.py")]
    process = subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    yield process
    process.kill()
    process.wait(LONG)


@pytest.fixture
def start(server: subprocess.Popen[str], tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Starts a command; at the end of the test nothing of it is left."""
    started: list[Command] = []

    def start(words: list[str], **how: Any) -> Command:
        started.append(Command(server, tmp_path, words, **how))
        return started[-1]

    yield start
    for command in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)
        command.end()


@pytest.fixture
def training(people_folder: Path, tmp_path: Path) -> list[str]:
    words = ["train", "--model", "sharpose-nano-128x96", "--data", str(annotations_path(people_folder, "train"))]
    words += ["--images", str(images_path(people_folder, "train")), "--out", str(tmp_path / "run")]
    return [*words, "--set", SMALL, "--set", "batch_size=4", "--set", "epochs=100"]


def check_stopped(command: Command, folder: Path, at_least: int) -> None:
    """One line, 75, and one sound checkpoint of all steps made."""
    assert command.end() == 75, command.said
    newest = latest_checkpoint(folder, pytest.fail)
    assert newest is not None and int(newest.name[5:]) >= at_least
    step = int(newest.name[5:])
    assert command.said == f"sharpose: stopped by a signal at step {step}; run the same command again to go on\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_group_leaves_a_checkpoint(
    start: Callable[..., Command], training: list[str], tmp_path: Path, number: int
) -> None:
    command = start([*training, "--workers", "2"])
    command.wait_for("step 3")
    workers = command.workers
    assert len(workers) == 2
    command.signal(number)
    check_stopped(command, tmp_path / "run", 4)
    assert not psutil.wait_procs(workers, LONG)[1]


def test_a_second_interrupt_aborts(start: Callable[..., Command], training: list[str], tmp_path: Path) -> None:
    command = start([*training, "--workers", "1"], pause=LONG)
    command.wait_for("step 0")
    command.signal(signal.SIGINT)
    # the first one waits for the end of the step, which does not come
    time.sleep(0.5)
    assert psutil.pid_exists(command.pid) and not command.said
    command.signal(signal.SIGINT)
    assert (command.end(), command.said) == (130, "sharpose: interrupted; what was complete is kept\n")


def test_a_signal_before_the_first_step(start: Callable[..., Command], training: list[str]) -> None:
    command = start(training)
    command.wait_for("begun")
    # in the imports, the data or the model: wherever it is
    time.sleep(0.05)
    command.signal(signal.SIGTERM)
    assert command.end() == 75, command.said
    assert len(command.said.splitlines()) == 1 and "run the same command again to go on" in command.said


def test_the_end_of_the_terminal_leaves_a_checkpoint(
    start: Callable[..., Command], training: list[str], tmp_path: Path
) -> None:
    ours, theirs = pty.openpty()
    terminal = os.ttyname(theirs)
    # also the progress goes there, and is read
    command = start([*training, "--workers", "1"], terminal=terminal, err=terminal)
    closing = threading.Event()
    heard = bytearray()
    reader = threading.Thread(target=read_until, args=(closing, ours, heard))
    reader.start()
    try:
        command.wait_for("step 3")
    finally:
        closing.set()
        reader.join()
        os.close(ours)
        print(heard.decode(errors="replace"))
    assert command.end() == 75
    os.close(theirs)
    newest = latest_checkpoint(tmp_path / "run", pytest.fail)
    assert newest is not None and int(newest.name[5:]) >= 4


def read_until(closing: threading.Event, terminal: int, heard: bytearray) -> None:
    while not closing.is_set():
        if select.select([terminal], [], [], 0.05)[0]:
            heard += os.read(terminal, 4096)


def test_ctrl_c_on_a_terminal_leaves_a_checkpoint(
    start: Callable[..., Command], training: list[str], tmp_path: Path
) -> None:
    ours, theirs = pty.openpty()
    command = start([*training, "--workers", "1"], terminal=os.ttyname(theirs))
    command.wait_for("step 3")
    os.write(ours, b"\x03")
    check_stopped(command, tmp_path / "run", 4)
    os.close(ours)
    os.close(theirs)


def test_what_ignores_a_signal_goes_on(start: Callable[..., Command], training: list[str]) -> None:
    """As under nohup."""
    command = start([*training, "--max-steps", "8"], ignore=[signal.SIGHUP])
    command.wait_for("step 2")
    command.signal(signal.SIGHUP)
    assert command.end() == 0, command.said


def test_a_killed_worker_is_named_and_a_checkpoint_left(
    start: Callable[..., Command], training: list[str], tmp_path: Path
) -> None:
    command = start([*training, "--workers", "2"])
    command.wait_for("step 3")
    victim = command.workers[0]
    victim.kill()
    assert command.end() == 1, command.said
    (line,) = command.said.splitlines()
    assert f"loader worker {victim.pid} was killed by SIGKILL" in line and "memory ran out" in line
    (newest,) = checkpoints_in(tmp_path / "run")
    assert int(newest.name[5:]) >= 3 and latest_checkpoint(tmp_path / "run", pytest.fail) == newest


@pytest.fixture
def evaluation(people_folder: Path, tmp_path: Path) -> list[str]:
    words = ["evaluate", "--model", "sharpose-nano-128x96", "--weights", "random", "--batch-size", "2"]
    words += ["--data", str(annotations_path(people_folder, "train")), "--workers", "2"]
    words += ["--save-results", str(tmp_path / "results.json")]
    return [*words, "--images", str(images_path(people_folder, "train"))]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_evaluation_ends_in_one_line(
    start: Callable[..., Command], evaluation: list[str], tmp_path: Path, number: int
) -> None:
    command = start(evaluation, pause=0.3)
    command.wait_for("batch 1")
    command.signal(number)
    assert command.end() == 75, command.said
    kept = "what was complete is kept; run the same command again to go on"
    assert command.said == f"sharpose: stopped by {signal.Signals(number).name}; {kept}\n"
    assert not (tmp_path / "results.json").exists()


def test_a_killed_worker_of_an_evaluation_is_named(
    start: Callable[..., Command], evaluation: list[str], tmp_path: Path
) -> None:
    command = start(evaluation, pause=0.5)
    command.wait_for("batch 0")
    for victim in command.workers:
        victim.kill()
    assert command.end() == 1, command.said
    assert command.said.count("was killed by SIGKILL") == 2 and len(command.said.splitlines()) == 1
    assert not (tmp_path / "results.json").exists()


def test_other_commands_end_with_the_code_that_shells_know(start: Callable[..., Command], tmp_path: Path) -> None:
    command = start(["data", "mannequin", "--out", str(tmp_path / "people"), "--images", "31", "--seed", "1"])
    command.wait_for("begun")
    while psutil.pid_exists(command.pid) and not list(tmp_path.rglob("*.jpg")):
        time.sleep(0.01)
    command.signal(signal.SIGINT)
    assert command.end() == 130, command.said
    assert command.said == "sharpose: interrupted by SIGINT; what was complete is kept\n"
    assert not (tmp_path / "people").exists()
