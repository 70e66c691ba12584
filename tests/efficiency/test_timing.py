"""Interleaved timing: every sample kept, orders shuffled, figures that follow from the samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sharpose.efficiency.timing import Sample, interleave, summarise, torch_threads


def test_variants_are_interleaved_round_by_round() -> None:
    calls: list[str] = []
    named = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    samples = interleave(named, "cpu", rounds=8, warmup=2)
    rounds = [calls[i : i + 3] for i in range(0, len(calls), 3)]
    assert len(rounds) == 10 and all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1
    assert all(len(taken) == 8 for taken in samples.values())


def test_summary_follows_from_the_samples() -> None:
    summary = summarise([Sample(wall, 2 * wall) for wall in (0.1, 0.2, 0.3, 0.2, 0.2)], images=4)
    assert summary["images_per_s"] == pytest.approx(20)
    assert summary["cpu_s_per_image"] == pytest.approx(0.1)
    assert summary["latency_ms_p90"] == pytest.approx(np.percentile([100, 200, 300, 200, 200], 90))
    assert summary["samples_ms"] == [100, 200, 300, 200, 200]
    assert summary["noisy"] is False
    assert summarise([Sample(w, w) for w in (1, 1, 2, 2, 3, 3)], 1)["noisy"] is True


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        assert torch.get_num_threads() == before + 1
        raise RuntimeError

    with pytest.raises(RuntimeError), torch_threads(before + 1):
        fail()
    assert torch.get_num_threads() == before
