"""Batches of a loader whose workers die."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator

import pytest
from torch.utils.data import DataLoader

from sharpose.data import batches


def closes_its_files_long_before_its_end() -> None:
    os.closerange(3, 256)
    time.sleep(0.5)
    os._exit(7)


def cut_off() -> Iterator[None]:
    raise ConnectionResetError("Connection reset by peer")
    yield


def test_a_worker_whose_files_are_closed_before_it_has_ended_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = multiprocessing.get_context("fork").Process(target=closes_its_files_long_before_its_end)
    worker.start()
    monkeypatch.setattr(batches, "started", lambda loader: (cut_off(), [worker]))
    with pytest.raises(batches.WorkerDied, match=rf"loader worker {worker.pid} ended with exit code 7"):
        list(batches.sample_batches(DataLoader([1])))
