"""The work of operators: their multiply-adds add up to the closed form's, and the longer of two times counts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sharpose.efficiency.cost import count_torch
from sharpose.efficiency.work import Work, operator_work, predicted_seconds
from sharpose.models import create_model
from sharpose.models.layers.vit import use_explicit_attention


def test_a_linear_layer_reads_its_weights_and_writes_its_rows() -> None:
    layer, rows = nn.Linear(8, 16), torch.randn(4, 8)
    assert operator_work(lambda: layer(rows).unflatten(1, (2, 8)).relu()) == [
        Work(4 * 8 * 16, 4 * (4 * 8 + 8 * 16 + 16 + 4 * 16)),
        Work(0, 4 * 2 * 4 * 16),
    ]


@pytest.mark.parametrize("explicit", [False, True], ids=["fused", "explicit"])
@pytest.mark.parametrize("name", ["keypoint-vit-nano-128x96", "evit-nano-128x96", "vitpose-nano-128x96"])
def test_of_a_model(name: str, explicit: bool) -> None:
    model = create_model(name).eval()
    images = torch.randn(3, 3, *model.config.image_size)
    use_explicit_attention(model)
    counted = count_torch(model, (images,))["torch"]
    use_explicit_attention(model, explicit)
    found = sum(one.macs for one in operator_work(lambda: model(images)))
    # beside fused attention, the rows that EViT ranks patches by are computed once more
    assert found == counted or (not explicit and counted < found < 1.005 * counted)


def test_the_longer_of_two_times() -> None:
    assert predicted_seconds([Work(100, 1), Work(0, 6)], macs_per_s=50, bytes_per_s=3) == pytest.approx(2 + 2)
