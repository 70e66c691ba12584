"""How far a network moves on one set of people by choices that a results file no longer shows: flip, decoder, boxes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sharpose.codecs.choice import decoders_of
from sharpose.data.pictures import unchanged
from sharpose.evaluation.coco import box_facts
from sharpose.evaluation.compare import Rows
from sharpose.evaluation.evaluate import open_network, open_people, predicted, predicted_ways
from sharpose.evaluation.metrics.coco_ap import RESAMPLES
from sharpose.evaluation.protocol import OKS_THRESHOLDS, Effect, effects, scored_otherwise
from sharpose.evaluation.request import EvaluationRequest
from sharpose.inference.dataset import Way
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import sha256_of
from sharpose.runtime.progress import Heard


def network_effects(
    asked: EvaluationRequest, progress: Heard | None = None, *, resamples: int = RESAMPLES
) -> tuple[dict[str, Effect], dict[str, Any]]:
    """Return what every choice does to the evaluation asked for, which comes first; and the facts that determine it.

    One pass serves flip test and decoders; only other boxes take a second one. The crops, and how heatmaps lie on them,
    are always those that the network was trained on. Raises InputError as `evaluate` does, and for MPII's people.
    """
    network = open_network(asked)
    dataset, notes = open_people(asked.people, network)
    if dataset.pose_file.is_mpii:
        raise InputError(f"{dataset.annotations}: people in MPII's layout have no AP; `sharpose evaluate` gives PCKh")
    (own, decoder), *others = decoders_of(network.model.config).items()
    flip, rules = asked.flip_test, asked.post_processing
    ways = {"as evaluated": Way(decoder, flip), f"flip test: {'off' if flip else 'on'}": Way(decoder, not flip)}
    ways |= {f"decoder: {name}": Way(other, flip) for name, other in others}
    with unchanged(dataset.pictures) as pictures:
        found = dict(zip(ways, predicted_ways(network, dataset, asked, list(ways.values()), progress), strict=True))
        choices: dict[str, Rows] = {name: one.results(dataset, rules) for name, one in found.items()}
        if asked.people.boxes != "ground-truth":
            annotated, _ = open_people(replace(asked.people, boxes="ground-truth"), network)
            choices["boxes: annotated"] = predicted(network, annotated, asked, progress).results(annotated, rules)
    base = found["as evaluated"]
    by_box = replace(base, keypoint_scores=np.ones_like(base.keypoint_scores))
    choices |= {"score: the box's alone": by_box.results(dataset, rules), **scored_otherwise(choices["as evaluated"])}
    near = {f"OKS-NMS above {at:g}": replace(rules, nms="hard", oks_threshold=at) for at in OKS_THRESHOLDS}
    near |= {"OKS-NMS: soft": replace(rules, nms="soft"), "OKS-NMS: none": replace(rules, nms="none")}
    choices |= {name: base.results(dataset, other) for name, other in near.items() if other != rules}
    about: dict[str, Any] = {**network.facts, "annotations": str(dataset.annotations)}
    about |= {"annotations_sha256": sha256_of(dataset.annotations), "pictures_sha256": pictures}
    about |= {"boxes": str(dataset.boxes), **box_facts(dataset), "people": len(dataset), "decoder": own}
    about |= {name: getattr(asked, name) for name in ("flip_test", "device", "evaluator")}
    about["notes"] = [*dataset.notes, *notes]
    return effects(dataset.pose_file, choices, evaluator=asked.evaluator, resamples=resamples), about
