"""Runs `sharpose` again and again, each time as a forked process that leads a session of its own: torch is loaded once.

A line of JSON on standard input starts one: its words, files for standard output and error, a terminal to take or None,
signals to ignore, and how long every step and batch pauses. Answers with a line that has its process id, and with
another that has its exit code, or minus the signal that ended it. The process says each step and batch that it begins.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import termios
import time
from typing import Any

import torch

from sharpose import cli
from sharpose.inference import dataset as predictions
from sharpose.training import loop

original, batches = loop.learning_rate, predictions.sample_batches
pause = 0.0


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def rate(recipe: Any, step: int, per_epoch: int) -> float:
    say(f"step {step}")
    time.sleep(pause)
    return original(recipe, step, per_epoch)


def sample_batches(loader: Any) -> Any:
    for number, batch in enumerate(batches(loader)):
        say(f"batch {number}")
        time.sleep(pause)
        yield batch


def run(words: list[str], out: str, err: str, terminal: str | None, ignore: list[int]) -> None:
    os.setsid()
    if terminal is not None:
        os.dup2(os.open(terminal, os.O_RDWR), 0)
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT, 0o644), 1)
    os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT, 0o644), 2)
    # as a process finds them that begins with these files
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    for number in ignore:
        signal.signal(number, signal.SIG_IGN)
    sys.argv = ["sharpose", *words]
    say("begun")
    cli.main()


loop.learning_rate = rate
predictions.sample_batches = sample_batches  # type: ignore[assignment]
torch.set_num_threads(1)
for line in sys.stdin:
    asked = json.loads(line)
    pause = asked.pop("pause")
    pid = os.fork()
    if pid == 0:
        run(**asked)
        # an ordinary end, with all that belongs to it
        sys.exit(0)
    print(pid, flush=True)
    status = os.waitpid(pid, 0)[1]
    print(os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status), flush=True)
