"""The bench: peers that do what they say, figures that follow from the samples, requests that are checked first."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sharpose.codecs.udp import UdpCodec
from sharpose.data.mannequin import annotations_path, images_path
from sharpose.data.mannequin.generate import generate
from sharpose.efficiency import energy
from sharpose.efficiency.bench import count_work, measure_bench
from sharpose.efficiency.calls import flip_and_decode, make_call
from sharpose.efficiency.cost import measure_cost
from sharpose.efficiency.machine import copy_call, matmul_call, roofline
from sharpose.efficiency.memory import measure_peak, peak_memory_mib
from sharpose.efficiency.operators import kind_of
from sharpose.efficiency.peers import build_peer, peers_of
from sharpose.efficiency.variants import People, Variant, check_variant
from sharpose.models import create_model
from sharpose.models.output import PoseOutput
from sharpose.pose.skeleton import COCO, flip_order
from sharpose.runtime.errors import InputError

NAME = "sharpose-nano-128x96"
TINY = {"embed_dim": 24, "num_heads": 4, "depth": 1, "quality_threshold": None}


def test_figures_follow_from_the_samples() -> None:
    variants = {
        "one": Variant(NAME, TINY, 1),
        "four": Variant(NAME, TINY, 4, scope="model-flip-decode"),
    }
    results = measure_bench(variants, rounds=3, warmup=1, threads=1, memory=False)
    one, four = results["one"], results["four"]
    assert one["session"] == four["session"] and len(one["samples_ms"]) == 3
    assert four["macs"] == 2 * one["macs"]
    # what is not computed makes no rate
    assert one["macs"] == measure_cost(NAME, TINY)["macs_torch_executed"] < measure_cost(NAME, TINY)["macs_torch"]
    for row in results.values():
        assert row["macs_per_s"] == pytest.approx(row["macs"] * row["images_per_s"])
        assert row["share_of_matmul_rate"] == pytest.approx(row["macs_per_s"] / row["matmul_macs_per_s"])
        assert row["share_of_roof"] >= row["share_of_matmul_rate"] > 0
        assert row["joules_per_image"] is None or row["joules_per_image"] > 0  # where the package has a counter
        assert row["throttled"] in (None, False, True) and "clocks" in row
        shares = row["operators"]
        assert sum(shares.values()) == pytest.approx(1, abs=1e-3) and {"products", "attention", "norms"} <= set(shares)


def test_an_early_exit_spares_the_fine_stage_but_for_a_coarse_head() -> None:
    variants = {"all": Variant(NAME, TINY, 2), "half": Variant(NAME, TINY, 2, refine_rate=0.5)}
    results = measure_bench(variants, rounds=1, warmup=0, threads=1, memory=False)
    cost = measure_cost(NAME, TINY)
    spared = cost["macs_torch_executed_fine"] - cost["macs_torch_executed_head"]
    assert results["all"]["macs"] - results["half"]["macs"] == pytest.approx(spared / 2, abs=1)
    half = results["half"]
    assert (half["batch_size"], half["images_per_call"], half["refine_rate"]) == (2, 8, 0.5)
    assert Variant(NAME, TINY, 2, refine_rate=0.97).refined_share == 1.0
    assert half["images_per_s"] == pytest.approx(8 / half["latency_ms_p50"] * 1e3)


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
@torch.inference_mode()
def test_streams_refine_the_share_asked_for(rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    refined, model = [], create_model(NAME, **TINY).eval()
    fine = model.fine
    monkeypatch.setattr(model, "fine", lambda images, *others: refined.append(len(images)) or fine(images, *others))
    make_call(Variant(NAME, TINY, 2, refine_rate=rate), model, "cpu")()
    assert sum(refined) == rate * 8


def test_kinds_of_operators() -> None:
    names = ("aten::addmm", "mkldnn::_linear_pointwise", "aten::_scaled_dot_product_flash_attention_for_cpu")
    assert [kind_of(name) for name in names] == ["products", "products", "attention"]
    names = ("aten::mkldnn_convolution", "aten::native_layer_norm", "aten::gelu", "aten::copy_", "aten::add")
    assert [kind_of(name) for name in names] == ["convolutions", "norms", "activations", "copies", "other"]


def test_roofline() -> None:
    bound_by_memory = roofline(macs=100, moved_bytes=50, seconds=2, peak=1000, bandwidth=40)
    assert bound_by_memory == {
        "macs_per_s": 50,
        "macs_per_byte": 2,
        "share_of_matmul_rate": 0.05,
        "share_of_roof": 50 / 80,
    }
    assert roofline(100, 1, 1, 1000, 40)["share_of_roof"] == 0.1


def test_the_machines_own_work_is_what_it_is_counted_as() -> None:
    (matmul, macs), (copy, moved) = matmul_call("cpu"), copy_call("cpu")
    matmul()
    copy()
    assert macs == 1536**3 and moved == 2 * 128 * 2**20


def test_peers_have_the_sizes_of_vitpose_and_count_alike() -> None:
    pytest.importorskip("transformers", reason="the extra peers is not installed")
    names = {
        "hf": "huggingface-vitpose-small-256x192",
        "timm": "timm-vit-small-256x192",
        "ours": "vitpose-small-256x192",
    }
    work = count_work({label: Variant(name) for label, name in names.items()})
    # equal but for the unused row of a class token in the position table
    assert work["hf"]["params"] == pytest.approx(work["ours"]["params"], rel=1e-4)
    assert work["hf"]["macs"] == pytest.approx(work["ours"]["macs"], rel=1e-3)
    assert 0.7 * work["ours"]["macs"] < work["timm"]["macs"] < work["ours"]["macs"]


@torch.inference_mode()
def test_a_peer_gives_heatmaps() -> None:
    pytest.importorskip("transformers", reason="the extra peers is not installed")
    peer = build_peer("huggingface-vitpose-small-256x192").eval()
    assert peer(torch.randn(1, 3, 256, 192)).heatmaps.shape == (1, 17, 64, 48)


def test_peers_are_found_by_size() -> None:
    assert peers_of("sharpose-base-384x288") == ["huggingface-vitpose-base-384x288", "timm-vit-base-384x288"]
    assert peers_of(NAME) == []


def test_a_missing_peer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sharpose.efficiency.peers.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs transformers.*sharpose\[peers\]"):
        build_peer("huggingface-vitpose-small-256x192")


def test_flip_and_decode_averages_both_views() -> None:
    points = torch.rand(1, 17, 2, generator=torch.Generator().manual_seed(0)) * 14 + 5
    across, down = torch.arange(24) - points[..., :1], torch.arange(32) - points[..., 1:]
    maps = (-(down[..., :, None] ** 2 + across[..., None, :] ** 2) / 8).exp()
    order = list(flip_order(COCO.flip_pairs, 17))
    images = torch.zeros(1, 3, 128, 96)
    images[..., 0] = 1

    def network(seen: torch.Tensor) -> PoseOutput:
        """Sees the same person in both views, with half the confidence in the mirrored one."""
        upright = bool(seen[0, 0, 0, 0] == 1)
        return PoseOutput(maps if upright else 0.5 * maps[:, order].flip(-1))

    found, scores = flip_and_decode(network, UdpCodec((128, 96), (32, 24)), images)  # type: ignore[arg-type]
    torch.testing.assert_close(found, points, rtol=0, atol=0.05)
    torch.testing.assert_close(scores, 0.75 * maps.amax(dim=(2, 3)))


def test_end_to_end_begins_with_files(tmp_path: Path) -> None:
    generate(tmp_path / "people", split="val", images=2, seed=3, workers=1)
    people = People(annotations_path(tmp_path / "people", "val"), images_path(tmp_path / "people", "val"))
    model = create_model(NAME, **TINY).eval()
    call = make_call(Variant(NAME, TINY, 2, scope="end-to-end", people=people), model, "cpu")
    first, second = call(), call()
    assert first.shape == (2, 17, 2) and not torch.equal(first, second)


def test_peak_memory_grows_with_the_batch() -> None:
    small, large = (measure_peak(Variant(NAME, TINY, batch), "cpu", None) for batch in (1, 256))
    if small is None or large is None:
        assert not sys.platform.startswith("linux")
        return
    # the input alone takes 36 MiB more
    assert large - small > 30


@pytest.mark.slow
def test_peak_memory_is_of_a_process_of_its_own() -> None:
    kept = torch.ones(200, 2**20)
    peak = peak_memory_mib(Variant(NAME, TINY), "cpu", 1)
    assert peak is None or 100 < peak < kept.numel() * 4 / 2**20


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        (Variant(NAME, TINY, scope="model", backend="tensorrt"), "tensorrt"),
        (Variant(NAME, TINY, scope="half"), "scope = 'half'"),  # type: ignore[arg-type]
        (Variant(NAME, TINY, batch_size=0), "batch_size = 0"),
        (Variant(NAME, TINY, refine_rate=1.5), "between 0 and 1"),
        (Variant(NAME, TINY, refine_rate=0.5, scope="model-flip-decode"), "scope 'model' alone"),
        (Variant("vitpose-nano-128x96", refine_rate=0.5), "no coarse and fine stage"),
        (Variant(NAME, TINY, scope="end-to-end"), "needs people"),
        (Variant("timm-vit-base-256x192", scope="model-flip-decode"), "no heatmaps"),
        (Variant("timm-vit-base-256x192", backend="openvino"), "eager"),
        (Variant("timm-vit-huge-256x192"), "timm-vit-huge"),
    ],
)
def test_what_cannot_be_timed_is_said(variant: Variant, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_variant(variant, "cpu")


def test_energy_is_what_the_counter_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, joules = iter(range(100)), iter([10.0, 40.0])
    monkeypatch.setattr(energy, "open_nvml", lambda device: lambda: next(joules))
    monkeypatch.setattr(energy, "AT_LEAST_S", 3)
    monkeypatch.setattr(energy, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    calls: list[int] = []
    value = energy.joules_per_call(lambda: calls.append(1), lambda: None, "cuda")
    assert len(calls) == 2 and value == 15.0
