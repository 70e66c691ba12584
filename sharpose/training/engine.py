"""The training loop: one process or many, resumable at any step, stopping at the first loss that is not a number."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch.utils.data import DataLoader

from sharpose.codecs.choice import codec_of
from sharpose.compiled import compile_blocks
from sharpose.data.coco import CocoTopDown
from sharpose.errors import InputError, Interrupted, OutOfTime, RunFailed
from sharpose.models import create_model
from sharpose.progress import Reporter
from sharpose.starting import start_from
from sharpose.training.checkpoints import latest_checkpoint, load_checkpoint, save_checkpoint
from sharpose.training.objective import StepPlan, objective_for
from sharpose.training.optim import learning_rate, make_optimizer, set_learning_rate
from sharpose.training.order import ByEpoch, TrainingOrder
from sharpose.training.recipe import Recipe
from sharpose.weights import read_weights

LOG_EVERY = 100


@dataclass
class TrainingState:
    """What a resumed run needs besides weights and optimiser moments; `log` has one row per LOG_EVERY steps."""

    step: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    log: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """What to train, on what, and how. `deadline`: the time.monotonic() at which to stop with a checkpoint."""

    model_name: str
    recipe: Recipe
    people: CocoTopDown
    folder: Path
    seed: int = 0
    num_workers: int = 0
    mixed_precision: str = "no"
    init: Path | None = None
    checkpoint_every_s: float = 240.0
    max_steps: int | None = None
    device: str | None = None
    deadline: float | None = None
    compiled: bool = False


def step_plan(recipe: Recipe, step: int, steps_per_epoch: int, seed: int) -> StepPlan:
    """Alpha, stages and lambda of a step, from (seed, step) alone."""
    epoch = step / steps_per_epoch
    alpha = float(np.random.default_rng([seed, 1, step]).choice(recipe.alphas)) if recipe.alphas else None
    return StepPlan(
        alpha=alpha,
        coarse_only=epoch < recipe.coarse_only_epochs,
        quality_weight=recipe.quality_weight if epoch >= recipe.quality_start_epoch else 0.0,
        epoch=epoch,
    )


def train(run: Run) -> tuple[torch.nn.Module, TrainingState]:
    """Train to the end of the recipe, resuming from the newest sound checkpoint in `run.folder`.

    Raises RunFailed at a loss that is not finite (the last checkpoint stays), Interrupted after SIGTERM, and OutOfTime
    at the deadline.
    """
    if run.device == "cuda" and not torch.cuda.is_available():
        raise InputError("device = 'cuda' does not work: there is no CUDA device here; leave it out, or use cpu")
    accelerator = Accelerator(
        cpu=run.device == "cpu",
        mixed_precision=run.mixed_precision,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    torch.manual_seed(run.seed)
    # tiny gradients of a well fitted heatmap become denormal numbers, which a CPU computes many times slower
    torch.set_flush_denormal(True)
    model = create_model(run.model_name, **run.recipe.model_options)
    if run.init is not None:
        print(f"starting from {run.init}: {start_from(model, read_weights(run.init)).line}", file=sys.stderr)
    config = model.config
    codec = codec_of(config, run.recipe.sigma)
    objective = objective_for(model, codec, run.people.skeleton.sigmas, run.recipe)
    # without blocks there are no layers to decay over
    depth = getattr(config, "depth", 0)
    optimizer = make_optimizer(model.named_parameters(), depth, run.recipe, model.without_decay)
    state = resume(run, model, optimizer)
    world, batch = accelerator.num_processes, run.recipe.batch_size
    if batch % world:
        raise InputError(f"batch_size = {batch} does not work: it must be a multiple of the {world} processes")
    steps_per_epoch = len(run.people) // min(batch, len(run.people))
    total = math.ceil(run.recipe.epochs * steps_per_epoch)
    stop = total if run.max_steps is None else min(total, run.max_steps)
    order = TrainingOrder(len(run.people), batch, run.seed, state.step, stop, accelerator.process_index, world)
    loader = DataLoader(
        ByEpoch(run.people),
        batch_sampler=order,
        num_workers=run.num_workers,
        pin_memory=accelerator.device.type == "cuda",
        persistent_workers=run.num_workers > 0,
    )
    if run.compiled:
        compile_blocks(model)
    objective, optimizer = accelerator.prepare(objective, optimizer)
    loop(run, accelerator, model, objective, optimizer, loader, state, steps_per_epoch, stop)
    return model, state


def resume(run: Run, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> TrainingState:
    """Load the newest sound checkpoint, if there is one, after checking that it belongs to the same run."""
    checkpoint = latest_checkpoint(run.folder)
    if checkpoint is None:
        return TrainingState()
    stored = load_checkpoint(checkpoint, model, optimizer)
    for name, value in identity(run).items():
        if stored["identity"].get(name) != value:
            raise InputError(
                f"{checkpoint}: {name} was {stored['identity'].get(name)!r} and is {value!r} now; "
                f"train into another folder, or remove {run.folder}"
            )
    return TrainingState(**{name: stored[name] for name in ("step", "wall_s", "cpu_s", "log")})


def identity(run: Run) -> dict[str, Any]:
    """What must not change between the parts of a run; its length may, up to the step already reached."""
    fixed = {k: v for k, v in run.recipe.model_dump(mode="json").items() if k not in LENGTH_FIELDS}
    return {"model": run.model_name, "seed": run.seed, "people": len(run.people), **fixed}


LENGTH_FIELDS = ("epochs", "linear_decay_epochs", "coarse_only_epochs", "quality_start_epoch", "milestones")


def loop(
    run: Run,
    accelerator: Accelerator,
    model: torch.nn.Module,
    objective: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: DataLoader[Any],
    state: TrainingState,
    steps_per_epoch: int,
    stop: int,
) -> None:
    """Step through the loader; checkpoint by the clock, at the end, and when SIGTERM arrives."""
    stopping = StopOnSignal()
    began, cpu_began = time.monotonic() - state.wall_s, cpu_seconds() - state.cpu_s
    saved = time.monotonic()
    model.train()
    first, recent = state.step, time.monotonic()

    def save() -> None:
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            state.wall_s, state.cpu_s = time.monotonic() - began, cpu_seconds() - cpu_began
            inner = optimizer.optimizer if hasattr(optimizer, "optimizer") else optimizer
            save_checkpoint(run.folder, model, inner, {**asdict(state), "identity": identity(run)})

    with Reporter(f"Training {run.model_name}", stop, start=first) as report, stopping:
        for batch in loader:
            plan = step_plan(run.recipe, state.step, steps_per_epoch, run.seed)
            rate = learning_rate(run.recipe, state.step, steps_per_epoch)
            set_learning_rate(optimizer, rate)
            # dropped paths derive from the step too, so that a resumed run repeats them
            torch.manual_seed(run.seed * 1_000_003 + state.step * accelerator.num_processes + accelerator.process_index)
            losses = objective({k: v.to(accelerator.device) for k, v in batch.items()}, plan)
            total = torch.stack(list(losses.values())).sum()
            log_now = state.step % LOG_EVERY == 0 or state.step == stop - 1
            if not torch.isfinite(total):
                raise RunFailed(
                    f"step {state.step}: the loss is {total.item()}; the last checkpoint in {run.folder} is kept. "
                    "Lower learning_rate, or look at the data of this step"
                )
            optimizer.zero_grad()
            accelerator.backward(total)
            optimizer.step()
            if log_now:
                now = time.monotonic()
                speed = (LOG_EVERY if state.step > first else 1) * run.recipe.batch_size / (now - recent)
                recent = now
                row = {name: loss.item() for name, loss in losses.items()}
                state.log.append({"step": state.step, "lr": rate, "images_per_s": speed, **row})
                parts = " ".join(f"{name} {value:.2e}" for name, value in row.items())
                report.at(state.step, f"{parts} lr {rate:.1e} {speed:.0f} images/s")
            state.step += 1
            if stopping.asked:
                save()
                raise Interrupted(f"stopped by a signal at step {state.step}; run the same command again to go on")
            if run.deadline is not None and time.monotonic() > run.deadline and state.step < stop:
                save()
                raise OutOfTime(f"out of time at step {state.step} of {stop}; run the same command again to go on")
            if time.monotonic() - saved > run.checkpoint_every_s:
                save()
                saved = time.monotonic()
        if state.step > first:
            save()
            report.at(state.step, "done")


def cpu_seconds() -> float:
    """CPU time of this process and its finished workers."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class StopOnSignal:
    """While entered, SIGTERM only sets `asked`, so that the loop ends at the next step with a checkpoint."""

    asked = False

    def __enter__(self) -> StopOnSignal:
        self.before = signal.signal(signal.SIGTERM, self.ask)
        return self

    def ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self.before)
