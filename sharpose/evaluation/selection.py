"""Controls of what attention adds: patches ranked by one map for everybody, by chance, or by the true keypoints."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader

from sharpose.data.batches import sample_batches
from sharpose.data.coco import CocoTopDown
from sharpose.inference.pipeline import look
from sharpose.models.sharpose.config import SHaRPoseConfig
from sharpose.models.sharpose.model import SHaRPose
from sharpose.pose.geometry import box_to_center_scale, transform_points, udp_warp_matrix
from sharpose.runtime.distributed import rank_and_world
from sharpose.runtime.errors import InputError
from sharpose.runtime.progress import Heard, unheard

REACH = 1.0
"""How far a keypoint makes patches relevant to the oracle: the standard deviation of a Gaussian, in patches."""
_MEANS: dict[tuple[SHaRPoseConfig, str, Path], Tensor] = {}
"""Mean relevance that this process has taken: minutes over a training set, and the same for whoever is judged."""


def set_ranking(
    model: SHaRPose,
    dataset: CocoTopDown,
    *,
    others: CocoTopDown | None = None,
    flip_test: bool = False,
    progress: Heard = unheard,
) -> None:
    """Give a model the ranking of patches that its `selection` names, for one pass of `predict` over `dataset`.

    others: people that are not judged, over whom `constant` takes the mean of attention's relevance. flip_test: whether
    every batch takes two forward passes, the second one mirrored (`keypoints`). Does nothing where attention ranks.
    Raises InputError where what a control needs is missing.
    """
    selection = model.config.selection
    if selection == "random":
        generator = torch.Generator().manual_seed(model.config.selection_seed)
        model.ranking = lambda relevance: torch.rand(relevance.shape, generator=generator).to(relevance)
    elif selection == "constant":
        if others is None:
            raise InputError("selection = 'constant' needs people other than those who are judged, to take the mean of")
        mean = mean_relevance(model, others, progress=progress)
        model.ranking = lambda relevance: mean.to(relevance).expand_as(relevance)
    elif selection == "keypoints":
        if dataset.boxes != "ground-truth" or rank_and_world()[1] > 1:
            raise InputError("selection = 'keypoints' needs ground-truth boxes and a single process")
        model.ranking = InOrder(keypoint_relevance(dataset, model.config.coarse_grid), flip_test)


@dataclass
class InOrder:
    """Relevance known beforehand for every person of a data set, handed out in its order, one batch after another.

    With `mirrored` each batch comes twice, the second time with the picture's columns reversed.
    """

    maps: Float[Tensor, "N rows columns"]
    mirrored: bool
    first: int = 0
    again: bool = False

    def __call__(self, relevance: Float[Tensor, "B Nc"]) -> Float[Tensor, "B Nc"]:
        """Return the relevance of the next B people; of the same, mirrored, at every second call where `mirrored`."""
        maps = self.maps[self.first : self.first + len(relevance)]
        maps = maps.flip(2) if self.again else maps
        self.again = self.mirrored and not self.again
        if not self.again:
            self.first += len(relevance)
        return maps.flatten(1).to(relevance)


@torch.inference_mode()
def mean_relevance(model: SHaRPose, dataset: CocoTopDown, *, progress: Heard = unheard) -> Float[Tensor, " Nc"]:
    """Return the mean relevance of every patch by attention, over the people of a data set; once for every α."""
    settings = replace(model.config, alpha=1.0, quality_threshold=None, selection="attention", selection_seed=0)
    weights = hashlib.sha256()
    for parameter in model.state_dict().values():
        weights.update(parameter.cpu().numpy().tobytes())
    key = settings, weights.hexdigest(), dataset.annotations
    if key not in _MEANS:
        _MEANS[key] = taken_mean(model, dataset, progress)
    return _MEANS[key]


def taken_mean(model: SHaRPose, dataset: CocoTopDown, progress: Heard) -> Float[Tensor, " Nc"]:
    """Return the same, by a look of the coarse stage at everybody."""
    total, done = torch.zeros(model.config.num_coarse), 0
    model.eval()
    model.ranking = lambda relevance: relevance
    for batch in sample_batches(DataLoader(dataset, batch_size=32)):
        (stage,) = look(model.coarse, batch["image"].to(next(model.parameters()).device))
        total += stage.relevance.sum(dim=0).cpu()
        done += len(stage.relevance)
        progress(done, len(dataset))
    return total / done


def keypoint_relevance(dataset: CocoTopDown, grid: tuple[int, int]) -> Float[Tensor, "N rows columns"]:
    """Return how many labelled keypoints lie near each patch of a grid over the crop, as a Gaussian of `REACH`."""
    rows, columns = grid
    patch = dataset.image_size[0] / rows
    centres = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1) + 0.5
    maps = []
    for person in dataset.instances:
        center, scale = box_to_center_scale(person.bbox_xywh, dataset.image_size)
        points = transform_points(person.keypoints, udp_warp_matrix(center, scale, 0.0, dataset.image_size))
        # a pixel's middle lies half a pixel from its edge
        offsets = (centres[:, :, None] - (points[person.visible > 0] + 0.5) / patch) / REACH
        maps.append(np.exp(-0.5 * (offsets**2).sum(axis=-1)).sum(axis=-1))
    return torch.from_numpy(np.stack(maps)).float()
