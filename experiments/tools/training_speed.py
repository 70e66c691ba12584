"""How fast a model learns, against what the machine could do: crops per second, share of its matmul rate, the loader.

    python -m experiments.tools.training_speed --model vitpose-small-256x192 --recipe photos-small
    python -m experiments.tools.training_speed --show

Whole training steps (losses, gradients, clipping, optimiser) on random crops, a large product in each precision, and
the loader's crops on people of a named set. A step counts as three forward passes of multiply-adds.
A line per precision is added to docs/training-speed.jsonl; `--show` prints them as a table.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from experiments.cells.provenance import REPOSITORY, local_device, provenance
from experiments.tools.module import run, timing_options
from results.logs import add_lines, read_lines
from sharpose.runtime.errors import InputError

LOG = REPOSITORY / "docs" / "training-speed.jsonl"
PRECISIONS = ("no", "bf16")
WARMUP = 1


def training_step(model_name: str, recipe_name: str, precision: str, device: str) -> Callable[[], None]:
    """Return a call that makes one step of a recipe, both stages included, always on the same random crops."""
    import torch

    from sharpose.codecs.choice import codec_of
    from sharpose.models import create_model
    from sharpose.models.layers.vit import use_explicit_attention
    from sharpose.pose.skeleton import COCO
    from sharpose.training.engine import explicit_is_faster
    from sharpose.training.loop import step_plan
    from sharpose.training.objective import objective_for
    from sharpose.training.optim import make_optimizer
    from sharpose.training.recipe import load_recipe

    recipe = load_recipe(recipe_name)
    torch.manual_seed(0)
    model = create_model(model_name, **recipe.model_options).train()
    use_explicit_attention(model, explicit_is_faster(device, precision))
    objective = objective_for(model, codec_of(model.config, recipe.sigma), COCO.sigmas, recipe).to(device)
    optimizer = make_optimizer(model.named_parameters(), getattr(model.config, "depth", 0), recipe, model.without_decay)
    (height, width), crops = model.config.image_size, recipe.batch_size
    batch = {
        "image": torch.randint(0, 256, (crops, 3, height, width), dtype=torch.uint8),
        "keypoints": torch.rand(crops, model.config.num_keypoints, 2) * torch.tensor([width, height]),
        "visible": torch.ones(crops, model.config.num_keypoints),
        "area": torch.full((crops,), height * width / 4),
        "scale": torch.tensor([width, height]).expand(crops, 2).float(),
    }
    batch = {name: value.to(device) for name, value in batch.items()}
    # the last step of the recipe: whatever it begins with has been switched on or off
    plan = step_plan(recipe, int(1000 * recipe.epochs) - 1, 1000, 0)

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            loss = torch.stack(list(objective(batch, plan).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        if recipe.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(objective.parameters(), recipe.gradient_clip)
        optimizer.step()

    return step


def measure(
    model: str, recipe: str, people: str | None, *, device: str, rounds: int, threads: int | None
) -> list[dict[str, Any]]:
    """Return a line of the log per precision, steps and products interleaved.

    Raises InputError for no rounds, and for people that are not at hand.
    """
    import torch

    from sharpose.efficiency.cost import measure_cost
    from sharpose.efficiency.loading import TRAINING_PASSES
    from sharpose.efficiency.machine import matmul_call
    from sharpose.efficiency.timing import interleave, torch_threads
    from sharpose.training.recipe import load_recipe

    if rounds < 1:
        raise InputError("--rounds: at least one is needed")
    chosen = load_recipe(recipe)
    loader = None if people is None else crops_of_loader(people, model)
    macs = TRAINING_PASSES * measure_cost(model, chosen.model_options)["macs_torch_executed"]
    dtypes = dict(zip(PRECISIONS, (torch.float32, torch.bfloat16), strict=True))
    products = {precision: matmul_call(device, dtype) for precision, dtype in dtypes.items()}
    with torch_threads(threads):
        calls: dict[str, Callable[[], object]] = {
            f"{p} step": training_step(model, recipe, p, device) for p in PRECISIONS
        }
        calls |= {f"{p} product": call for p, (call, _) in products.items()}
        samples = interleave(calls, device, rounds, WARMUP)
        used = torch.get_num_threads()
    clock = "cpu_s" if device == "cpu" and used == 1 else "wall_s"
    seconds = {label: statistics.median(getattr(one, clock) for one in taken) for label, taken in samples.items()}
    lines = []
    for precision, (_, size) in products.items():
        rate, crops_per_s = size / seconds[f"{precision} product"], chosen.batch_size / seconds[f"{precision} step"]
        lines.append(
            {
                "model": model,
                "recipe": recipe,
                "precision": precision,
                "batch": chosen.batch_size,
                "rounds": rounds,
                "clock": clock,
                "crops_per_s": crops_per_s,
                "macs_per_crop": macs,
                "matmul_macs_per_s": rate,
                "share_of_matmul_rate": macs * crops_per_s / rate,
                "loader": loader,
                **provenance(local_device(device)),
                "threads": used,
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


def table(lines: Iterable[Mapping[str, Any]]) -> str:
    """The log as a Markdown table."""
    rows = [
        "| model | precision | crops/s | share of the matmul rate | loader, crops/s on one core (decoded once) |",
        "|---|---|---|---|---|",
    ]
    for line in lines:
        made = line["loader"]
        supply = (
            "–" if made is None else "{crops_per_s_per_core:.0f} ({crops_per_s_per_core_preloaded:.0f})".format(**made)
        )
        rows.append(
            f"| {line['model']} | {'fp32' if line['precision'] == 'no' else line['precision']} | "
            f"{line['crops_per_s']:.1f} | {line['share_of_matmul_rate']:.0%} | {supply} |"
        )
    return "\n".join(rows)


def main() -> None:
    """Measure a model's training and add its lines to the log, or print what is there."""
    parser = timing_options(__doc__, rounds=5)
    parser.add_argument("--model", default="vitpose-small-256x192")
    parser.add_argument("--recipe", default="photos-small")
    parser.add_argument("--data", help="a named set that the loader is timed on, such as photos-pelota")
    chosen = parser.parse_args()
    if chosen.show:
        print(table(read_lines(LOG)))
        return
    limits = {"device": chosen.device, "rounds": chosen.rounds, "threads": chosen.threads}
    lines = measure(chosen.model, chosen.recipe, chosen.data, **limits)
    add_lines(LOG, lines)
    print(table(lines))


if __name__ == "__main__":
    run(main)
