"""Early exit that pays: instances to refine are gathered across batches, so that the fine stage runs full batches.

Results come batch by batch in the order of the input. How long one waits is bounded: when an instance has seen
`max_wait` later batches, whatever waits is refined at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sharpose.models.output import PoseOutput
from sharpose.models.sharpose.model import SHaRPose
from sharpose.models.sharpose.output import CoarseStage
from sharpose.runtime.errors import InputError


@dataclass(frozen=True)
class StreamOutput(PoseOutput):
    """One batch's results: heatmaps fine where an instance was refined, else coarse."""

    quality: Float[Tensor, " B"]
    needs_refinement: Bool[Tensor, " B"]


@dataclass
class Started:
    """A batch after its coarse stage; `needs` reaches the host while the device goes on, `heatmaps` fill up."""

    images: Float[Tensor, "B 3 H W"]
    coarse: CoarseStage
    needs: Bool[Tensor, " B"]
    copied: torch.cuda.Event | None
    heatmaps: Float[Tensor, "B K h w"] | None = None
    missing: int = 0


@dataclass
class Waiting:
    """Instances of one batch that wait for the fine stage, since the batch numbered `since`."""

    batch: Started
    rows: Int[Tensor, " n"]
    since: int


@dataclass
class FineQueue:
    """Instances to refine, oldest first."""

    model: SHaRPose
    batch_size: int
    waiting: deque[Waiting] = field(default_factory=deque)
    count: int = 0

    def add(self, batch: Started, rows: Int[Tensor, " n"], now: int) -> None:
        """Queue rows of a batch, and run the fine stage while they fill a batch."""
        self.waiting.append(Waiting(batch, rows, now))
        self.count += len(rows)
        while self.count >= self.batch_size:
            self.run(self.batch_size)

    def hurry(self, oldest: int) -> None:
        """Refine everything when something has waited since before the batch numbered `oldest`."""
        if self.waiting and self.waiting[0].since < oldest:
            self.run(self.count)

    def run(self, size: int) -> None:
        """Run the fine stage on the `size` oldest instances, and store their heatmaps in their batches."""
        parts = self.take(size)
        images = torch.cat([part.batch.images[part.rows] for part in parts])
        fine = self.model.fine(images, join([part.batch.coarse.rows(part.rows) for part in parts]))
        for part, heatmaps in zip(parts, fine.heatmaps.split([len(part.rows) for part in parts]), strict=True):
            place(part.batch, part.rows, heatmaps)

    def take(self, size: int) -> list[Waiting]:
        """Remove and return the `size` oldest instances; those of one batch may be split."""
        self.count -= size
        taken = []
        while size:
            part = self.waiting.popleft()
            if len(part.rows) > size:
                self.waiting.appendleft(Waiting(part.batch, part.rows[size:], part.since))
                part = Waiting(part.batch, part.rows[:size], part.since)
            taken.append(part)
            size -= len(part.rows)
        return taken


@torch.inference_mode()
def stream(
    model: SHaRPose, batches: Iterable[Float[Tensor, "B 3 H W"]], *, batch_size: int, max_wait: int = 4
) -> Iterator[StreamOutput]:
    """Yield results of every batch, in order; the fine stage runs for `batch_size` instances at a time.

    On a GPU the choice of one batch is read while the next one's coarse stage runs, so that neither waits.
    Equal to calling the model, up to rounding. Raises InputError for a model without early exit, or sizes below 1.
    """
    threshold = model.config.quality_threshold
    if threshold is None or model.config.stages != "coarse-fine" or model.training:
        raise InputError("streaming needs a SHaRPose of two stages with a quality_threshold, in evaluation mode")
    if min(batch_size, max_wait) < 1:
        raise InputError(f"batch_size = {batch_size}, max_wait = {max_wait}: both must be at least 1")
    queue, started, undecided = FineQueue(model, batch_size), deque[Started](), deque[Started]()
    for now, images in enumerate(batches):
        started.append(begin(model, images, threshold))
        undecided.append(started[-1])
        while len(undecided) > images.is_cuda:
            decide(model, undecided.popleft(), queue, now)
        queue.hurry(now - max_wait + 1)
        yield from finished(started)
    while undecided:
        decide(model, undecided.popleft(), queue, 0)
    if queue.count:
        queue.run(queue.count)
    yield from finished(started)


def begin(model: SHaRPose, images: Float[Tensor, "B 3 H W"], threshold: float) -> Started:
    """Run the coarse stage, and start copying to the host which instances need refinement."""
    coarse = model.coarse(images)
    needs = coarse.quality < threshold
    if not images.is_cuda:
        return Started(images, coarse, needs, None)
    host = torch.empty(needs.shape, dtype=torch.bool, pin_memory=True).copy_(needs, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()
    return Started(images, coarse, host, copied)


def decide(model: SHaRPose, batch: Started, queue: FineQueue, now: int) -> None:
    """Decode the heatmaps of instances that exit early, and queue all others for the fine stage."""
    if batch.copied is not None:
        batch.copied.synchronize()
    batch.missing = len(batch.images)
    device = batch.images.device
    done, rows = ((chosen.nonzero().squeeze(1)).to(device, non_blocking=True) for chosen in (~batch.needs, batch.needs))
    if len(done):
        place(batch, done, model.head(batch.coarse.keypoint_tokens[done]))
    if len(rows):
        queue.add(batch, rows, now)


def place(batch: Started, rows: Int[Tensor, " n"], heatmaps: Float[Tensor, "n K h w"]) -> None:
    """Store the heatmaps of some instances in their batch."""
    if batch.heatmaps is None:
        batch.heatmaps = heatmaps.new_empty(len(batch.images), *heatmaps.shape[1:])
    batch.heatmaps[rows] = heatmaps
    batch.missing -= len(rows)


def finished(started: deque[Started]) -> Iterator[StreamOutput]:
    """Yield the outputs of complete batches, up to the first incomplete one."""
    while started and started[0].heatmaps is not None and started[0].missing == 0:
        batch = started.popleft()
        assert batch.heatmaps is not None
        yield StreamOutput(batch.heatmaps, batch.coarse.quality, batch.needs)


def join(stages: list[CoarseStage]) -> CoarseStage:
    """Concatenate several coarse stages into one batch."""
    names = stages[0].tensors()
    return CoarseStage(**{name: torch.cat([stage.tensors()[name] for stage in stages]) for name in names})
