"""torch.compile for whole models, in place: one static graph per stage and batch size, as CUDA graphs on a GPU.

Batches of other sizes are padded to the next one ("bucket") and cut afterwards, so that nothing is ever compiled twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import cast

import torch
from torch import Tensor

from sharpose.models.layers.vit import Blocks
from sharpose.models.output import PoseModel, PoseOutput
from sharpose.models.sharpose.model import SHaRPose
from sharpose.models.sharpose.output import CoarseStage, FineStage
from sharpose.runtime.errors import InputError

Tensors = tuple[Tensor, ...]

# of one function, over all models, stages and buckets of a process
GRAPHS = 64


class Bucketed:
    """A function of tensors with one row per instance, compiled for a few batch sizes."""

    def __init__(self, function: Callable[..., Tensors], buckets: Sequence[int], cuda: bool) -> None:
        self.buckets = sorted(set(buckets))
        self.cuda = cuda
        # CUDA graphs replay into the same memory, so results are copied out before the next call
        self.compiled = torch.compile(function, dynamic=False, mode="reduce-overhead" if cuda else None)

    def __call__(self, *inputs: Tensor) -> Tensors:
        """Call the compiled function in parts of at most the largest batch size, and join what comes back.

        All have the batch as their first dimension (B, ...).
        """
        largest = self.buckets[-1]
        if len(inputs[0]) <= largest:
            return self.run(inputs)
        parts = [self.run(part) for part in zip(*(value.split(largest) for value in inputs), strict=True)]
        return tuple(torch.cat(pieces) for pieces in zip(*parts, strict=True))

    def run(self, inputs: Tensors) -> Tensors:
        """Fill inputs (B, ...) of at most the largest batch size up to the next one, and return the rows asked for."""
        count = len(inputs[0])
        bucket = next(size for size in self.buckets if size >= count)
        outputs = self.compiled(*(pad_rows(value, bucket) for value in inputs))
        return tuple(value[:count].clone() if self.cuda else value[:count] for value in outputs)


def pad_rows(value: Tensor, size: int) -> Tensor:
    """Return `size` rows: those there are, then the last one again and again. (B, ...) to (size, ...)."""
    missing = size - len(value)
    if missing:
        return torch.cat([value, value[-1:].expand(missing, *value.shape[1:])])
    # a tensor from outside inference mode is another kind to the compiler than a padded one, and a graph of its own
    return value.clone() if torch.is_inference_mode_enabled() and not value.is_inference() else value.contiguous()


def compile_model(model: PoseModel, buckets: Sequence[int], device: str = "cpu") -> None:
    """Compile `model` in place, for the configured α and batches of the given sizes; the first call of each takes long.

    Stages are compiled apart, so that an early exit stays; a system of one piece as a whole. Raises InputError
    without a bucket, or for one below 1.
    """
    if not buckets or min(buckets) < 1:
        raise InputError(f"buckets = {list(buckets)}: at least one batch size of at least 1 is needed")
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, GRAPHS)
    cuda = device.startswith("cuda")
    if model.stages:
        compile_stages(cast(SHaRPose, model), buckets, cuda)
        return
    forward = model.forward

    def heatmaps(images: Tensor) -> Tensors:
        """Return the heatmaps (B, K, h, w) of images (B, 3, H, W)."""
        return (forward(images).heatmaps,)

    bucketed = Bucketed(heatmaps, buckets, cuda)
    model.forward = lambda images: PoseOutput(*bucketed(images))  # type: ignore[method-assign]


def compile_stages(model: SHaRPose, buckets: Sequence[int], cuda: bool) -> None:
    """Compile `coarse` and `refine` in place, so that `forward` and streaming call the compiled ones.

    With `alpha_mass` there is a fine graph for every number of kept patches that occurs. The compiled `refine` raises
    InputError for a number of patches that the configuration does not allow.
    """
    run_coarse, run_fine, config = model.coarse, model.refine, model.config
    allowed = [config.num_keep()] if config.alpha_mass is None else config.keep_sizes

    def coarse_tensors(images: Tensor) -> Tensors:
        """Return the tensors of the coarse stage, (B, ...) each, of images (B, 3, H, W)."""
        return tuple(run_coarse(images).tensors().values())

    @cache
    def second(num_keep: int) -> Bucketed:
        def fine_tensors(images: Tensor, *stage: Tensor) -> Tensors:
            """Return the tensors of the fine stage, of images (B, 3, H, W) and a coarse `stage`; (B, ...) each."""
            found = run_fine(images, model.as_stage(stage) if stage else None, num_keep)
            return tuple(found.tensors().values())

        return Bucketed(fine_tensors, buckets, cuda)

    def refine(images: Tensor, coarse: CoarseStage | None, num_keep: int) -> FineStage:
        """Run the fine stage on images (B, 3, H, W). Raises InputError for a number of patches not compiled for."""
        if num_keep not in allowed:
            raise InputError(f"{num_keep} patches: this model is compiled for α = {config.alpha}; make another one")
        found = second(num_keep)(images, *([] if coarse is None else coarse.tensors().values()))
        return FineStage(found[0], found[1], None if coarse is None else found[2])

    first = Bucketed(coarse_tensors, buckets, cuda)
    model.coarse = lambda images: model.as_stage(first(images))  # type: ignore[method-assign]
    model.refine = refine  # type: ignore[method-assign]


def compile_blocks(model: PoseModel) -> None:
    """Compile every transformer block in place, for training, where the number of tokens changes with α.

    Raises InputError for a system without such blocks.
    """
    blocks = getattr(model, "blocks", None)
    if not isinstance(blocks, Blocks):
        raise InputError(f"{type(model).__name__} has no transformer blocks to compile; train it without --compile")
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, GRAPHS)
    for block in blocks:
        block.compile()


def graphs_compiled() -> int:
    """Return how many graphs this process has compiled so far: a timing in which it grows has timed the compiler."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])
