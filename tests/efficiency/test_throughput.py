"""Interleaved timing: every sample kept, orders shuffled, figures that follow from the samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sharpose.efficiency import throughput
from sharpose.efficiency.throughput import Sample, forced, interleave, measure_throughput, summarise
from sharpose.errors import InputError
from sharpose.models import create_model

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


@pytest.mark.parametrize(
    ("options", "word"),
    [({"precision": "fp8"}, "precision"), ({"rounds": 0}, "rounds"), ({"batch_size": 0}, "batch_size")],
)
def test_bad_requests(options: dict[str, object], word: str) -> None:
    request = {"batch_size": 1, **options}
    with pytest.raises(InputError, match=word):
        measure_throughput({"a": ("sharpose-nano-128x96", TINY)}, **request)  # type: ignore[arg-type]


def test_no_gpu_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput.torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="no CUDA device"):
        measure_throughput({"a": ("sharpose-nano-128x96", TINY)}, batch_size=1, device="cuda")


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_a_forced_refine_rate_takes_the_early_exit_path(rate):
    torch.manual_seed(0)
    model = forced(create_model("sharpose-nano-128x96", quality_threshold=0.5), 4, rate).eval()
    with torch.inference_mode():
        output = model(torch.randn(4, 3, 128, 96))
    wanted = round(4 * rate)
    assert output.needs_refinement.tolist() == [row < wanted for row in range(4)]
    assert (0 if output.fine_heatmaps is None else len(output.fine_heatmaps)) == wanted
    assert torch.equal(output.heatmaps[wanted:], output.coarse_heatmaps[wanted:])


def test_refine_rates_that_cannot_be_are_refused():
    for options, batch, rate, said in (
        ({"quality_threshold": 0.5}, 4, 0.3, "no whole number of people"),
        ({"quality_threshold": None}, 4, 0.5, "with a quality_threshold"),
        ({"quality_threshold": 1.2}, 4, 0.5, "needs one in"),
    ):
        with pytest.raises(InputError, match=said):
            forced(create_model("sharpose-nano-128x96", **options), batch, rate)


def test_every_variant_has_its_own_batch_and_rate():
    variants = {
        "none": ("sharpose-nano-128x96", {"quality_threshold": 0.5}),
        "all": ("sharpose-nano-128x96", {"quality_threshold": 0.5}),
    }
    found = measure_throughput(
        variants, batch_size={"none": 2, "all": 4}, forced_rates={"none": 0.0, "all": 1.0}, rounds=1
    )
    assert {label: row["batch_size"] for label, row in found.items()} == {"none": 2, "all": 4}
