"""Cells as jobs of a real SLURM, of one machine, started for the test: an array with a limit, logs, preemption.

Needs Debian's slurm-wlm and munge, and root: `apt-get install slurm-wlm munge`, then
`pytest -m slow tests/slurm -s`. What it prints is kept in docs/slurm-test.log.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.run.jobs import latest_notes
from experiments.run.launch import Job, launch, make_executor, run_all
from experiments.run.run import status
from results.store import Store
from sharpose.data.mannequin import annotations_path, images_path
from sharpose.data.mannequin.generate import generate
from sharpose.training.checkpoints import latest_checkpoint
from tests.experiments.test_launch import SPEC, SleepsOnce, job

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OPTIONS = {"partition": "test", "cpus_per_task": 1, "time": 30}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("slurmctld") is None or shutil.which("munged") is None or os.geteuid() != 0,
        reason="needs slurm-wlm, munge and root",
    ),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("slurm")
    before = os.environ.get("SLURM_CONF")
    subprocess.run([HERE / "start.sh", folder], check=True, timeout=600)
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    try:
        yield
    finally:
        subprocess.run([HERE / "stop.sh", folder], check=True, timeout=600)
        os.environ.pop("SLURM_CONF")
        if before is not None:
            os.environ["SLURM_CONF"] = before


def ask(*command: str) -> str:
    """What a command of SLURM answers, also printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    print(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}", flush=True)
    return done.stdout


def wait_for(what: str, arrived: object, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not arrived():  # type: ignore[operator]
        assert time.monotonic() < end, f"no {what} after {seconds} s"
        time.sleep(0.5)


def test_cells_run_as_an_array_with_a_limit(cluster: None, tmp_path: Path, store: Store) -> None:
    ask("sinfo")
    spec = tmp_path / "small.yaml"
    rows = "".join(f'  - {{label: "{alpha}", set: {{model.alpha: {alpha}}}}}\n' for alpha in (0.1, 0.2))
    spec.write_text(SPEC + rows)
    seen: list[str] = []
    looking = threading.Event()

    def look() -> None:
        while not looking.wait(1):
            seen.append(ask("squeue", "--array", "--noheader", "--format=%i %T"))
            print(
                "\n".join(
                    f"sharpose status: {each.state} {each.cell.name} {each.reason or ''}"
                    for each in status([spec], store=store)
                )
            )

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        summary = launch([spec], launcher="slurm", at_once=2, options=OPTIONS, store=store)
    finally:
        looking.set()
        watcher.join()
    assert summary.measured == 4 and {each.state for each in summary.statuses} == {"stored"}
    # one array, of which never more than two were running
    assert max(text.count("RUNNING") for text in seen) in (1, 2)
    notes = latest_notes(store)
    assert len({note.job_id for note in notes.values()}) == 4
    assert len({note.job_id.split("_")[0] for note in notes.values()}) == 1
    for note in notes.values():
        assert note.state == "finished" and note.cells[0] in Path(note.log).read_text()
        print(f"{note.line}\n{Path(note.log).read_text()}")


EXEC = "exec {words}"
"""In the shell's place, so that a signal to the batch step reaches the training."""
AGAIN = "srun {words}\n[ $? -ne 75 ] || scontrol requeue $SLURM_JOB_ID"
"""As docs/scale.md says it."""


def train_in_a_job(folder: Path, *options: str, body: str = EXEC) -> str:
    """Submit a training that takes hours and has loader workers; the job's number, once a step has begun."""
    folder.mkdir()
    people = folder / "people"
    generate(people, split="train", images=12, seed=5, workers=1)
    words = [sys.executable, str(ROOT / "tests/survival/signalled.py"), str(folder), "train"]
    words += ["--model", "sharpose-nano-128x96", "--workers", "2", "--out", str(folder / "run")]
    words += ["--data", str(annotations_path(people, "train")), "--images", str(images_path(people, "train"))]
    words += ["--set", "model_options={embed_dim: 24, num_heads: 4, depth: 3}", "--set", "epochs=100000"]
    (folder / "job.sh").write_text(f"#!/bin/bash\nexport PYTHONPATH={ROOT}\n{body.format(words=shlex.join(words))}\n")
    where = [f"--chdir={ROOT}", f"--output={folder / 'log'}", "--open-mode=append"]
    how = [*where, "--cpus-per-task=1", "--time=30"]
    number = ask("sbatch", "--parsable", *how, *options, str(folder / "job.sh")).strip()
    wait_for("first step", (folder / "0.steps").exists, 600)
    return number


def let_time_end(number: str) -> None:
    """Leave a job that runs one to two minutes more, however long a busy machine took to its first step."""
    passed = ask("squeue", f"--jobs={number}", "--noheader", "--format=%M").split(":")
    ask("scontrol", "update", f"JobId={number}", f"TimeLimit={int(passed[-2]) + 2}")


def check_stopped(folder: Path, number: str) -> None:
    wait_for("end", lambda: not ask("squeue", f"--jobs={number}", "--noheader").strip(), 240)
    newest, log = latest_checkpoint(folder / "run", pytest.fail), (folder / "log").read_text()
    print(log)
    assert newest is not None and log.splitlines()[-1] == (
        f"sharpose: stopped by a signal at step {int(newest.name[5:])}; run the same command again to go on"
    )
    assert "Traceback" not in log and (folder / "0.code").read_text() == "75"
    assert "ExitCode=75:0" in ask("scontrol", "show", "job", number)


def test_a_training_whose_time_ends_leaves_a_checkpoint(cluster: None, tmp_path: Path) -> None:
    options = ["--no-requeue", "--signal=B:TERM@60"]
    number = train_in_a_job(tmp_path / "job", *options)
    let_time_end(number)
    check_stopped(tmp_path / "job", number)


def test_a_training_whose_time_ends_is_queued_again_and_goes_on(cluster: None, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    number = train_in_a_job(folder, "--requeue", "--signal=TERM@60", body=AGAIN)
    let_time_end(number)
    queue = ("squeue", f"--jobs={number}", "--noheader", "--format=%i %T %r")
    wait_for("place in the queue", lambda: "PENDING" in ask(*queue), 600)
    newest = latest_checkpoint(folder / "run", pytest.fail)
    assert newest is not None and (folder / "0.code").read_text() == "75"
    step = int(newest.name[5:])
    (folder / "0.steps").unlink()
    ask("scontrol", "update", f"JobId={number}", "StartTime=now", "TimeLimit=30")
    # it does not begin again, but with the step after the checkpoint's
    wait_for("step", (folder / "0.steps").exists, 600)
    assert int((folder / "0.steps").read_text()) >= step > 0
    ask("scancel", number)
    wait_for("end", lambda: not ask("squeue", f"--jobs={number}", "--noheader").strip(), 240)
    said = (folder / "log").read_text()
    print(said)
    assert (
        f"stopped by a signal at step {step}; run the same command again to go on" in said and "Traceback" not in said
    )


def test_a_training_of_which_every_process_hears_a_signal_leaves_a_checkpoint(cluster: None, tmp_path: Path) -> None:
    number = train_in_a_job(tmp_path / "job", "--no-requeue")
    ask("scancel", "--full", "--signal=TERM", number)
    check_stopped(tmp_path / "job", number)


def test_a_preempted_job_is_queued_again(cluster: None, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = make_executor("slurm", store, 1, OPTIONS)
    waiting: Job = job(SleepsOnce, store, "slurm")
    results: list[int] = []
    runner = threading.Thread(target=lambda: results.extend(run_all(executor, [waiting], store, 1)), daemon=True)
    runner.start()
    wait_for("start", (waiting.results / "began").exists, 120)
    ask("squeue")
    number = latest_notes(store)["x"].job_id
    # what a cluster sends before it takes a machine back
    ask("scancel", "--signal=USR2", number)
    wait_for("note", lambda: "requeued" in {note.state for note in latest_notes(store).values()}, 60)
    wait_for(
        "place in the queue",
        lambda: "PENDING" in ask("squeue", f"--jobs={number}", "--noheader", "--format=%i %T %r"),
        60,
    )
    # a requeued job waits two minutes by itself
    ask("scontrol", "update", f"JobId={number}", "StartTime=now")
    runner.join(300)
    assert results == [7]
    for path in sorted((store.local / "jobs").rglob("*.out")):
        print(f"{path.name}\n{path.read_text()}")
