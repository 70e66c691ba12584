"""What the model sees and says on a few people at every α of Table 6, kept for the report and the notebooks."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.spec.catalog import open_catalog
from results.store import ROOT, write
from sharpose.data.cache import ensure_named

if TYPE_CHECKING:
    from torch import Tensor

    from sharpose.data.coco import CocoTopDown
    from sharpose.models.sharpose.model import SHaRPose

FOLDER = ROOT / "examples"
MODEL, DATASET = "sharpose-nano-128x96", "mannequin-val"
ALPHAS = (0.0, 0.3, 0.4, 0.5, 1.0)
CANDIDATES = 200
"""People are taken from the first so many, at even steps of their predicted quality: none is picked by hand."""
FULLY_LABELLED = 17


def save_gallery(people: int = 6, folder: Path = FOLDER) -> Path:
    """Run the model on `people` people and write `gallery.json` with their crops as `gallery-1.png` and on."""
    import torch

    from sharpose.data.coco import CocoTopDown
    from sharpose.models import create_model
    from sharpose.weights.files import load_weights

    model: Any = create_model(MODEL, quality_threshold=None).eval()
    digest = load_weights(model, open_catalog().weights(MODEL))
    files, config = ensure_named(DATASET), model.config
    dataset = CocoTopDown(files.annotations_file, files.images_folder, image_size=config.image_size)
    with torch.inference_mode():
        chosen = spread_by_quality(model, dataset, people)
        shown = [person(model, dataset, index) for index in chosen]
    for number, index in enumerate(chosen, 1):
        write(folder / f"gallery-{number}.png", png(dataset[index]["image"]))
    facts = {
        "model": MODEL,
        "weights_sha256": digest,
        "dataset": DATASET,
        "chosen": f"at even steps of predicted quality among the fully labelled of the first {CANDIDATES} people",
        "image_size": config.image_size,
        "coarse_grid": config.coarse_grid,
        "heatmap_size": config.heatmap_size,
        "alphas": ALPHAS,
        "keypoint_names": dataset.skeleton.keypoint_names,
        "limbs": dataset.skeleton.limbs,
        "people": shown,
    }
    return write(folder / "gallery.json", (json.dumps(facts) + "\n").encode())


def spread_by_quality(model: SHaRPose, dataset: CocoTopDown, people: int) -> list[int]:
    """Indices of people at even steps of the quality that the model predicts for them, the least sure first."""
    import torch

    from sharpose.pose.normalise import normalise

    whole = [i for i, one in enumerate(dataset.instances[:CANDIDATES]) if one.visible.sum() == FULLY_LABELLED]
    images = torch.stack([dataset[index]["image"] for index in whole])
    order = model.coarse(normalise(images)).quality.argsort().tolist()
    steps = torch.linspace(0, len(order) - 1, people).round().int().tolist()
    return [whole[order[step]] for step in steps]


def person(model: SHaRPose, dataset: CocoTopDown, index: int) -> dict[str, Any]:
    """Quality, relevance and coarse result of one person, and the fine result at every α."""
    from sharpose.pose.normalise import normalise

    sample = dataset[index]
    sample["truth"] = sample["keypoints"].new_tensor(dataset.instances[index].keypoints)[None]
    image = normalise(sample["image"][None])
    outputs = {alpha: model(image, alpha=alpha) for alpha in ALPHAS}
    first = outputs[ALPHAS[0]]
    looks = {
        str(alpha): {
            "keep_indices": sorted(output.keep_indices[0].tolist()),
            **look(model, sample, output.heatmaps, dataset.skeleton.sigmas),
        }
        for alpha, output in outputs.items()
    }
    return {
        "instance_id": int(sample["instance_id"]),
        "quality": round(first.quality[0].item(), 4),
        "relevance": [round(value, 5) for value in first.relevance[0].tolist()],
        "coarse": look(model, sample, first.coarse_heatmaps, dataset.skeleton.sigmas),
        "fine": looks,
    }


def look(model: SHaRPose, sample: dict[str, Any], heatmaps: Tensor, sigmas: Sequence[float]) -> dict[str, Any]:
    """Keypoints (x, y in crop pixels), their true OKS, and the strongest heat over keypoints as base64 bytes (h w)."""
    from sharpose.codecs.choice import codec_of
    from sharpose.inference.pipeline import crop_frame, place
    from sharpose.pose.oks import instance_oks

    codec = codec_of(model.config)
    in_crop = place(heatmaps, *crop_frame(model.config.image_size), codec)[0][0]
    in_picture, _ = place(heatmaps, sample["center"][None], sample["scale"][None], codec)
    area = in_picture.new_tensor([sample["area"]])
    oks = instance_oks(in_picture, sample["truth"], sample["visible"][None], area, sigmas)
    heat = (heatmaps[0].amax(dim=0).clamp(0, 1) * 255).round().byte()
    return {
        "keypoints": [[round(value, 1) for value in point] for point in in_crop.tolist()],
        "oks": round(oks.item(), 3),
        "heat": base64.b64encode(heat.numpy().tobytes()).decode(),
    }


def png(image: Tensor) -> bytes:
    """A crop (3, H, W) of RGB bytes as a PNG file."""
    import cv2

    return cv2.imencode(".png", image.permute(1, 2, 0).numpy()[..., ::-1])[1].tobytes()
