"""Speeds of variants: of their own batch and rate, and what cannot be timed is said before anything is."""

from __future__ import annotations

import pytest
import torch

from sharpose.efficiency import throughput
from sharpose.efficiency.throughput import measure_throughput
from sharpose.efficiency.variants import Variant
from sharpose.runtime.errors import InputError

NAME = "sharpose-nano-128x96"
TINY = {"embed_dim": 24, "num_heads": 4, "depth": 2, "quality_threshold": None}


def test_more_work_takes_longer() -> None:
    variants = {str(alpha): Variant(NAME, {**TINY, "alpha": alpha}, 8) for alpha in (0.0, 1.0)}
    result = measure_throughput(variants, rounds=9, threads=1)
    assert result["0.0"]["cpu_s_per_image"] < result["1.0"]["cpu_s_per_image"]
    assert result["0.0"]["threads"] == 1 and result["0.0"]["rounds"] == 9


def test_every_variant_has_its_own_batch_and_rate() -> None:
    variants = {"all": Variant(NAME, TINY, 4), "half": Variant(NAME, TINY, 2, refine_rate=0.5)}
    found = measure_throughput(variants, rounds=1, warmup=0)
    assert (found["all"]["batch_size"], found["half"]["batch_size"]) == (4, 2)
    assert "refine_rate" not in found["all"] and found["half"]["refine_rate"] == 0.5
    # four batches are streamed
    assert found["half"]["images_per_s"] == pytest.approx(8e3 / found["half"]["samples_ms"][0], rel=1e-3)
    assert found["all"]["images_per_s"] == pytest.approx(4e3 / found["all"]["samples_ms"][0], rel=1e-3)


def test_graphs_made_while_timed_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter([3, 5])
    monkeypatch.setattr(throughput, "graphs_compiled", lambda: next(made))
    monkeypatch.setattr(throughput, "make_calls", lambda variants, *rest: dict.fromkeys(variants, lambda: None))
    found = measure_throughput({"a": Variant(NAME, TINY), "b": Variant(NAME, TINY, backend="compiled")}, rounds=1)
    assert found["b"]["graphs_compiled_while_timed"] == 2 and "graphs_compiled_while_timed" not in found["a"]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"backend": "fast"}, "backend"),
        ({"refine_rate": 1.5}, "refine_rate"),
        ({"precision": "fp8"}, "precision"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_bad_variants(options: dict[str, object], word: str) -> None:
    with pytest.raises(InputError, match=word):
        measure_throughput({"a": Variant(NAME, TINY, **options)})  # type: ignore[arg-type]


def test_a_run_without_rounds_or_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="rounds"):
        measure_throughput({"a": Variant(NAME, TINY)}, rounds=0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="no CUDA device"):
        measure_throughput({"a": Variant(NAME, TINY)}, device="cuda")
