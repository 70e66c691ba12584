"""People as the model sees them, kept with the results so that figures need neither torch nor data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.catalog import open_catalog
from results.store import ROOT, write
from sharpose.data.cache import ensure_named

if TYPE_CHECKING:
    from sharpose.data.coco import CocoTopDown
    from sharpose.models.output import PoseModel

FOLDER = ROOT / "examples"
MODEL, DATASET, ALPHA = "sharpose-nano-128x96", "mannequin-val", 0.3
VITPOSE = "vitpose-nano-128x96"
PEOPLE = (0, 100, 250, 400, 550, 700)
"""Places in the data set of the people of Figure 5, fixed without looking."""


def save_examples() -> list[Path]:
    """The concept's person, the people of Figure 5, and the blocks of Figure 2."""
    model, digest = trained(MODEL, alpha=ALPHA, quality_threshold=None)
    paths = [save_person(model, digest, 0, "person")]
    paths += [save_person(model, digest, index, f"person-{number}") for number, index in enumerate(PEOPLE[1:], 1)]
    return [*paths, save_blocks()]


def trained(name: str, kind: str = "best", **options: Any) -> tuple[PoseModel, str]:
    """A model with its weights of this tier, and their sha256. Raises Blocked where it has none."""
    from sharpose.models import create_model
    from sharpose.weights import load_weights

    path = open_catalog().weights(name, kind)
    model = create_model(name, **options)
    return model.eval(), load_weights(model, path)


def people_for(model: PoseModel) -> CocoTopDown:
    from sharpose.data.coco import CocoTopDown

    people = ensure_named(DATASET)
    return CocoTopDown(people.annotations_file, people.images_folder, image_size=model.config.image_size)


def save_person(model: PoseModel, digest: str, index: int, name: str) -> Path:
    """Crop, relevance, kept patches, quality, keypoints and OKS of both stages; the crop as PNG beside it."""
    import torch

    from sharpose.data.normalise import normalise
    from sharpose.metrics.oks import instance_oks

    config, dataset = model.config, people_for(model)
    person = dataset[index]
    with torch.inference_mode():
        output = model(normalise(person["image"][None]))
    points = {
        stage: keypoints(model, maps) for stage, maps in (("coarse", output.coarse_heatmaps), ("fine", output.heatmaps))
    }
    # OKS in crop pixels: the area shrinks with the square of the scale
    height, width = config.image_size
    area = torch.tensor([person["area"] * width * height / float(person["scale"].prod())])
    sigmas = dataset.skeleton.sigmas
    similar = {
        stage: instance_oks(found[None], person["keypoints"][None], person["visible"][None], area, sigmas).item()
        for stage, found in points.items()
    }
    facts: dict[str, Any] = {
        "model": MODEL,
        "weights_sha256": digest,
        "dataset": DATASET,
        "instance_id": int(person["instance_id"]),
        "alpha": ALPHA,
        "coarse_grid": config.coarse_grid,
        "fine_grid": config.fine_grid,
        "quality": output.quality[0].item(),
        "relevance": output.relevance[0].tolist(),
        "keep_indices": sorted(output.keep_indices[0].tolist()),
        "coarse_keypoints": points["coarse"].tolist(),
        "fine_keypoints": points["fine"].tolist(),
        "coarse_oks": similar["coarse"],
        "fine_oks": similar["fine"],
        "limbs": dataset.skeleton.limbs,
    }
    return save(name, person, facts)


def keypoints(model: PoseModel, heatmaps: Any) -> Any:
    """Keypoints (K, 2) of one person in crop pixels."""
    from sharpose.codecs.choice import codec_of
    from sharpose.inference.pipeline import crop_frame, place

    return place(heatmaps, *crop_frame(model.config.image_size), codec_of(model.config))[0][0]


def save_blocks(index: int = 0) -> Path:
    """ViTPose's heatmaps of one person behind every block, and how far their keypoints are from the annotated ones."""
    from sharpose.data.normalise import normalise
    from sharpose.models.intermediate import block_heatmaps

    model, digest = trained(VITPOSE, "shared")
    person = people_for(model)[index]
    maps = block_heatmaps(model, normalise(person["image"][None]))
    seen = person["visible"] > 0
    errors = [(keypoints(model, one) - person["keypoints"])[seen].norm(dim=1).mean().item() for one in maps.values()]
    facts = {
        "model": VITPOSE,
        "weights_sha256": digest,
        "dataset": DATASET,
        "instance_id": int(person["instance_id"]),
        "caption": f"{VITPOSE}: heatmaps decoded after every block",
        "blocks_per_row": len(model.blocks),  # type: ignore[arg-type]
        "block_names": list(maps),
        # thousandths, so that the file stays small
        "block_maps": [(1000 * one[0].amax(dim=0)).round().int().tolist() for one in maps.values()],
        "block_errors": [round(error, 3) for error in errors],
    }
    return save("blocks", person, facts)


def save(name: str, person: dict[str, Any], facts: dict[str, Any]) -> Path:
    """The crop as PNG and the facts as JSON."""
    import cv2

    pixels = person["image"].permute(1, 2, 0).numpy()[..., ::-1]
    write(FOLDER / f"{name}.png", cv2.imencode(".png", pixels)[1].tobytes())
    return write(FOLDER / f"{name}.json", (json.dumps(facts) + "\n").encode())
