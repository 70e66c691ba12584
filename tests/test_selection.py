"""Controls of the selection: what ranks the patches in place of attention, and that a forgotten map is an error."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sharpose.data.coco import CocoTopDown
from sharpose.evaluation.selection import InOrder, keypoint_relevance, mean_relevance, set_ranking
from sharpose.models import create_model
from sharpose.models.registry import describe, resolve_config
from sharpose.models.sharpose.model import SHaRPose
from sharpose.runtime.errors import InputError

SMALL = {"embed_dim": 24, "num_heads": 4, "depth": 4, "quality_threshold": None}


def tiny(seed: int = 0, **options: object) -> SHaRPose:
    torch.manual_seed(seed)
    return create_model("sharpose-nano-128x96", **{**SMALL, **options}).eval()  # type: ignore[return-value]


def kept(model: SHaRPose, images: Tensor) -> list[set[int]]:
    with torch.inference_mode():
        return [set(row) for row in model(images).keep_indices.tolist()]


def test_off_it_is_not_part_of_what_a_model_is_described_by() -> None:
    assert "selection" not in describe(resolve_config("sharpose-nano-128x96"))
    assert describe(resolve_config("sharpose-nano-128x96", selection="random"))["selection"] == "random"
    with pytest.raises(ValueError, match=r"^selection = 'chance'"):
        resolve_config("sharpose-nano-128x96", selection="chance")


def test_a_control_without_its_ranking_is_an_error() -> None:
    with pytest.raises(InputError, match=r"selection = 'constant' .*set_ranking"):
        tiny(selection="constant")(torch.zeros(1, 3, 128, 96))


def test_one_map_for_everybody_is_attentions_mean(six_people: CocoTopDown) -> None:
    model = tiny(selection="constant", alpha=0.2)
    set_ranking(model, six_people, others=six_people)
    images = torch.randn(4, 3, 128, 96, generator=torch.Generator().manual_seed(1))
    assert all(row == kept(model, images)[0] for row in kept(model, images))
    attention = tiny(alpha=0.2)
    assert kept(model, images)[0] == set(mean_relevance(attention, six_people).argsort(descending=True)[:10].tolist())
    with pytest.raises(InputError, match="other than those who are judged"):
        set_ranking(tiny(selection="constant"), six_people)


def test_one_map_serves_every_alpha_and_no_other_weights(six_people: CocoTopDown) -> None:
    looked: list[int] = []

    def ask(model: SHaRPose) -> None:
        set_ranking(model, six_people, others=six_people, progress=lambda done, _: looked.append(done))

    ask(tiny(selection="constant", alpha=0.2, seed=3))
    once = len(looked)
    assert once > 0
    ask(tiny(selection="constant", alpha=0.4, seed=3))
    assert len(looked) == once
    ask(tiny(selection="constant", alpha=0.2, seed=4))
    assert len(looked) == 2 * once


def test_chance_differs_between_people_and_seeds_and_repeats_with_a_seed(six_people: CocoTopDown) -> None:
    images = torch.zeros(3, 3, 128, 96)
    found = []
    for seed in (0, 0, 1):
        model = tiny(selection="random", selection_seed=seed, alpha=0.2)
        set_ranking(model, six_people)
        found.append(kept(model, images))
    assert found[0] == found[1] != found[2]
    assert found[0][0] != found[0][1]
    assert all(len(row) == 10 for row in found[0])


def test_the_oracle_ranks_the_patch_with_a_keypoint_first(six_people: CocoTopDown) -> None:
    maps = keypoint_relevance(six_people, (8, 6))
    for index in range(3):
        sample = six_people[index]
        person = six_people.instances[index]
        person_points = sample["keypoints"][person.visible > 0].numpy()
        alone = keypoint_relevance(one_keypoint(six_people, index), (8, 6))[0].flatten()
        column, row = ((person_points[0] + 0.5) // 16).astype(int)
        if 0 <= column < 6 and 0 <= row < 8:
            assert int(alone.argmax()) == row * 6 + column
    assert maps.shape == (len(six_people), 8, 6)


def one_keypoint(six_people: CocoTopDown, index: int) -> CocoTopDown:
    """The data set of one person with the first labelled keypoint alone."""
    from copy import copy
    from dataclasses import replace

    person, alone = six_people.instances[index], copy(six_people)
    visible = np.zeros_like(person.visible)
    visible[np.flatnonzero(person.visible)[0]] = 1
    alone.instances = [replace(person, visible=visible)]
    return alone


def test_maps_are_handed_out_in_order_and_mirrored_for_the_flip_test() -> None:
    maps = torch.arange(3 * 2 * 2.0).reshape(3, 2, 2)
    source, batch = InOrder(maps, mirrored=True), torch.zeros(2, 4)
    assert torch.equal(source(batch), maps[:2].flatten(1))
    assert torch.equal(source(batch), maps[:2].flip(2).flatten(1))
    assert torch.equal(source(batch[:1]), maps[2:].flatten(1))
