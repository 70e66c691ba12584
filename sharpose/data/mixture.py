"""Several data sets of the same keypoints, learnt from together."""

from __future__ import annotations

from collections.abc import Sequence

from sharpose.data.coco import CocoTopDown, Sample
from sharpose.data.skeleton import Skeleton
from sharpose.errors import InputError


class Mixture:
    """The people of all sources, one source after the other. Raises InputError where their keypoints differ."""

    def __init__(self, sources: Sequence[CocoTopDown]) -> None:
        self.sources = tuple(sources)
        first = self.sources[0]
        for source in self.sources[1:]:
            if source.skeleton.keypoint_names != first.skeleton.keypoint_names:
                raise InputError(
                    f"{source.annotations}: has other keypoints than {first.annotations}; "
                    "match them by their names (--by-name)"
                )

    @property
    def skeleton(self) -> Skeleton:
        return self.sources[0].skeleton

    def __len__(self) -> int:
        return sum(len(source) for source in self.sources)

    def sample(self, index: int, epoch: int) -> Sample:
        """One crop of a person counted over all sources, with the random draws of an epoch."""
        for source in self.sources:
            if index < len(source):
                return source.sample(index, epoch)
            index -= len(source)
        raise IndexError(index)
