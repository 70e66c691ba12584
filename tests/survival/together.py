"""One training and evaluation, alone or as one of several processes of torchrun; writes what came out to FOLDER.

With --die-at STEP the second process kills itself at that step, in the first attempt alone.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
from pathlib import Path

import torch
from kills import open_people, small_recipe

from sharpose.codecs.choice import codec_of
from sharpose.data.coco import CocoTopDown
from sharpose.evaluation.coco import score
from sharpose.inference.dataset import predict
from sharpose.runtime.distributed import join, rank_and_world
from sharpose.training import loop
from sharpose.training.engine import Run, train

STEPS = 12


def die_at(step: int) -> None:
    original = loop.learning_rate

    def rate(recipe: object, now: int, per_epoch: int) -> float:
        first_attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0"
        if now == step and first_attempt and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return original(recipe, now, per_epoch)  # type: ignore[arg-type]

    loop.learning_rate = rate


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--die-at", type=int)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    loop.LOG_EVERY = 1
    if arguments.die_at is not None:
        die_at(arguments.die_at)
    join("cpu")
    people = open_people(arguments.people)
    recipe = small_recipe(STEPS, len(people) // 8)
    # every process drops its own paths, so that one of them alone is no half of a batch
    recipe = recipe.model_copy(update={"model_options": {**recipe.model_options, "drop_path": 0.0}})
    run = Run("sharpose-nano-128x96", recipe, people, arguments.out / "run", seed=1, checkpoint_every_s=0.0)
    model, state = train(run)
    everyone = CocoTopDown(people.annotations, people.folder, image_size=(128, 96))
    looked_at: list[int] = []
    predictions = predict(model, everyone, codec_of(model.config), progress=lambda done, total: looked_at.append(total))
    evaluation = score(predictions, everyone, resamples=10)
    rank, world = rank_and_world()
    found = {"log": state.log, "summary": evaluation.summary(), "results": evaluation.results, "mine": looked_at[-1]}
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    (arguments.out / f"{rank}.json").write_text(json.dumps({**found, "world": world, "attempt": attempt}))


if __name__ == "__main__":
    main()
