"""Streaming: the same results as one instance at a time, in order, with full fine batches and bounded waiting."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpose.inference.early_exit import stream
from sharpose.models import create_model
from sharpose.models.sharpose.model import SHaRPose
from sharpose.models.sharpose.output import CoarseStage
from sharpose.runtime.errors import InputError


def tiny(**options: object) -> SHaRPose:
    torch.manual_seed(0)
    model = create_model("sharpose-nano-128x96", embed_dim=12, num_heads=2, depth=2, quality_threshold=0.5, **options)
    return model.eval()  # type: ignore[return-value]


class Marked(SHaRPose):
    """Quality is written on each image's first pixel, so that any pattern of exits can be made."""

    fine_sizes: list[int]

    def coarse(self, images: torch.Tensor) -> CoarseStage:
        stage = super().coarse(images)
        return CoarseStage(**{**stage.tensors(), "quality": images[:, 0, 0, 0]})

    def fine(self, images: torch.Tensor, *rest: object) -> object:
        self.fine_sizes.append(len(images))
        return super().fine(images, *rest)


@functools.cache
def marked() -> Marked:
    model = Marked(tiny().config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    return model


def marked_images(needs: Sequence[bool]) -> torch.Tensor:
    images = torch.randn(len(needs), 3, 128, 96, generator=torch.Generator().manual_seed(len(needs)))
    images[:, 0, 0, 0] = torch.where(torch.tensor(needs), 0.0, 1.0)
    return images


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.lists(st.booleans(), min_size=1, max_size=5), min_size=1, max_size=6),
    st.integers(1, 6),
    st.integers(1, 4),
)
def test_equal_to_one_by_one(pattern: list[list[bool]], batch_size: int, max_wait: int) -> None:
    model = marked()
    model.fine_sizes = []
    batches = [marked_images(needs) for needs in pattern]
    outputs = list(stream(model, batches, batch_size=batch_size, max_wait=max_wait))
    assert sum(model.fine_sizes) == sum(map(sum, pattern)) and max(model.fine_sizes, default=0) <= batch_size
    assert [output.needs_refinement.tolist() for output in outputs] == pattern
    with torch.inference_mode():
        for images, output in zip(batches, outputs, strict=True):
            alone = torch.cat([model(image[None]).heatmaps for image in images])
            torch.testing.assert_close(output.heatmaps, alone, rtol=1e-4, atol=1e-5)


def test_fine_batches_are_full_until_the_end() -> None:
    model = marked()
    model.fine_sizes = []
    batches = [marked_images([True, False, True, False])] * 5
    assert len(list(stream(model, batches, batch_size=4, max_wait=9))) == 5
    assert model.fine_sizes == [4, 4, 2]


def test_nobody_waits_longer_than_allowed() -> None:
    model = marked()
    model.fine_sizes = []
    given_out = 0

    def batches():
        nonlocal given_out
        for needs in ([True, False], [False, False], [False, False], [False, False]):
            given_out += 1
            yield marked_images(needs)

    results = stream(model, batches(), batch_size=8, max_wait=2)
    next(results)
    assert given_out == 3 and model.fine_sizes == [1]  # its own batch, and two more
    assert len(list(results)) == 3


@pytest.mark.parametrize("options", [{"quality_threshold": None}, {"stages": "coarse"}])
def test_a_model_without_early_exit_is_refused(options: dict[str, object]) -> None:
    model = create_model("sharpose-nano-128x96", **{"depth": 1, **options}).eval()
    with pytest.raises(InputError, match="quality_threshold"):
        next(stream(model, [], batch_size=2))


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(InputError, match="max_wait = 0"):
        next(stream(tiny(), [], batch_size=2, max_wait=0))
