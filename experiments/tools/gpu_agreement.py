"""Whether a device computes what a CPU does, before anything is timed there: heatmaps of every small system."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

from sharpose.models.registry import list_models, resolve_config

if TYPE_CHECKING:
    from torch import Tensor

PEOPLE = 2
LIMITS = {"fp32": 1e-3, "bf16": 0.2, "fp16": 0.2}
"""Of ‖a - b‖ / ‖b‖, b by a CPU in fp32; in half precision a token may be chosen in another's place, which moves .13."""


def small_systems() -> list[str]:
    """Return the names of one small model of every system."""
    return [name for name in list_models() if name.endswith("-nano-128x96") and "-small-" not in name]


def all_refined(name: str) -> dict[str, Any]:
    """Return the options with which nobody exits early, as neither speed nor heatmaps may depend on random weights."""
    return {"quality_threshold": None} if hasattr(resolve_config(name), "quality_threshold") else {}


@cache
def images_and_heatmaps(name: str) -> tuple[Tensor, Tensor]:
    """Return images (B, 3, H, W), and a model's heatmaps of them (B, K, h, w) by a CPU, eager, in fp32."""
    import torch

    from sharpose.efficiency.variants import Variant, build_network

    images = torch.randn(PEOPLE, 3, *resolve_config(name).image_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return images, build_network(Variant(name, all_refined(name), PEOPLE), "cpu", None)(images).heatmaps


def heatmaps_error(name: str, device: str, precision: str = "fp32", backend: str = "eager") -> float:
    """Return ‖a - b‖ / ‖b‖ of a model's heatmaps with random weights, a on `device`, b by a CPU, eager, in fp32.

    Convolutions of a GPU are asked for fp32 here, not the shorter TF32 that torch otherwise lets them use.
    """
    import torch

    from sharpose.backends.graphs import difference
    from sharpose.efficiency.variants import TORCH_TYPES, Variant, build_network

    images, expected = images_and_heatmaps(name)
    asked = Variant(name, all_refined(name), PEOPLE, backend, precision)
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
        network = build_network(asked, device, None)
        found = network(images.to(device, TORCH_TYPES[precision])).heatmaps.float().cpu()
    return difference(found, expected)


def errors(device: str, precisions: Sequence[str], backends: Sequence[str]) -> Iterator[tuple[str, float, float]]:
    """Yield what was compared, its error and the limit: every system eager in every precision, SHaRPose on all else."""
    for name, precision in product(small_systems(), precisions):
        yield f"{name} {precision}", heatmaps_error(name, device, precision), LIMITS[precision]
    for backend, precision in product([one for one in backends if one != "eager"], precisions):
        name = "sharpose-nano-128x96"
        yield f"{name} {precision} {backend}", heatmaps_error(name, device, precision, backend), LIMITS[precision]
