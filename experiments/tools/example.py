"""People as the model sees them, kept with the results so that figures need neither torch nor data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.cells.measures import data_files, first_source
from experiments.spec.catalog import EMBEDDED, Blocked, Catalog, examples_folder, open_catalog
from results.store import write
from sharpose.runtime.errors import InputError

if TYPE_CHECKING:
    from sharpose.data.coco import CocoTopDown
    from sharpose.models.output import PoseModel

MODEL, VITPOSE, ALPHA = "sharpose-base-256x192", "vitpose-base-256x192", 0.3
PEOPLE = (0, 100, 250, 400, 550, 700)
"""Places in the data set of the people of Figure 5, fixed without looking."""
OPEN_LICENCES = (4, 7, 8)
"""COCO's numbers of licences under which a crop may be shown, under any licence, with its source named: CC BY, and no
known restriction."""
FEWEST_KEYPOINTS = 10


def save_examples(tier: str = EMBEDDED) -> list[Path]:
    """Save the concept's person, the people of Figure 5, and the blocks of Figure 2, as a tier's models see them.

    Of photographs, people of COCO's open licences alone. Raises InputError where a tier has no weights or people yet.
    """
    catalog = open_catalog(tier)
    try:
        model, digest = trained(catalog, MODEL, alpha=ALPHA, quality_threshold=None)
        people = people_for(catalog, model)
        chosen = choose(catalog, people)
        constant = constant_choice(catalog, model)
        shown = [Shown(catalog, people, index, found) for index, found in chosen.items()]
        names = ["person", *(f"person-{number}" for number in range(1, len(shown)))]
        paths = [save_person(model, digest, one, name, constant) for one, name in zip(shown, names, strict=True)]
        return [*paths, save_blocks(shown[0])]
    except Blocked as reason:
        raise InputError(f"no examples of tier {tier}: {reason}") from None


def constant_choice(catalog: Catalog, model: Any) -> list[int] | None:
    """Return the patches that one map for everybody chooses: the mean of attention's relevance over training people."""
    from sharpose.data.coco import CocoTopDown
    from sharpose.evaluation.selection import mean_relevance

    training = catalog.dataset(dataset_of(catalog)).training
    if training is None or not hasattr(model.config, "selection"):
        return None
    files = first_source(catalog, training, lambda done, total: None)
    others = CocoTopDown(files.annotations, files.images, image_size=model.config.image_size)
    order = mean_relevance(model, others).argsort(descending=True, stable=True)
    return sorted(order[: model.config.num_keep()].tolist())


@dataclass(frozen=True)
class Shown:
    """One person of a tier's people, by place, and whose photograph it is."""

    catalog: Catalog
    people: CocoTopDown
    index: int
    attribution: dict[str, str]

    @property
    def source(self) -> dict[str, Any]:
        """Return the people's name and the person's; of a photograph, its licence and address too."""
        person = int(self.people.instances[self.index].instance_id)
        return {"dataset": dataset_of(self.catalog), "instance_id": person, **self.attribution}


def trained(catalog: Catalog, name: str, **options: Any) -> tuple[PoseModel, str]:
    """The stand-in of a model with its weights of this tier, and their sha256. Raises Blocked where it has none."""
    from sharpose.models import create_model
    from sharpose.weights.files import load_weights

    stand_in = catalog.stand_in("model", name)
    path = catalog.weights(stand_in)
    model = create_model(stand_in, **options, **catalog.tier.options)
    return model.eval(), load_weights(model, path)


def dataset_of(catalog: Catalog) -> str:
    """Generated people are those that tables are about; of photographs, those with licences, to report choices on."""
    name = catalog.stand_in("dataset", "coco-val")
    return name if catalog.dataset(name).mannequin is not None else catalog.stand_in("dataset", "held-out")


def people_for(catalog: Catalog, model: PoseModel) -> CocoTopDown:
    """Return the people of the catalog's data set, cropped for a model."""
    from sharpose.data.coco import CocoTopDown

    files = data_files(catalog, dataset_of(catalog), lambda done, total: None)
    return CocoTopDown(files.annotations, files.images, image_size=model.config.image_size)


def choose(catalog: Catalog, people: CocoTopDown) -> dict[int, dict[str, str]]:
    """Return places of the people to show, with what has to be said of their photographs.

    Of photographs, the first that may be shown are taken. Raises InputError where nobody may.
    """
    if catalog.dataset(dataset_of(catalog)).mannequin is not None:
        return {index: {} for index in PEOPLE}
    return dict(list(may_be_shown(people).items())[: len(PEOPLE)])


def may_be_shown(people: CocoTopDown) -> dict[int, dict[str, str]]:
    """Return places of people with enough labelled keypoints in photographs of open licences, and whose these are.

    Raises InputError where there is nobody.
    """
    content = json.loads(Path(people.annotations).read_bytes())
    names = {one["id"]: f"{one['name']}, {one['url']}" for one in content.get("licenses", ())}
    open_ones = {one["id"]: one for one in content["images"] if one.get("license") in OPEN_LICENCES}
    found = [
        index
        for index, one in enumerate(people.instances)
        if one.image_id in open_ones and (one.visible > 0).sum() >= FEWEST_KEYPOINTS
    ]
    if not found:
        raise InputError(f"{people.annotations}: nobody in it is in a photograph of an open licence")
    pictures = {index: open_ones[people.instances[index].image_id] for index in found}
    return {
        index: {"photograph": one["flickr_url"], "licence": names[one["license"]]} for index, one in pictures.items()
    }


def save_person(model: PoseModel, digest: str, shown: Shown, name: str, constant: list[int] | None) -> Path:
    """Write what the model sees of a person, and the crop as PNG beside it.

    Relevance, kept patches and those of one map for everybody, quality, keypoints and OKS of both stages.
    """
    import torch

    from sharpose.inference.pipeline import look

    config, person = model.config, shown.people[shown.index]
    with torch.inference_mode():
        (output,) = look(model, person["image"][None])
    coarse, fine = (judged(model, shown.people, person, maps) for maps in (output.coarse_heatmaps, output.heatmaps))
    facts: dict[str, Any] = {
        "model": shown.catalog.stand_in("model", MODEL),
        "weights_sha256": digest,
        **shown.source,
        "alpha": ALPHA,
        "coarse_grid": config.coarse_grid,
        "fine_grid": config.fine_grid,
        "quality": output.quality[0].item(),
        "relevance": output.relevance[0].tolist(),
        "keep_indices": sorted(output.keep_indices[0].tolist()),
        "constant_indices": constant,
        "coarse_keypoints": coarse[0].tolist(),
        "fine_keypoints": fine[0].tolist(),
        "coarse_oks": coarse[1],
        "fine_oks": fine[1],
        "limbs": shown.people.skeleton.limbs,
    }
    return save(shown.catalog, name, person, facts)


def keypoints(model: PoseModel, heatmaps: Any) -> Any:
    """Return keypoints (K, 2) of one person in crop pixels."""
    from sharpose.codecs.choice import codec_of
    from sharpose.inference.pipeline import crop_frame, place

    return place(heatmaps, *crop_frame(model.config.image_size), codec_of(model.config))[0][0]


def judged(model: PoseModel, people: CocoTopDown, person: dict[str, Any], heatmaps: Any) -> tuple[Any, float]:
    """Return keypoints (K, 2) of one person in crop pixels, and their OKS."""
    from sharpose.pose.oks import instance_oks

    found, (height, width) = keypoints(model, heatmaps), model.config.image_size
    # in crop pixels the area shrinks with the square of the scale
    area = found.new_tensor([person["area"] * width * height / float(person["scale"].prod())])
    truth, visible = person["keypoints"][None], person["visible"][None]
    return found, instance_oks(found[None], truth, visible, area, people.skeleton.sigmas).item()


def save_blocks(shown: Shown) -> Path:
    """ViTPose's heatmaps of one person behind every block, and how far their keypoints are from the annotated ones."""
    from sharpose.models.intermediate import block_heatmaps
    from sharpose.pose.normalise import normalise

    name = shown.catalog.stand_in("model", VITPOSE)
    model, digest = trained(shown.catalog, VITPOSE)
    person = shown.people[shown.index]
    maps = block_heatmaps(model, normalise(person["image"][None]))
    seen = person["visible"] > 0
    errors = [(keypoints(model, one) - person["keypoints"])[seen].norm(dim=1).mean().item() for one in maps.values()]
    facts = {
        "model": name,
        "weights_sha256": digest,
        **shown.source,
        "caption": f"{name}: heatmaps decoded after every block",
        "blocks_per_row": len(model.blocks),  # type: ignore[arg-type]
        "block_names": list(maps),
        # thousandths, so that the file stays small
        "block_maps": [(1000 * one[0].amax(dim=0)).round().int().tolist() for one in maps.values()],
        "block_errors": [round(error, 3) for error in errors],
    }
    return save(shown.catalog, "blocks", person, facts)


def save(catalog: Catalog, name: str, person: dict[str, Any], facts: dict[str, Any]) -> Path:
    """Write the crop as PNG and the facts as JSON."""
    folder = examples_folder(catalog.name)
    save_picture(folder / f"{name}.png", person)
    return save_facts(folder / f"{name}.json", facts)


def save_picture(path: Path, person: dict[str, Any]) -> None:
    """Write the crop of a person as PNG."""
    import cv2

    write(path, cv2.imencode(".png", person["image"].permute(1, 2, 0).numpy()[..., ::-1])[1].tobytes())


def save_facts(path: Path, facts: dict[str, Any]) -> Path:
    """Write facts as JSON, in one line."""
    return write(path, (json.dumps(facts) + "\n").encode())
