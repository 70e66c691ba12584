"""A GPU computes what a CPU does: every system and precision, training, pinned batches (`pytest -m gpu`).

The same on the CPU itself, where it is exact in fp32, so that the test is known to run.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from experiments.tools.gpu_agreement import LIMITS, all_refined, heatmaps_error, small_systems
from sharpose.codecs.choice import codec_of
from sharpose.data.coco import CocoTopDown
from sharpose.inference.dataset import predict
from sharpose.models import create_model

GPU = pytest.param("cuda", marks=pytest.mark.gpu)
TINY = {"embed_dim": 24, "num_heads": 2, "depth": 2}


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("precision", LIMITS)
@pytest.mark.parametrize("name", small_systems())
def test_heatmaps_are_those_of_a_cpu(name: str, precision: str, device: str) -> None:
    error = heatmaps_error(name, device, precision)
    assert error <= LIMITS[precision]
    assert error == 0 if (device, precision) == ("cpu", "fp32") else error > 0


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_points_are_those_of_a_cpu(six_people: CocoTopDown, device: str) -> None:
    torch.manual_seed(0)
    model = create_model("sharpose-nano-128x96", **TINY, quality_threshold=0.5).eval()
    expected = predict(model, six_people, codec_of(model.config), batch_size=4)
    # batches that workers prepare are pinned and copied while the next ones are fetched
    found = predict(model.to(device), six_people, codec_of(model.config), batch_size=4, device=device, num_workers=1)
    assert found.instance_ids.tolist() == expected.instance_ids.tolist()
    np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=0.05)


@pytest.fixture
def full_precision() -> Iterator[None]:
    """Fp32 in convolutions, too."""
    with torch.backends.cudnn.flags(allow_tf32=False):
        yield


@pytest.mark.usefixtures("full_precision")
@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("name", ["sharpose-nano-128x96", "dynamicvit-nano-128x96", "hrnet-nano-128x96"])
def test_gradients_are_those_of_a_cpu(name: str, device: str) -> None:
    gradients = []
    # double precision is the measure, so that a CPU's fp32 may fail, too
    for where, kind in (("cpu", torch.float64), (device, torch.float32)):
        torch.manual_seed(0)
        model = create_model(name, **all_refined(name)).eval().to(where, kind)
        images = torch.randn(2, 3, 128, 96, generator=torch.Generator().manual_seed(1))
        model(images.to(where, kind)).heatmaps.square().mean().backward()
        gradients.append(
            torch.cat([one.grad.flatten().cpu().double() for one in model.parameters() if one.grad is not None])
        )
    ours, cpus = gradients[1], gradients[0]
    assert cpus.norm() > 0 and (ours - cpus).norm() <= 1e-3 * cpus.norm()
