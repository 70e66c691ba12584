"""Cells as jobs on this machine: one each, stored, logged, shown, and queued again when preempted."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psutil
import pytest

from experiments.run import launch as module
from experiments.run.jobs import JobNote, jobs_folder, latest_notes, write_note
from experiments.run.launch import Job, launch, make_executor, run_all
from experiments.run.run import status
from results.store import Store
from sharpose.runtime.errors import InputError, RunFailed

SPEC = """\
title: "A small table"
base: {model: sharpose-nano-128x96, dataset: coco-val}
measure: [cost]
columns: [gflops]
rows:
  - {label: "0.3", set: {model.alpha: 0.3}}
  - {label: "1.0", set: {model.alpha: 1.0}}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SPEC)
    return path


def test_every_cell_is_a_job_of_its_own(spec: Path, store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    summary = launch([spec], launcher="local", at_once=2, store=store)
    assert summary.measured == 2 and {each.state for each in summary.statuses} == {"stored"}
    notes = latest_notes(store)
    assert {name: note.state for name, note in notes.items()} == {
        "small 0.3: cost": "finished",
        "small 1.0: cost": "finished",
    }
    assert notes["small 0.3: cost"].job_id != notes["small 1.0: cost"].job_id
    for note in notes.values():
        # the job says what it measures in its own log
        assert note.cells[0] in Path(note.log).read_text()
        assert note.log in capfd.readouterr().err + note.log
    assert launch([spec], launcher="local", store=store).measured == 0


class Fails(Job):
    def __call__(self) -> int:
        raise ValueError("no such thing")


class SleepsOnce(Job):
    """Waits to be preempted in its first attempt, and is done at once in its second."""

    def __call__(self) -> int:
        mark = self.results / "began"
        if mark.exists():
            return 7
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text("")
        time.sleep(120)
        return 0


def job(kind: type[Job], store: Store, launcher: str = "local") -> Job:
    return kind(("6a",), ("x",), "nano", "cpu", None, False, store.local.parent.resolve(), launcher)


def test_failed_and_preempted_jobs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    executor = make_executor("local", store, 2, {})
    submitted = module.submit

    def submit(*arguments):
        pairs = submitted(*arguments)
        for one, handle in pairs:
            if isinstance(one, SleepsOnce) and not (one.results / "began").exists():
                while not (one.results / "began").exists():
                    time.sleep(0.05)
                # as a cluster announces that it takes the machine back
                for process in psutil.Process(handle._process.pid).children():
                    process.send_signal(signal.SIGUSR2)
        return pairs

    monkeypatch.setattr(module, "submit", submit)
    results = []
    with pytest.raises(RunFailed, match=r"1 of 2 jobs failed.*: x: see .*\.err"):
        results.extend(iter_results(executor, [job(Fails, store), job(SleepsOnce, store)], store, results))
    assert results == [7]


def iter_results(executor, jobs, store, results):
    for result in run_all(executor, jobs, store, 2):
        results.append(result)
    return []


def test_status_shows_jobs_and_logs(spec: Path, store: Store) -> None:
    write_note(store, JobNote(("small 0.3: cost",), "slurm", "12_3", "/logs/12_3.err", "submitted"))
    write_note(
        store, JobNote(("small 1.0: cost",), "slurm", "12_4", "/logs/12_4.err", "failed", message="OSError: full")
    )
    lines = {each.cell.row: each.reason for each in status([spec], store=store)}
    assert "slurm job 12_3 submitted at" in lines["0.3"] and "log /logs/12_3.err" in lines["0.3"]
    assert "slurm job 12_4 failed at" in lines["1.0"] and "(OSError: full)" in lines["1.0"]
    # late news of the launcher do not hide what the job itself said
    write_note(store, JobNote(("small 1.0: cost",), "slurm", "12_4", "/logs/12_4.err", "submitted"))
    assert latest_notes(store)["small 1.0: cost"].state == "failed"
    (jobs_folder(store) / "slurm-13.json").write_text('{"cells": 3')
    assert len(latest_notes(store)) == 2


def test_bad_launchers_are_one_line(store: Store) -> None:
    with pytest.raises(InputError, match="must be one of local, slurm"):
        make_executor("pbs", store, 1, {})
    with pytest.raises(InputError, match="--launcher slurm"):
        make_executor("local", store, 1, {"partition": "gpu"})
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL


def test_a_cluster_that_is_not_there_and_unknown_options(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(InputError, match="--launcher slurm: "):
        make_executor("slurm", store, 1, {})
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(InputError, match=r"--launcher slurm: .*nonsense"):
        make_executor("slurm", store, 1, {"nonsense": 1})
