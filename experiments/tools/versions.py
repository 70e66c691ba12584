"""Time a model of this checkout against the same model of an earlier commit, in one run: what the work since has won.

    python -m experiments.tools.versions --since 04e77f8^ --model sharpose-base-256x192

Each version is a process of its own, which does nothing while the other is timed. A line is added to
docs/versions-log.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from experiments.cells.provenance import REPOSITORY, local_device, provenance
from experiments.tools.module import run
from results.logs import add_lines
from sharpose.runtime.errors import InputError, RunFailed

LOG = REPOSITORY / "docs" / "versions-log.jsonl"
WARMUP = 2

# run in either checkout, so it uses only what both have
WORKER = """
import json, sys, time, torch
from sharpose.models import create_model
name, options, batch, packed = json.loads(sys.argv[1])
torch.manual_seed(0)
model = create_model(name, **options).eval()
if packed:
    from sharpose.backends.packed import pack_linears
    pack_linears(model)
images = torch.randn(batch, 3, *model.config.image_size)
print("ready", sys.modules["sharpose"].__file__, flush=True)
with torch.inference_mode():
    for line in sys.stdin:
        began = time.perf_counter()
        model(images)
        print(time.perf_counter() - began, flush=True)
"""


class Worker:
    """A version's process: each `time` is one forward pass, in seconds.

    Raises RunFailed where another checkout's package is imported.
    """

    def __init__(self, checkout: Path, request: Sequence[Any]) -> None:
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        command = [sys.executable, "-c", WORKER, json.dumps(request)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, cwd=checkout, env=environment, **pipes)
        loaded = self.answer().split()[-1]
        if not Path(loaded).is_relative_to(checkout.resolve()):
            raise RunFailed(f"{loaded} was imported in place of {checkout}'s own package")

    def time(self) -> float:
        """Return the seconds of one forward pass. Raises RunFailed where the process ended."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self.answer())

    def answer(self) -> str:
        """Wait for a line of the process. Raises RunFailed where it ended instead."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RunFailed("a version ended while it was timed; its error is above")
        return line

    def close(self) -> None:
        """End the process by closing its input, and wait for it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def compare(since: str, model: str, options: dict[str, Any], batch_size: int, rounds: int) -> dict[str, Any]:
    """Return the milliseconds of a batch by version, `before`, `now` and `now_packed`, and the speed-ups.

    How many times as fast the last two are is a median over rounds. Raises InputError for a commit that is not there.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "before"
        git("worktree", "add", "--detach", str(folder), since)
        stack.callback(git, "worktree", "remove", "--force", str(folder))
        workers: dict[str, Worker] = {}
        for label, checkout, packed in (
            ("before", folder, False),
            ("now", REPOSITORY, False),
            ("now_packed", REPOSITORY, True),
        ):
            workers[label] = Worker(checkout, [model, options, batch_size, packed])
            stack.callback(workers[label].close)
        samples: dict[str, list[float]] = {label: [] for label in workers}
        order, chance = list(workers), random.Random(0)
        for turn in range(WARMUP + rounds):
            chance.shuffle(order)
            for label in order:
                taken = workers[label].time()
                if turn >= WARMUP:
                    samples[label].append(1e3 * taken)
    faster = {
        label: statistics.median(old / new for old, new in zip(samples["before"], samples[label], strict=True))
        for label in ("now", "now_packed")
    }
    return {
        "since": git("rev-parse", "--short", since),
        "model": model,
        "options": options,
        "batch_size": batch_size,
        "rounds": rounds,
        **{f"{label}_ms": round(statistics.median(taken), 2) for label, taken in samples.items()},
        **{f"{label}_times_as_fast": round(value, 3) for label, value in faster.items()},
        "samples_ms": {label: [round(one, 2) for one in taken] for label, taken in samples.items()},
    }


def git(*arguments: str) -> str:
    """Return what git prints, run in the checkout. Raises InputError with git's last line where it fails."""
    done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"git {' '.join(arguments)}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout.strip()


def main() -> None:
    """Time both versions, append a line to the log, and print it without its samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--since", required=True, help="the earlier commit")
    parser.add_argument("--model", default="sharpose-base-256x192")
    parser.add_argument("--options", type=json.loads, default={"quality_threshold": None}, help="JSON")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=12)
    chosen = parser.parse_args()
    found = compare(chosen.since, chosen.model, chosen.options, chosen.batch, chosen.rounds)
    add_lines(LOG, [{**found, **provenance(local_device("cpu"))}])
    print(json.dumps({key: value for key, value in found.items() if key != "samples_ms"}, indent=1))


if __name__ == "__main__":
    run(main)
