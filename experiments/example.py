"""One person as the model sees it, kept with the results so that figures need neither torch nor data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from experiments.cells import open_catalog
from results.store import ROOT, write
from sharpose.data.cache import ensure_named

FOLDER = ROOT / "examples"
MODEL, DATASET, ALPHA = "sharpose-nano-128x96", "mannequin-val", 0.3


def save_example(index: int = 0) -> Path:
    """Crop, relevance, kept patches, quality and keypoints of both stages of one person; the crop as PNG beside it."""
    import cv2
    import torch

    from sharpose.codecs.udp import UdpCodec
    from sharpose.data.coco import CocoTopDown
    from sharpose.data.normalise import normalise
    from sharpose.models import create_model
    from sharpose.weights import load_weights

    model = create_model(MODEL, alpha=ALPHA, quality_threshold=None)
    digest = load_weights(model, open_catalog().weights(MODEL))
    config, people = model.config, ensure_named(DATASET)
    dataset = CocoTopDown(people.annotations_file, people.images_folder, image_size=config.image_size)
    person = dataset[index]
    with torch.inference_mode():
        output = model.eval()(normalise(person["image"][None]))
    codec = UdpCodec(config.image_size, config.heatmap_size)
    (height, width), (rows, columns) = config.image_size, config.heatmap_size
    stride = torch.tensor([(width - 1) / (columns - 1), (height - 1) / (rows - 1)])
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
        "coarse_keypoints": (codec.decode(output.coarse_heatmaps)[0][0] * stride).tolist(),
        "fine_keypoints": (codec.decode(output.heatmaps)[0][0] * stride).tolist(),
        "limbs": dataset.skeleton.limbs,
    }
    pixels = person["image"].permute(1, 2, 0).numpy()[..., ::-1]
    write(FOLDER / "person.png", cv2.imencode(".png", pixels)[1].tobytes())
    return write(FOLDER / "person.json", (json.dumps(facts) + "\n").encode())
