"""Compiled models give what eager ones give, for any batch, and compile nothing after the first call of a bucket."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sharpose.backends.compiled import Bucketed, compile_blocks, compile_model, graphs_compiled, pad_rows
from sharpose.inference.early_exit import stream
from sharpose.models import create_model
from sharpose.runtime.errors import InputError

TINY = {"embed_dim": 12, "num_heads": 2, "depth": 2}


def test_padding_repeats_the_last_row() -> None:
    assert pad_rows(torch.tensor([[1.0], [2.0]]), 4).flatten().tolist() == [1, 2, 2, 2]


def test_full_and_padded_batches_are_of_one_kind() -> None:
    """Else the compiler would make a graph for each."""
    outside = torch.ones(2, 1)
    with torch.inference_mode():
        assert pad_rows(outside, 2).is_inference() and pad_rows(outside, 3).is_inference()
    assert not pad_rows(outside, 2).is_inference()


def test_batches_are_padded_to_the_next_bucket_or_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    sizes = []

    def double(rows: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, ...]:
        sizes.append(len(rows))
        return rows * 2, index

    bucketed = Bucketed(double, [4, 2], cuda=False)
    for count in (1, 2, 3, 9):
        rows = torch.arange(float(count))[:, None]
        doubled, index = bucketed(rows, rows.long())
        assert torch.equal(doubled, rows * 2) and torch.equal(index, rows.long())
    assert sizes == [2, 2, 4, 4, 4, 2]


@pytest.mark.slow
def test_compiled_sharpose_equals_eager_and_compiles_once_per_stage_and_bucket() -> None:
    torch.manual_seed(0)
    eager = create_model("sharpose-nano-128x96", quality_threshold=None, **TINY).eval()
    images = torch.randn(5, 3, 128, 96)
    with torch.inference_mode():
        quality = eager(images).quality.sort().values
        threshold = float(quality[2:4].mean())
        eager = create_model("sharpose-nano-128x96", quality_threshold=threshold, **TINY).eval()
        compiled = create_model("sharpose-nano-128x96", quality_threshold=threshold, **TINY).eval()
        compiled.load_state_dict(eager.state_dict())
        compile_model(compiled, [2, 4])
        before = graphs_compiled()
        for count in (5, 4, 1):
            expected, found = eager(images[:count]), compiled(images[:count])
            torch.testing.assert_close(found.heatmaps, expected.heatmaps, rtol=1e-4, atol=1e-5)
            assert torch.equal(found.needs_refinement, expected.needs_refinement)
        made = graphs_compiled() - before
        assert made <= 4  # two stages, two buckets, whole batches and padded ones alike
        compiled(images)
        assert graphs_compiled() - before == made
    with pytest.raises(InputError, match="compiled for"):
        compiled.fine(images, compiled.coarse(images), 0.1)


@pytest.mark.slow
def test_compiled_blocks_train_alike() -> None:
    gradients = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = create_model("keypoint-vit-nano-128x96", **TINY).train()
        if compiled:
            compile_blocks(model)
        model(torch.ones(2, 3, 128, 96)).heatmaps.square().mean().backward()
        gradients.append(model.patch_embed.proj.weight.grad)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)


@pytest.mark.gpu
def test_cuda_graphs_and_streaming_give_what_eager_gives() -> None:
    torch.manual_seed(0)
    eager = create_model("sharpose-nano-128x96", quality_threshold=None).eval().cuda()
    images = torch.randn(20, 3, 128, 96, device="cuda")
    with torch.inference_mode():
        threshold = float(eager(images).quality.median())
        eager.config = replace(eager.config, quality_threshold=threshold)
        expected = torch.cat([eager(batch).heatmaps for batch in images.split(4)])
        compile_model(eager, [2, 4], "cuda")
        for _ in range(3):
            found = [output.heatmaps for output in stream(eager, images.split(4), batch_size=4)]
            torch.testing.assert_close(torch.cat(found), expected, rtol=1e-3, atol=1e-4)


def test_what_cannot_be_compiled_is_refused() -> None:
    with pytest.raises(InputError, match=r"buckets = \[0\]"):
        compile_model(create_model("keypoint-vit-nano-128x96", **TINY), [0])
    with pytest.raises(InputError, match="without --compile"):
        compile_blocks(create_model("simple-baseline-nano-128x96"))
