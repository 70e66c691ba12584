"""How good a model is while it learns: AP and PCK on named sets of people that it does not learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from sharpose.codecs.choice import codec_of
from sharpose.data.coco import CocoTopDown
from sharpose.data.locate import find_data
from sharpose.evaluation.coco import score
from sharpose.evaluation.points import score_pck
from sharpose.inference.dataset import predict
from sharpose.pose.skeleton import known_skeleton


def validate_on(names: Sequence[str]) -> Callable[[Any, str], Validation] | None:
    """Return what makes a judge of a model's configuration and precision, for a training; None without names."""
    return (lambda config, precision: Validation(names, config, precision)) if names else None


class Validation:
    """AP and PCK, with flip test, of a model as it is at some step of its training.

    Raises InputError for sets that are not there, before the training begins.
    """

    def __init__(self, names: Sequence[str], config: Any, mixed_precision: str) -> None:
        self.codec = codec_of(config)
        self.precision: Any = "fp32" if mixed_precision == "no" else mixed_precision
        how: dict[str, Any] = {"image_size": config.image_size, "warp": self.codec.warp}
        layout = known_skeleton(config.num_keypoints)
        self.people = {}
        for name in names:
            source = find_data(name, None)
            self.people[name] = CocoTopDown(source.annotations, source.images, by_name=layout, **how)

    def __call__(self, model: torch.nn.Module) -> dict[str, float | None]:
        """Return `NAME_ap` and `NAME_pck` as fractions; None where nobody could be measured."""
        figures: dict[str, float | None] = {}
        device = next(model.parameters()).device
        for name, people in self.people.items():
            found = predict(model, people, self.codec, device=device, precision=self.precision)
            pck, _ = score_pck(found, people, resamples=1)
            figures |= {f"{name}_ap": score(found, people, resamples=0).metrics.values()["ap"]}
            figures |= {f"{name}_pck": pck.value if pck.people else None}
        return figures
