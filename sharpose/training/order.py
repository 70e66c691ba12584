"""In which order people are seen: a function of (seed, step) alone, so that any run can be resumed anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Dataset, Sampler

from sharpose.data.coco import CocoTopDown, Sample
from sharpose.data.mixture import Mixture


class ByEpoch(Dataset[Sample]):
    """Items by (epoch, index), so that a loader's workers never need to be told that an epoch has begun."""

    def __init__(self, people: CocoTopDown | Mixture) -> None:
        self.people = people

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, index = key
        return self.people.sample(index, epoch)


class TrainingOrder(Sampler[list[tuple[int, int]]]):
    """The batches of steps `start` … `stop` - 1 for one of `world` processes; every epoch is a fresh permutation.

    A global batch is the same for any number of processes; each takes every `world`-th of its people.
    """

    def __init__(
        self, people: int, batch_size: int, seed: int, start: int, stop: int, rank: int = 0, world: int = 1
    ) -> None:
        self.people, self.batch_size, self.seed = people, min(batch_size, people), seed
        self.start, self.stop, self.rank, self.world = start, stop, rank, world

    @property
    def steps_per_epoch(self) -> int:
        """Return the steps of an epoch, whose last incomplete batch is dropped."""
        return self.people // self.batch_size

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, order = -1, np.empty(0, dtype=np.int64)
        for step in range(self.start, self.stop):
            if step // self.steps_per_epoch != epoch:
                epoch = step // self.steps_per_epoch
                order = np.random.default_rng([self.seed, epoch]).permutation(self.people)
            first = step % self.steps_per_epoch * self.batch_size
            batch = order[first : first + self.batch_size][self.rank :: self.world]
            yield [(epoch, int(index)) for index in batch]
