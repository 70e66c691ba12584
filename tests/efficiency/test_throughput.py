"""Interleaved timing: every sample kept, orders shuffled, figures that follow from the samples."""

from __future__ import annotations

import numpy as np
import pytest

from sharpose.efficiency import throughput
from sharpose.efficiency.throughput import Sample, interleave, measure_throughput, summarise
from sharpose.errors import InputError

TINY = {"embed_dim": 24, "num_heads": 4, "depth": 2, "quality_threshold": None}


def test_variants_are_interleaved_round_by_round() -> None:
    calls: list[str] = []
    named = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    samples = interleave(named, "cpu", rounds=8, warmup=2, seed=0, progress=None)
    rounds = [calls[i : i + 3] for i in range(0, len(calls), 3)]
    assert len(rounds) == 10 and all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1
    assert all(len(taken) == 8 for taken in samples.values())


def test_summary_follows_from_the_samples() -> None:
    summary = summarise([Sample(wall, 2 * wall) for wall in (0.1, 0.2, 0.3, 0.2, 0.2)], batch_size=4)
    assert summary["images_per_s"] == pytest.approx(20)
    assert summary["cpu_s_per_image"] == pytest.approx(0.1)
    assert summary["latency_ms_p90"] == pytest.approx(np.percentile([100, 200, 300, 200, 200], 90))
    assert summary["samples_ms"] == [100, 200, 300, 200, 200]
    assert summary["noisy"] is False
    assert summarise([Sample(w, w) for w in (1, 1, 2, 2, 3, 3)], 1)["noisy"] is True


def test_more_work_takes_longer() -> None:
    variants = {str(alpha): ("sharpose-nano-128x96", {**TINY, "alpha": alpha}) for alpha in (0.0, 1.0)}
    result = measure_throughput(variants, batch_size=8, rounds=9, threads=1)
    assert result["0.0"]["cpu_s_per_image"] < result["1.0"]["cpu_s_per_image"]
    assert result["0.0"]["threads"] == 1 and result["0.0"]["rounds"] == 9


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_streaming_refines_the_share_asked_for(rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    refined, fine = [], throughput.SHaRPose.fine

    def spy(self: object, images: object, *rest: object) -> object:
        refined.append(len(images))  # type: ignore[arg-type]
        return fine(self, images, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(throughput.SHaRPose, "fine", spy)
    variants = {"a": ("sharpose-nano-128x96", TINY), "b": ("keypoint-vit-nano-128x96", {"depth": 1})}
    result = measure_throughput(variants, batch_size=2, refine_rate=rate, rounds=1, warmup=0, threads=1)
    assert sum(refined) == rate * 2 * throughput.STREAMED
    assert result["a"]["batch_size"] == 2 and result["a"]["refine_rate"] == rate


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"mode": "fast"}, "mode"),
        ({"refine_rate": 1.5}, "refine_rate"),
        ({"precision": "fp8"}, "precision"),
        ({"rounds": 0}, "rounds"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_bad_requests(options: dict[str, object], word: str) -> None:
    request = {"batch_size": 1, **options}
    with pytest.raises(InputError, match=word):
        measure_throughput({"a": ("sharpose-nano-128x96", TINY)}, **request)  # type: ignore[arg-type]


def test_no_gpu_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput.torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="no CUDA device"):
        measure_throughput({"a": ("sharpose-nano-128x96", TINY)}, batch_size=1, device="cuda")


def test_every_variant_has_its_own_batch_and_rate():
    variants = {
        "none": ("sharpose-nano-128x96", {"quality_threshold": 0.5}),
        "all": ("sharpose-nano-128x96", {"quality_threshold": 0.5}),
    }
    found = measure_throughput(
        variants, batch_size={"none": 2, "all": 4}, refine_rate={"none": 0.0, "all": 1.0}, rounds=1
    )
    assert {label: row["batch_size"] for label, row in found.items()} == {"none": 2, "all": 4}
