"""The training loop: resumable at any step, and stopped by losses that are not numbers or run away."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader

from sharpose.data.batches import WorkerDied, sample_batches
from sharpose.runtime.distributed import any_of, mean_of
from sharpose.runtime.errors import InputError, Interrupted, OutOfTime, RunFailed, first_line
from sharpose.runtime.progress import Reporter
from sharpose.runtime.signals import StopOnSignal, Stopped
from sharpose.training.checkpoints import checkpoints_in, save_checkpoint
from sharpose.training.divergence import Watch
from sharpose.training.optim import learning_rate, set_learning_rate
from sharpose.training.recipe import Recipe
from sharpose.training.step_plan import StepPlan
from sharpose.training.tracking import EVERY

LOG_EVERY = 100
Judge = Callable[[torch.nn.Module], dict[str, float | None]]
"""Says how good a model is now, by figures with names; None for one that cannot be had."""


@dataclass
class TrainingState:
    """What a resumed run needs besides weights and optimiser moments.

    `log` has one row per LOG_EVERY steps, `curve` one per validation; `recent` and `above` are the loss watch's;
    `scaler` is fp16's loss scale; `parts` says how the run was made from which step on, where that has changed.
    """

    step: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    log: list[dict[str, float]] = field(default_factory=list)
    curve: list[dict[str, float | None]] = field(default_factory=list)
    recent: list[float] = field(default_factory=list)
    above: int = 0
    scaler: dict[str, float] | None = None
    parts: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> TrainingState:
        """Return the state in a checkpoint; what an older version did not store is as at the start."""
        return cls(**{each.name: stored[each.name] for each in fields(cls) if each.name in stored})


def step_plan(recipe: Recipe, step: int, steps_per_epoch: int, seed: int) -> StepPlan:
    """Return alpha, stages and lambda of a step, from (seed, step) alone."""
    epoch = step / steps_per_epoch
    alpha = float(np.random.default_rng([seed, 1, step]).choice(recipe.alphas)) if recipe.alphas else None
    return StepPlan(
        alpha=alpha,
        coarse_only=epoch < recipe.coarse_only_epochs,
        quality_weight=recipe.quality_weight if epoch >= recipe.quality_start_epoch else 0.0,
        epoch=epoch,
        cross_entropy=recipe.cross_entropy * max(0.0, 1 - epoch / recipe.cross_entropy_epochs)
        if recipe.cross_entropy_epochs
        else 0.0,
    )


@dataclass
class Loop:
    """Steps through the batches up to `stop`; checkpoints by the clock, at the end, and when a signal asks to stop.

    Several processes take every turn together: what one of them sees (a signal, a bad loss) all of them act upon.
    """

    recipe: Recipe
    folder: Path
    seed: int
    title: str
    identity: Mapping[str, Any]
    checkpoint_every_s: float
    accelerator: Accelerator
    model: torch.nn.Module
    criterion: torch.nn.Module
    optimizer: torch.optim.Optimizer
    steps_per_epoch: int
    stop: int
    state: TrainingState
    deadline: float | None = None
    """The time.monotonic() at which to stop with a checkpoint."""
    validation: Judge | None = None
    validate_at: frozenset[int] = frozenset()
    """Steps after which the model is judged on people that it does not learn from."""
    track: Callable[[dict[str, float], int], None] = lambda values, step: None
    """Takes figures by their names, and the step that they belong to."""
    stepping: bool = False
    """Whether the weights are those of no step: the optimiser is at work."""

    def run(self, loader: DataLoader[Any]) -> None:
        """Train to the end, or to the first thing that stops it.

        Raises InputError at a picture that cannot be read, RunFailed at a bad loss or where a loader's worker was
        killed, Interrupted after a signal and OutOfTime at the deadline. The last good checkpoint is kept in each case,
        and one written where steps have been made since.
        """
        state = self.state
        self.begin()
        if state.scaler and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state.scaler)
        self.model.train()
        with Reporter(self.title, self.stop, start=self.first) as report, StopOnSignal() as stopping:
            try:
                # where the part before was stopped while it judged
                self.validate(report)
                for batch in sample_batches(loader):
                    self.step(batch, report)
                    self.take_turn(stopping.asked is not None)
                    self.validate(report)
            except (InputError, WorkerDied) as error:
                self.save_alone()
                if stopping.asked is None:
                    raise
                raise self.stopped() from error
            except RunFailed:
                raise
            except RuntimeError as error:
                # a process of several that ends breaks off what the others say to each other
                if self.stepping or self.accelerator.num_processes == 1:
                    raise
                self.save_alone()
                lost = RunFailed(f"step {state.step}: the processes lost each other ({first_line(error)})")
                raise lost if stopping.asked is None else self.stopped() from error
            if state.step > self.saved_at:
                self.save()
            if state.step > self.first:
                report.at(state.step, "done")

    def begin(self) -> None:
        """Start the clocks and the watch over the loss, from where the state stands."""
        state = self.state
        self.first, self.saved_at = state.step, state.step
        self.began, self.cpu_began = time.monotonic() - state.wall_s, cpu_seconds() - state.cpu_s
        self.saved = self.logged = time.monotonic()
        self.watch = Watch(self.recipe.divergence_factor, self.recipe.divergence_steps, state.recent, state.above)

    def step(self, batch: Mapping[str, Tensor], report: Reporter) -> None:
        """Take one step of the optimiser, where the loss is a number in every process."""
        state, accelerator = self.state, self.accelerator
        plan = step_plan(self.recipe, state.step, self.steps_per_epoch, self.seed)
        rate = learning_rate(self.recipe, state.step, self.steps_per_epoch)
        set_learning_rate(self.optimizer, rate)
        # dropped paths derive from the step too, so that a resumed run repeats them
        torch.manual_seed(self.seed * 1_000_003 + state.step * accelerator.num_processes + accelerator.process_index)
        # from pinned memory the copy goes on while the next batch is fetched
        there = {name: value.to(accelerator.device, non_blocking=True) for name, value in batch.items()}
        losses = self.criterion(there, plan)
        means = mean_of(losses)
        self.judge(sum(means.values()))
        self.optimizer.zero_grad()
        accelerator.backward(self.recipe.loss_factor * torch.stack(list(losses.values())).sum())
        if self.recipe.gradient_clip is not None:
            accelerator.clip_grad_norm_(self.criterion.parameters(), self.recipe.gradient_clip)
        self.stepping = True
        self.optimizer.step()
        if state.step % LOG_EVERY == 0 or state.step == self.stop - 1:
            self.log(means, rate)
        if state.step % EVERY == 0 or state.step == self.stop - 1:
            self.track({**means, "lr": rate}, state.step)
        state.step += 1
        self.stepping = False
        report.at(state.step, self.so_far(means, rate))

    def validate(self, report: Reporter) -> None:
        """Add a row to the curve at the steps for that: what was seen so far, and how good the model is now.

        A signal breaks it off, which raises Interrupted, and the next part of the run does it again; not where several
        processes do it together.
        """
        state = self.state
        if self.validation is None or state.step not in self.validate_at or state.step in self.judged:
            return
        try:
            with StopOnSignal(at_once=self.accelerator.num_processes == 1):
                figures = self.validation(self.model)
        except Stopped as stop:
            self.save()
            raise self.stopped() from stop
        state.curve.append({"step": state.step, "crops": state.step * self.recipe.batch_size, **figures})
        known = {name: value for name, value in figures.items() if value is not None}
        self.track(known, state.step)
        report.at(state.step, figures_text(known))

    @property
    def judged(self) -> set[float | None]:
        """Return the steps that the curve has."""
        return {row["step"] for row in self.state.curve}

    def judge(self, loss: float) -> None:
        """Raise RunFailed when the loss, averaged over the processes, is no number or has run away."""
        saved = checkpoints_in(self.folder)
        kept = f"the last good checkpoint in {self.folder} is kept" if saved else "there was no checkpoint yet"
        if not math.isfinite(loss):
            raise RunFailed(
                f"step {self.state.step}: the loss is {loss}; {kept}. "
                "Lower learning_rate, or look at the data of this step"
            )
        self.watch.see(loss)
        if self.watch.diverged:
            raise RunFailed(
                f"step {self.state.step}: the loss diverges ({loss:.3g}, for {self.watch.above} steps above "
                f"{self.watch.factor:g} times its median); {kept}. Lower learning_rate, or raise divergence_steps"
            )

    def so_far(self, means: Mapping[str, float], rate: float) -> str:
        """Return how the run stands: losses and learning rate of this step, and the last AP and PCK."""
        losses = " ".join(f"{name} {value:.2e}" for name, value in means.items())
        judged = figures_text(self.state.curve[-1]) if self.state.curve else ""
        speed = f"{self.state.log[-1]['images_per_s']:.0f} images/s" if self.state.log else ""
        return " ".join(filter(None, (losses, f"lr {rate:.1e}", judged, speed)))

    def log(self, means: Mapping[str, float], rate: float) -> None:
        """Note means of the losses since the last row, the learning rate, and images per second, for the manifest."""
        now = time.monotonic()
        steps = LOG_EVERY if self.state.step > self.first else 1
        speed = steps * self.recipe.batch_size / (now - self.logged)
        self.logged = now
        self.state.log.append({"step": self.state.step, "lr": rate, "images_per_s": speed, **means})

    def take_turn(self, asked: bool) -> None:
        """Save between two steps where it is time to, and stop where a signal asked for it.

        Raises OutOfTime at the deadline, Interrupted after the signal.
        """
        late = time.monotonic() - self.saved > self.checkpoint_every_s
        over = self.deadline is not None and time.monotonic() > self.deadline and self.state.step < self.stop
        turn = any_of({"asked": asked, "over": over, "late": late}, self.accelerator.device)
        step = self.state.step
        if turn["asked"]:
            self.save()
            raise self.stopped()
        if turn["over"]:
            self.save()
            raise OutOfTime(f"out of time at step {step} of {self.stop}; run the same command again to go on")
        if turn["late"]:
            self.save()

    def stopped(self) -> Interrupted:
        """Return what a run that a signal stopped ends with."""
        return Interrupted(f"stopped by a signal at step {self.state.step}; run the same command again to go on")

    def save_alone(self) -> None:
        """Write a checkpoint of the steps since the last one, where the other processes of several do not join in."""
        if self.accelerator.is_main_process and self.state.step > self.saved_at:
            self.save(together=False)

    def save(self, *, together: bool = True) -> None:
        """Write a checkpoint; not while the loss is suspicious, so that the last good weights stay."""
        self.saved = time.monotonic()
        if self.watch.suspicious:
            return
        state, scaler = self.state, self.accelerator.scaler
        state.recent, state.above = self.watch.recent, self.watch.above
        state.scaler = None if scaler is None else scaler.state_dict()
        if together:
            self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            state.wall_s, state.cpu_s = time.monotonic() - self.began, cpu_seconds() - self.cpu_began
            inner = getattr(self.optimizer, "optimizer", self.optimizer)
            facts = {"identity": dict(self.identity), "stop": self.stop}
            save_checkpoint(self.folder, self.model, inner, {**asdict(state), **facts})
        self.saved_at = state.step


def figures_text(figures: Mapping[str, float | None]) -> str:
    """Return AP and PCK by the names of their people, in percent."""
    named = {key.rpartition("_"): value for key, value in figures.items() if value is not None}
    return " ".join(
        f"{people} {kind.upper()} {100 * value:.1f}"
        for (people, _, kind), value in named.items()
        if kind in ("ap", "pck")
    )


def cpu_seconds() -> float:
    """Return CPU time of this process and its finished workers."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
