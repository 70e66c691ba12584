"""How long each stage of SHaRPose takes on this machine, for several α."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sharpose.backends.packed import pack_linears
from sharpose.efficiency.timing import interleave
from sharpose.models import create_model
from sharpose.runtime.errors import InputError


@dataclass(frozen=True)
class StageTimes:
    """Milliseconds per image, medians. `coarse`: until the heatmaps of one who exits early; `fine`: by α."""

    coarse: float
    fine: Mapping[float, float]


def measure_stages(
    name: str,
    alphas: Sequence[float],
    *,
    options: Mapping[str, Any] | None = None,
    batch_size: int = 1,
    rounds: int = 20,
    device: str = "cpu",
    packed: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> StageTimes:
    """Time both stages with random weights, everything interleaved; packed: with `pack_linears`.

    Raises InputError for a model without two stages, or one that cannot be packed on this machine.
    """
    model: Any = create_model(name, **(options or {})).eval().to(device)
    if model.stages != ("coarse", "fine"):
        raise InputError(f"{name}: has no coarse and fine stage to choose between; name a SHaRPose")
    if packed:
        pack_linears(model)
    with torch.inference_mode():
        images = torch.randn(batch_size, 3, *model.config.image_size).to(device)
        coarse = model.coarse(images)

    @torch.inference_mode()
    def exit_early() -> None:
        model.head(model.coarse(images).keypoint_tokens)

    def refine(alpha: float) -> Callable[[], None]:
        @torch.inference_mode()
        def call() -> None:
            model.fine(images, coarse, alpha)

        return call

    calls = {"coarse": exit_early, **{str(alpha): refine(alpha) for alpha in alphas}}
    samples = interleave(calls, device, rounds, 2, progress)
    taken = {
        label: 1e3 * statistics.median(one.wall_s for one in found) / batch_size for label, found in samples.items()
    }
    return StageTimes(taken["coarse"], {alpha: taken[str(alpha)] for alpha in alphas})


def break_even(one_stage_ms: float, detector_ms: float, person_ms: float) -> float:
    """Return up to how many people a detector and `person_ms` for each are as fast as a one-stage model.

    That takes as long for any number of people, so: (one stage - detector) / person; 0 where the detector is slower.
    """
    return max(0.0, one_stage_ms - detector_ms) / person_ms
