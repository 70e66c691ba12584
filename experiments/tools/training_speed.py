"""How fast a model learns, against what the machine could do: crops per second, share of its matmul rate, the loader.

    python -m experiments.tools.training_speed --model vitpose-small-256x192 --recipe photos-small
    python -m experiments.tools.training_speed --show

Whole training steps (losses, gradients, clipping, optimiser) on random crops, a large matmul in each precision, and
the loader's crops on people of a named set. A step counts as three forward passes of multiply-adds.
A line per precision is added to docs/training-speed.jsonl; `--show` prints them as a table.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

from experiments.cells.provenance import REPOSITORY
from experiments.tools.module import Line, Timing, options, run, study
from results.logs import markdown

LOG = REPOSITORY / "docs" / "training-speed.jsonl"
PRECISIONS = ("no", "bf16")
STEPS_PER_EPOCH = 1000


def training_step(model_name: str, recipe_name: str, precision: str, device: str) -> Callable[[], None]:
    """Return a call that makes the last step of a recipe, both stages included, always on the same random crops.

    Whatever a recipe begins with has been switched on or off by then.
    """
    import torch
    from accelerate import Accelerator

    from sharpose.codecs.choice import codec_of
    from sharpose.models import create_model
    from sharpose.pose.skeleton import COCO
    from sharpose.runtime.progress import Reporter
    from sharpose.training.criterion import criterion_for
    from sharpose.training.engine import make_steps_fast
    from sharpose.training.loop import Loop, TrainingState
    from sharpose.training.optim import make_optimizer
    from sharpose.training.recipe import load_recipe

    recipe = load_recipe(recipe_name)
    torch.manual_seed(0)
    model = create_model(model_name, **recipe.model_options).train()
    make_steps_fast(model, device, precision)
    criterion = criterion_for(model, codec_of(model.config, recipe.sigma), COCO.sigmas, recipe).to(device)
    # an accelerator has one precision in a process, and steps of several are timed here
    autocast = torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")
    criterion.forward = autocast(criterion.forward)  # type: ignore[method-assign]
    (height, width), crops = model.config.image_size, recipe.batch_size
    batch = {
        "image": torch.randint(0, 256, (crops, 3, height, width), dtype=torch.uint8),
        "keypoints": torch.rand(crops, model.config.num_keypoints, 2) * torch.tensor([width, height]),
        "visible": torch.ones(crops, model.config.num_keypoints),
        "area": torch.full((crops,), height * width / 4),
        "scale": torch.tensor([width, height]).expand(crops, 2).float(),
    }
    last = int(STEPS_PER_EPOCH * recipe.epochs) - 1
    loop = Loop(
        recipe=recipe,
        folder=REPOSITORY / "runs" / "training-speed",
        seed=0,
        title="",
        identity={},
        checkpoint_every_s=math.inf,
        accelerator=Accelerator(cpu=device == "cpu"),
        model=model,
        criterion=criterion,
        optimizer=make_optimizer(
            model.named_parameters(), getattr(model.config, "depth", 0), recipe, model.without_decay
        ),
        steps_per_epoch=STEPS_PER_EPOCH,
        stop=last + 1,
        state=TrainingState(),
    )
    loop.begin()
    silent = Reporter("", sys.maxsize, every_s=math.inf)

    def step() -> None:
        loop.state.step = last
        loop.step(batch, silent)

    return step


def measure(model: str, recipe: str, people: str | None, timing: Timing) -> list[dict[str, Any]]:
    """Return a line of the log per precision, steps and matmuls interleaved.

    Raises InputError for people that are not at hand.
    """
    import torch

    from sharpose.efficiency.cost import measure_cost
    from sharpose.efficiency.loading import TRAINING_PASSES
    from sharpose.efficiency.machine import matmul_call
    from sharpose.training.recipe import load_recipe

    chosen = load_recipe(recipe)
    loader = None if people is None else crops_of_loader(people, model)
    macs = TRAINING_PASSES * measure_cost(model, chosen.model_options)["macs_torch_executed"]
    dtypes = dict(zip(PRECISIONS, (torch.float32, torch.bfloat16), strict=True))
    matmuls = {precision: matmul_call(timing.device, dtype) for precision, dtype in dtypes.items()}
    calls: dict[str, Callable[[], object]] = {
        f"{p} step": training_step(model, recipe, p, timing.device) for p in PRECISIONS
    }
    calls |= {f"{p} matmul": call for p, (call, _) in matmuls.items()}
    samples, _, made = timing.measure(calls, warmup=1)
    clock = "cpu_s" if timing.device == "cpu" and made["threads"] == 1 else "wall_s"
    seconds = {label: statistics.median(getattr(one, clock) for one in taken) for label, taken in samples.items()}
    lines = []
    for precision, (_, size) in matmuls.items():
        rate, crops_per_s = size / seconds[f"{precision} matmul"], chosen.batch_size / seconds[f"{precision} step"]
        lines.append(
            {
                "model": model,
                "recipe": recipe,
                "precision": precision,
                "batch": chosen.batch_size,
                "rounds": timing.rounds,
                "clock": clock,
                "crops_per_s": crops_per_s,
                "macs_per_crop": macs,
                "matmul_macs_per_s": rate,
                "share_of_matmul_rate": macs * crops_per_s / rate,
                "loader": loader,
                **made,
            }
        )
    return lines


def crops_of_loader(people: str, model: str) -> dict[str, Any]:
    """Return what the loader takes for a crop of a named set on one core. Raises InputError where it is not at hand."""
    from sharpose.codecs.choice import codec_of
    from sharpose.data.augment import Augmentation
    from sharpose.data.coco import CocoTopDown
    from sharpose.data.locate import find_data
    from sharpose.efficiency.loading import measure_loading
    from sharpose.models.registry import resolve_config

    config = resolve_config(model)
    source = find_data(people, None)
    size, warp = config.image_size, codec_of(config).warp
    found = CocoTopDown(source.annotations, source.images, image_size=size, augmentation=Augmentation(), warp=warp)
    return {"data": people, **measure_loading(found, 200)}


def table(lines: Sequence[Line]) -> str:
    """Return the log as a Markdown table."""
    heads = ("model", "precision", "crops/s", "share of the matmul rate", "loader, crops/s on one core (decoded once)")
    supply = "{crops_per_s_per_core:.0f} ({crops_per_s_per_core_preloaded:.0f})"
    rows = [
        (
            line["model"],
            "fp32" if line["precision"] == "no" else line["precision"],
            f"{line['crops_per_s']:.1f}",
            f"{line['share_of_matmul_rate']:.0%}",
            "–" if line["loader"] is None else supply.format(**line["loader"]),
        )
        for line in lines
    ]
    return markdown(heads, rows)


def main() -> None:
    """Measure a model's training and add its lines to the log, or print what is there."""
    parser = options(__doc__, log=True, rounds=5)
    parser.add_argument("--model", default="vitpose-small-256x192")
    parser.add_argument("--recipe", default="photos-small")
    parser.add_argument("--data", help="a named set that the loader is timed on, such as photos-pelota")
    chosen = parser.parse_args()
    timing = Timing(chosen.device, chosen.rounds, chosen.threads)
    study(LOG, table, chosen.show, lambda: [measure(chosen.model, chosen.recipe, chosen.data, timing)])


if __name__ == "__main__":
    run(main)
