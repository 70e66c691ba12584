"""Several data sets of the same keypoints, learnt from together."""

from __future__ import annotations

from collections.abc import Sequence

from sharpose.data.coco import CocoTopDown, Sample
from sharpose.pose.skeleton import Skeleton
from sharpose.runtime.errors import InputError


class Mixture:
    """The people of all sources, one source after the other, each as often as `repeats` says (once).

    Raises InputError where their keypoints differ.
    """

    def __init__(self, sources: Sequence[CocoTopDown], repeats: Sequence[int] | None = None) -> None:
        self.sources = tuple(sources)
        self.repeats = tuple(repeats or [1] * len(self.sources))
        first = self.sources[0]
        for source in self.sources[1:]:
            if source.skeleton.keypoint_names != first.skeleton.keypoint_names:
                raise InputError(
                    f"{source.annotations}: has other keypoints than {first.annotations}; "
                    "match them by their names (--by-name)"
                )

    @property
    def skeleton(self) -> Skeleton:
        """Return the keypoint layout that all sources share."""
        return self.sources[0].skeleton

    def __len__(self) -> int:
        return sum(times * len(source) for source, times in zip(self.sources, self.repeats, strict=True))

    def sample(self, index: int, epoch: int) -> Sample:
        """Return one crop of a person counted over all sources, with the random draws of an epoch.

        Who comes again draws anew.
        """
        for source, times in zip(self.sources, self.repeats, strict=True):
            turn, own = divmod(index, len(source))
            if turn < times:
                return source.sample(own, epoch * times + turn)
            index -= times * len(source)
        raise IndexError(index)
