"""Make the label-free start of the `photos` tier: a nano ViT that learns what a larger ViT sees in photographs.

    python -m experiments.tools.label_free_start --teacher vit-small.safetensors

The teacher is a ViT-S/14 in timm's names (DINOv2's layout) that has seen no keypoint; it looks once at a random crop of
each person in `photos-train`. The student, of the width, depth and patches that all nano ViTs have, learns to give the
same features in the same places, at the resolutions of the fine and of the coarse stage by turns. Its patch embedding,
positions, class token, blocks and norm are the start; the layer that maps its features to the teacher's is thrown away.
"""

from __future__ import annotations

import shlex
import sys
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import timm
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from timm.layers import resample_abs_pos_embed
from timm.models import VisionTransformer
from torch import Tensor, nn

from experiments.cells.provenance import REPOSITORY, local_device, provenance
from experiments.tools.module import options, run
from sharpose.data.augment import Augmentation
from sharpose.data.coco import CocoTopDown
from sharpose.data.locate import find_all
from sharpose.data.mixture import Mixture
from sharpose.models.registry import resolve_config
from sharpose.pose.normalise import normalise
from sharpose.runtime.files import sha256_of
from sharpose.runtime.progress import Reporter
from sharpose.weights.files import read_weights, save_tensors

MODEL, DATA = "keypoint-vit-nano-128x96", "photos-train"
TEACHER, TEACHER_PATCH = "vit_small_patch14_dinov2", 14
AUGMENTATION = Augmentation(scale=0.35, rotation=30, color=0.2)
BATCH, RATE, WEIGHT_DECAY, WARM_UP = 32, 2e-3, 0.05, 0.05
FINE_EVERY = 3
"""Of so many batches one is at full resolution, where a crop costs four times as much."""
SAID_EVERY = 100
Size = tuple[int, int]


def open_people(image_size: Size, seed: int) -> Mixture:
    """Return the people of `photos-train`, whose labels nobody reads here."""
    found = find_all([DATA], [])
    sources = [
        CocoTopDown(one.annotations, one.images, image_size=image_size, augmentation=AUGMENTATION, seed=seed + number)
        for number, one in enumerate(found)
    ]
    return Mixture(sources)


def load_teacher(path: Path, grid: Size) -> VisionTransformer:
    """Load the teacher, for pictures of `grid` patches."""
    size = (grid[0] * TEACHER_PATCH, grid[1] * TEACHER_PATCH)
    model = timm.create_model(TEACHER, img_size=size, num_classes=0)
    assert isinstance(model, VisionTransformer)
    state = read_weights(path)
    state["pos_embed"] = resample_abs_pos_embed(state["pos_embed"], list(grid))
    model.load_state_dict(state)
    return model.eval()


def make_student(config: Any) -> VisionTransformer:
    """Make a plain ViT of a nano system's width, for any resolution that its patches divide."""
    return VisionTransformer(
        img_size=config.image_size,
        patch_size=config.patch_size,
        embed_dim=config.embed_dim,
        depth=config.depth,
        num_heads=config.num_heads,
        mlp_ratio=config.mlp_ratio,
        norm_layer=partial(nn.LayerNorm, eps=config.norm_eps),
        num_classes=0,
        dynamic_img_size=True,
    )


def resized(images: UInt8[Tensor, "B 3 H W"], size: Size) -> UInt8[Tensor, "B 3 h w"]:
    """Return images of another size (height, width), bilinear with antialiasing."""
    return F.interpolate(images.float(), size, mode="bilinear", antialias=True).round().clamp(0, 255).to(torch.uint8)


@torch.inference_mode()
def look(teacher: VisionTransformer, people: Mixture, crops: int, size: Size) -> dict[str, Tensor]:
    """Return crops of people, evenly over all sources, and what the teacher sees in each.

    Crops are uint8 (M, 3, *size); what is seen are half floats (M, 1 + tokens, D), the class token first.
    """
    chosen = [number * len(people) // crops for number in range(crops)]
    images, seen = [], []
    with Reporter("Looking", crops) as report:
        for begin in range(0, crops, BATCH):
            batch = torch.stack([people.sample(index, 0)["image"] for index in chosen[begin : begin + BATCH]])
            images.append(resized(batch, size))
            seen.append(teacher.forward_features(normalise(batch)).half())
            report.at(begin + len(batch))
    return {"images": torch.cat(images), "features": torch.cat(seen)}


def pooled(features: Float[Tensor, "B N D"], grid: Size, to: Size) -> Float[Tensor, "B n D"]:
    """Return class token and the means of patches on a coarser grid."""
    patches = features[:, 1:].transpose(1, 2).unflatten(2, grid)
    return torch.cat([features[:, :1], F.adaptive_avg_pool2d(patches, to).flatten(2).transpose(1, 2)], dim=1)


def learn(student: VisionTransformer, shown: dict[str, Tensor], grid: Size, steps: int) -> list[dict[str, float]]:
    """Train the student on what the teacher saw, each feature in its own deviations; the log of mean squares.

    Most steps are at half the resolution, against means of four patches; crops are mirrored at random. `shown` is what
    `look` gives: images (M, 3, H, W) and features (M, 1 + tokens, D).
    """
    images, features = shown["images"], shown["features"]
    some = features[:512].float().flatten(0, 1)
    centre, deviation = some.mean(dim=0), some.std(dim=0)
    head = nn.Linear(student.embed_dim, features.shape[2])
    optimizer = torch.optim.AdamW([*student.parameters(), *head.parameters()], lr=RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=WARM_UP)
    half, coarse = (images.shape[2] // 2, images.shape[3] // 2), (grid[0] // 2, grid[1] // 2)
    log: list[dict[str, float]] = []
    losses: dict[str, list[float]] = {"fine": [], "coarse": []}
    with Reporter("Learning", steps) as report:
        for step in range(steps):
            chosen = torch.randint(len(images), (BATCH,))
            batch, wanted = images[chosen], (features[chosen].float() - centre) / deviation
            if torch.rand(()) < 0.5:
                patches = wanted[:, 1:].unflatten(1, grid).flip(2).flatten(1, 2)
                batch, wanted = batch.flip(3), torch.cat([wanted[:, :1], patches], dim=1)
            at_half = step % FINE_EVERY != 0
            if at_half:
                batch, wanted = resized(batch, half), pooled(wanted, grid, coarse)
            loss = F.mse_loss(head(student.forward_features(normalise(batch))), wanted)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses["coarse" if at_half else "fine"].append(loss.item())
            if (step + 1) % SAID_EVERY == 0 or step + 1 == steps:
                log.append({"step": step + 1, **{name: round(mean(values), 4) for name, values in losses.items()}})
                losses = {name: [] for name in losses}
                report.at(step + 1, f"fine {log[-1]['fine']} coarse {log[-1]['coarse']}")
    return log


def main() -> None:
    """Look with the teacher where that is not done yet, train the student, and write its weights and manifest."""
    parser = options(__doc__)
    parser.add_argument("--teacher", type=Path, required=True, help="ViT-S/14 in timm's names, safetensors")
    parser.add_argument("--crops", type=int, default=10_000, help="crops that the teacher looks at")
    parser.add_argument("--steps", type=int, default=4_000, help=f"batches of {BATCH} that the student learns from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "label-free", help="keeps what was seen")
    chosen = parser.parse_args()
    torch.manual_seed(chosen.seed)
    config, began = resolve_config(MODEL), time.process_time()
    chosen.out.mkdir(parents=True, exist_ok=True)
    kept = chosen.out / f"seen-{chosen.crops}.pt"
    if not kept.exists():
        teacher = load_teacher(chosen.teacher, config.grid)
        people = open_people(teacher.patch_embed.img_size, chosen.seed)
        torch.save(look(teacher, people, chosen.crops, config.image_size), kept)
    student = make_student(config)
    log = learn(student, torch.load(kept), config.grid, chosen.steps)
    facts = {
        **provenance(local_device("cpu")),
        "model": "vit-nano-128x96",
        "command": shlex.join(["python", "-m", "experiments.tools.label_free_start", *sys.argv[1:]]),
        "data": {"name": DATA, "crops": chosen.crops},
        "recipe": {"batch_size": BATCH, "learning_rate": RATE, "weight_decay": WEIGHT_DECAY},
        "teacher": {"file": chosen.teacher.name, "sha256": sha256_of(chosen.teacher)},
        "init": None,
        "seed": chosen.seed,
        "steps": chosen.steps,
        "cpu_s": round(time.process_time() - began, 1),
        "log": log,
        "finished_utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    halves = {name: value.half() for name, value in student.state_dict().items()}
    save_tensors(halves, chosen.out / "start.safetensors", facts)
    print(chosen.out / "start.safetensors")


if __name__ == "__main__":
    run(main)
