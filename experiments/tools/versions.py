"""Time a model of this checkout against the same model of an earlier commit, in one run: what the work since has won.

    python -m experiments.tools.versions --since 04e77f8^ --model sharpose-base-256x192

Each version is a process of its own, which does nothing while the other is timed. A line is added to
docs/versions-log.jsonl.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from experiments.cells.provenance import REPOSITORY, local_device, provenance
from experiments.tools.module import options, run
from results.logs import add_lines
from sharpose.efficiency.timing import interleave
from sharpose.runtime.errors import InputError, RunFailed

LOG = REPOSITORY / "docs" / "versions-log.jsonl"

# run in either checkout, so it uses only what both have
WORKER = """
import json, sys, torch
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
        model(images)
        print("done", flush=True)
"""


@contextmanager
def version(checkout: Path, request: Sequence[Any]) -> Iterator[Callable[[], None]]:
    """Start a version's process, and give a call that returns after one forward pass there; it ends with the block.

    Raises RunFailed where another checkout's package is imported, and so does the call where the process ended.
    """
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-c", WORKER, json.dumps(request)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=checkout, env=environment, **pipes) as process:
        answers = process.stdout
        assert answers is not None

        def answer() -> str:
            line = answers.readline()
            if not line:
                raise RunFailed("a version ended while it was timed; its error is above")
            return str(line)

        def forward() -> None:
            print("go", file=process.stdin, flush=True)
            answer()

        loaded = answer().split()[-1]
        if not Path(loaded).is_relative_to(checkout.resolve()):
            raise RunFailed(f"{loaded} was imported in place of {checkout}'s own package")
        yield forward


def compare(since: str, model: str, options: dict[str, Any], batch_size: int, rounds: int) -> dict[str, Any]:
    """Return the milliseconds of a batch by version, `before`, `now` and `now_packed`, and the speed-ups.

    How many times as fast the last two are is a median over rounds. Raises InputError for a commit that is not there.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "before"
        git("worktree", "add", "--detach", str(folder), since)
        stack.callback(git, "worktree", "remove", "--force", str(folder))
        checkouts = {"before": (folder, False), "now": (REPOSITORY, False), "now_packed": (REPOSITORY, True)}
        calls = {
            label: stack.enter_context(version(checkout, [model, options, batch_size, packed]))
            for label, (checkout, packed) in checkouts.items()
        }
        timed = interleave(calls, "cpu", rounds, 2)
    samples = {label: [1e3 * one.wall_s for one in taken] for label, taken in timed.items()}
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
    parser = options(__doc__)
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
