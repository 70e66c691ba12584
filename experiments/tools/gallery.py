"""What the model sees and says on a few people at every α of Table 6, kept for the report and the notebooks."""

from __future__ import annotations

import base64
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.spec.catalog import EMBEDDED, Catalog, examples_folder, open_catalog
from experiments.tools.example import (
    MODEL,
    dataset_of,
    keypoints,
    may_be_shown,
    people_for,
    save_facts,
    save_picture,
    trained,
)

if TYPE_CHECKING:
    from torch import Tensor

    from sharpose.data.coco import CocoTopDown

ALPHAS = (0.0, 0.3, 0.4, 0.5, 1.0)
PEOPLE, CANDIDATES = 6, 200
"""People are taken from the first so many, at even steps of their predicted quality: none is picked by hand."""
FULLY_LABELLED = 17


def save_gallery(tier: str = EMBEDDED) -> Path:
    """Run a tier's model on `PEOPLE` people and write `gallery.json` with their crops as `gallery-1.png` and on.

    Raises InputError where nobody of the tier's people may be shown.
    """
    import torch

    catalog = open_catalog(tier)
    model, digest = trained(catalog, MODEL, quality_threshold=None)
    dataset, config, folder = people_for(catalog, model), model.config, examples_folder(catalog.name)
    with torch.inference_mode():
        whose, among = candidates(catalog, dataset)
        chosen = spread_by_quality(model, dataset, list(whose))
        shown = [{**person(model, dataset, index), **whose[index]} for index in chosen]
    for number, index in enumerate(chosen, 1):
        save_picture(folder / f"gallery-{number}.png", dataset[index])
    facts = {
        "model": catalog.stand_in("model", MODEL),
        "weights_sha256": digest,
        "dataset": dataset_of(catalog),
        "chosen": f"at even steps of predicted quality among {among}",
        "image_size": config.image_size,
        "coarse_grid": config.coarse_grid,
        "heatmap_size": config.heatmap_size,
        "alphas": ALPHAS,
        "keypoint_names": dataset.skeleton.keypoint_names,
        "limbs": dataset.skeleton.limbs,
        "people": shown,
    }
    return save_facts(folder / "gallery.json", facts)


def candidates(catalog: Catalog, dataset: CocoTopDown) -> tuple[dict[int, dict[str, str]], str]:
    """Return places of people to choose from, with whose photograph it is, and who they are in words."""
    if catalog.dataset(dataset_of(catalog)).mannequin is None:
        return may_be_shown(dataset), "those in photographs that may be shown"
    first = enumerate(dataset.instances[:CANDIDATES])
    whole = {index: dict[str, str]() for index, one in first if one.visible.sum() == FULLY_LABELLED}
    return whole, f"the fully labelled of the first {CANDIDATES} people"


def spread_by_quality(model: Any, dataset: CocoTopDown, whole: list[int]) -> list[int]:
    """Return those of `whole` at even steps of the quality that the model predicts for them, the least sure first."""
    import torch

    from sharpose.inference.pipeline import look

    images = torch.stack([dataset[index]["image"] for index in whole])
    order = look(model.coarse, images)[0].quality.argsort().tolist()
    steps = torch.linspace(0, len(order) - 1, PEOPLE).round().int().tolist()
    return [whole[order[step]] for step in steps]


def person(model: Any, dataset: CocoTopDown, index: int) -> dict[str, Any]:
    """Return quality, relevance and coarse result of one person, and the fine result at every α."""
    from sharpose.codecs.choice import codec_of
    from sharpose.inference.pipeline import look, place
    from sharpose.pose.oks import instance_oks

    sample = dataset[index]

    def judged(heatmaps: Tensor) -> dict[str, Any]:
        """Keypoints (x, y in crop pixels), their true OKS, the strongest heat over keypoints as base64 bytes (h w)."""
        found, _ = place(heatmaps, sample["center"][None], sample["scale"][None], codec_of(model.config))
        truth, area = found.new_tensor(dataset.instances[index].keypoints)[None], found.new_tensor([sample["area"]])
        oks = instance_oks(found, truth, sample["visible"][None], area, dataset.skeleton.sigmas).item()
        heat = (heatmaps[0].amax(dim=0).clamp(0, 1) * 255).round().byte()
        return {
            "keypoints": [[round(value, 1) for value in point] for point in keypoints(model, heatmaps).tolist()],
            "oks": round(oks, 3),
            "heat": base64.b64encode(heat.numpy().tobytes()).decode(),
        }

    outputs = {alpha: look(partial(model, alpha=alpha), sample["image"][None])[0] for alpha in ALPHAS}
    first = outputs[ALPHAS[0]]
    return {
        "instance_id": int(sample["instance_id"]),
        "quality": round(first.quality[0].item(), 4),
        "relevance": [round(value, 5) for value in first.relevance[0].tolist()],
        "coarse": judged(first.coarse_heatmaps),
        "fine": {
            str(alpha): {"keep_indices": sorted(output.keep_indices[0].tolist()), **judged(output.heatmaps)}
            for alpha, output in outputs.items()
        },
    }
