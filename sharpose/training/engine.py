"""A training from its parts: model, data, optimiser; fresh or resumed; one process or many."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from torch.utils.data import DataLoader

from sharpose.backends.compiled import compile_blocks
from sharpose.codecs.choice import codec_of
from sharpose.data.coco import CocoTopDown
from sharpose.data.mixture import Mixture
from sharpose.models import create_model
from sharpose.models.layers.vit import use_explicit_attention
from sharpose.models.output import PoseModel
from sharpose.runtime.deterministic import make_deterministic
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import sha256_of
from sharpose.runtime.progress import say
from sharpose.runtime.signals import block_stop_signals
from sharpose.training.checkpoints import latest_checkpoint, load_checkpoint, prepared, read_state
from sharpose.training.criterion import criterion_for
from sharpose.training.loop import Judge, Loop, TrainingState
from sharpose.training.optim import make_optimizer
from sharpose.training.order import ByEpoch, TrainingOrder
from sharpose.training.recipe import LENGTHS, Recipe
from sharpose.training.request import How
from sharpose.training.tracking import follow, tracked, tracking
from sharpose.weights.starting import read_start, start_from

PRECISIONS = ("no", "bf16", "fp16")


@dataclass(frozen=True)
class Run(How):
    """What to train, on what, and how.

    `data`: digests of the files that `people` come from; `pictures`: a digest of every source's pictures.
    """

    model_name: str
    recipe: Recipe
    people: CocoTopDown | Mixture
    folder: Path
    init: Path | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    pictures: Sequence[str] = ()
    validation: Judge | None = None


def train(run: Run) -> tuple[torch.nn.Module, TrainingState]:
    """Train to the end of the recipe, resuming from the newest sound checkpoint in `run.folder`.

    Raises InputError before the first step where the folder cannot hold its checkpoints, RunFailed at a loss that is
    not finite or diverges (the last good checkpoint stays), Interrupted after SIGTERM, and OutOfTime at the deadline.
    """
    # tiny gradients of a well fitted heatmap become denormal numbers, which a CPU computes many times slower
    torch.set_flush_denormal(True)
    try:
        return train_to_the_end(run)
    finally:
        torch.set_flush_denormal(False)


def train_to_the_end(run: Run) -> tuple[torch.nn.Module, TrainingState]:
    """Train in this process, which may be one of several; the model and its state where the training ends.

    Raises InputError for a device, batch or start that does not work, and what `Loop.run` raises.
    """
    if run.device == "cuda" and not torch.cuda.is_available():
        raise InputError("device = 'cuda' does not work: there is no CUDA device here; leave it out, or use cpu")
    if run.deterministic:
        make_deterministic()
    # the process may have trained another network before, in another precision
    AcceleratorState._reset_state()
    accelerator = Accelerator(
        # without being told, accelerate takes the processes of torchrun on CPUs for strangers
        cpu=run.device == "cpu" or not torch.cuda.is_available(),
        mixed_precision=run.precision,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        **tracking(run.log_with, run.folder),
    )
    torch.manual_seed(run.seed)
    model = create_model(run.model_name, **run.recipe.model_options)
    start_heads(model, run.recipe.head_init_std)
    if run.init is not None:
        say(f"starting from {run.init}: {start_from(model, read_start(run.init)).line}")
    freeze_all_but(model, run.recipe.only)
    config = model.config
    codec = codec_of(config, run.recipe.sigma)
    criterion = criterion_for(model, codec, run.people.skeleton.sigmas, run.recipe)
    # without blocks there are no layers to decay over
    depth = getattr(config, "depth", 0)
    learning = ((name, each) for name, each in model.named_parameters() if each.requires_grad)
    optimizer = make_optimizer(learning, depth, run.recipe, model.without_decay)
    world, batch = accelerator.num_processes, run.recipe.batch_size
    if batch % world:
        raise InputError(f"batch_size = {batch} does not work: it must be a multiple of the {world} processes")
    mine = prepared(run.folder, model) if accelerator.is_main_process else contextlib.nullcontext()
    facts = {"model": run.model_name, "seed": run.seed, **run.recipe.model_dump(mode="json")}
    with mine, tracked(accelerator, run.folder, facts):
        # nobody may read the folder while the first process still clears it
        accelerator.wait_for_everyone()
        state = resume(run, model, optimizer)
        how = made_with(run, accelerator)
        if not state.parts or {**state.parts[-1], "step": None} != {**how, "step": None}:
            state.parts.append({"step": state.step, **how})
        steps_per_epoch = len(run.people) // min(batch, len(run.people))
        total = math.ceil(run.recipe.epochs * steps_per_epoch)
        stop = total if run.max_steps is None else min(total, run.max_steps)
        loader = make_loader(run, accelerator, state.step, stop)
        make_steps_fast(model, accelerator.device.type, run.precision)
        if run.compiled:
            compile_blocks(model)
        criterion, optimizer = accelerator.prepare(criterion, optimizer)
        Loop(
            recipe=run.recipe,
            folder=run.folder,
            seed=run.seed,
            title=f"Training {run.model_name}",
            identity=identity(run),
            checkpoint_every_s=run.checkpoint_every_s,
            accelerator=accelerator,
            model=model,
            criterion=criterion,
            optimizer=optimizer,
            steps_per_epoch=steps_per_epoch,
            stop=stop,
            state=state,
            deadline=run.deadline,
            validation=run.validation,
            validate_at=frozenset(math.ceil(total / 2**halved) for halved in range(run.points)),
            track=functools.partial(follow, accelerator),
        ).run(loader)
    return model, state


def chosen_precision(asked: str, device: str | None) -> str:
    """Return no, bf16 or fp16 as asked, and for auto bf16 where the device has it, else no. Raises InputError."""
    if asked not in (*PRECISIONS, "auto"):
        raise InputError(f"precision = {asked!r} does not work: one of {', '.join(PRECISIONS)}, or auto")
    if asked != "auto":
        return asked
    return "bf16" if has_bf16(device) else "no"


def has_bf16(device: str | None) -> bool:
    """Whether a device (None: cuda where there is one) multiplies in bf16 by instructions of its own, so faster."""
    if device == "cpu" or (device is None and not torch.cuda.is_available()):
        # without them it is ten times slower than fp32 (docs/training-speed.jsonl)
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.cuda.is_bf16_supported(including_emulation=False)


def make_steps_fast(model: torch.nn.Module, device: str, precision: str) -> None:
    """Choose, in place, how a model computes its steps, where that changes the result by rounding alone.

    On CPUs fused attention is slower in bf16 than attention matrices. Convolutions are faster with channels last.
    """
    use_explicit_attention(model, device == "cpu" and precision == "bf16")
    model.to(memory_format=torch.channels_last)


@torch.no_grad()
def start_heads(model: PoseModel, std: float | None) -> None:
    """Draw the weights of the layers that give heatmaps anew with this deviation, their biases zero; None: leave them.

    Keypoint tokens would otherwise begin with many times the energy of their targets, and first unlearn it.
    """
    if std is None:
        return
    for layer in model.heatmap_layers:
        torch.nn.init.normal_(layer.weight, std=std)
        if layer.bias is not None:
            torch.nn.init.zeros_(layer.bias)


def freeze_all_but(model: torch.nn.Module, prefixes: Sequence[str]) -> None:
    """Let only parameters learn whose names begin with one of `prefixes`; all, where there are none.

    Raises InputError for one that no name begins with.
    """
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name, _ in model.named_parameters()):
            known = ", ".join(name for name, _ in model.named_children())
            raise InputError(f"only: no parameter's name begins with {prefix!r}; modules: {known}")
    for name, parameter in model.named_parameters() if prefixes else ():
        parameter.requires_grad_(name.startswith(tuple(prefixes)))


def make_loader(run: Run, accelerator: Accelerator, start: int, stop: int) -> DataLoader[Any]:
    """Return the batches of this process from step `start` on."""
    rank, world = accelerator.process_index, accelerator.num_processes
    order = TrainingOrder(len(run.people), run.recipe.batch_size, run.seed, start, stop, rank, world)
    return DataLoader(
        ByEpoch(run.people),
        batch_sampler=order,
        num_workers=run.workers,
        pin_memory=accelerator.device.type == "cuda",
        persistent_workers=run.workers > 0,
        worker_init_fn=block_stop_signals,
    )


def resume(run: Run, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> TrainingState:
    """Load the newest sound checkpoint, if there is one, after checking that it belongs to the same run.

    Raises InputError where it does not.
    """
    checkpoint = latest_checkpoint(run.folder)
    if checkpoint is None:
        return TrainingState()
    stored = read_state(checkpoint)
    was = stored.get("identity", {})
    for name, value in identity(run).items():
        # what a checkpoint of an older version does not say cannot be compared
        if name in was and was[name] != value:
            raise InputError(
                f"{checkpoint}: {name} was {was[name]!r} and is {value!r} now; "
                f"train into another folder, or remove {run.folder}"
            )
    load_checkpoint(checkpoint, model, optimizer)
    return TrainingState.from_dict(stored)


def identity(run: Run) -> dict[str, Any]:
    """Return what must not change between the parts of a run; its length may, up to the step already reached."""
    fixed = {k: v for k, v in run.recipe.model_dump(mode="json").items() if k not in MAY_CHANGE}
    return {
        "model": run.model_name,
        "seed": run.seed,
        "people": len(run.people),
        "data": dict(run.data),
        "pictures": list(run.pictures),
        "init": None if run.init is None else sha256_of(run.init),
        "precision": run.precision,
        **fixed,
    }


def made_with(run: Run, accelerator: Accelerator) -> dict[str, Any]:
    """What may change between the parts of a run, and is said of each: it changes the weights no more than chance."""
    return {
        "compiled": run.compiled,
        "threads": torch.get_num_threads(),
        "device": accelerator.device.type,
        "processes": accelerator.num_processes,
        "deterministic": run.deterministic,
        "versions": {"torch": torch.__version__},
    }


# when to give up does not change the weights either
MAY_CHANGE = (*LENGTHS, "milestones", "divergence_factor", "divergence_steps")
