"""From a cell to its metrics, by calling the library. Torch is imported here only when something is measured."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.cells.blind import judge_cell
from experiments.cells.cells import Cell, training_of
from experiments.cells.packing import category, packed_arrays
from experiments.cells.provenance import Device
from experiments.spec.catalog import Catalog
from experiments.spec.measures import MEASURES
from experiments.spec.spec import MEAN_POSE, PEER, is_ours
from results.packed import pack
from sharpose.data.cache import ensure, ensure_mpii
from sharpose.data.photos import PHOTO_SETS
from sharpose.data.pictures import unchanged
from sharpose.models.system import load
from sharpose.runtime.errors import InputError, RunFailed, first_line
from sharpose.runtime.files import sha256_of

if TYPE_CHECKING:
    from sharpose.data.coco import CocoTopDown
    from sharpose.evaluation.coco import Evaluation
    from sharpose.evaluation.points import PckhEvaluation
    from sharpose.evaluation.request import People

Progress = Callable[[int, int], None]
Measured = Iterator[tuple[Cell, dict[str, Any]]]


def measure(
    cells: Sequence[Cell], reference: Cell | None, catalog: Catalog, device: Device, progress: Progress
) -> Measured:
    """Yield metrics of cells of one measure, each as soon as it is known. `reference` is what speeds are compared with.

    Raises InputError for a measure that nothing here can make.
    """
    kind = MEASURES.get(cells[0].measure)
    if kind is None:
        raise InputError(f"{cells[0].name}: no measurement is called {cells[0].measure!r}")
    run = load(kind.run)
    if kind.together:
        yield from run(cells, reference, catalog, device, progress)
        return
    from sharpose.efficiency.timing import torch_threads

    for cell in cells:
        with torch_threads(device.threads):
            metrics = run(cell, catalog, device, progress)
        yield cell, metrics


def run_cost(cell: Cell, catalog: Catalog, device: Device, progress: Progress) -> dict[str, Any]:
    """Return parameters and multiply-adds."""
    from sharpose.efficiency import cost

    return cost.measure_cost(cell.model, cell.options)


def run_own(cell: Cell, catalog: Catalog, device: Device, progress: Progress) -> dict[str, Any]:
    """Return what a plug-in measures.

    Raises RunFailed for whatever its function does, and where it leaves a column out.
    """
    kind = MEASURES[cell.measure]
    assert kind.function is not None
    try:
        found = dict(kind.function(cell.model, dict(cell.options)))
    except InputError:
        raise
    except Exception as error:
        raise RunFailed(f"{cell.name}: {first_line(error)}") from error
    if missing := sorted(set(kind.columns) - set(found)):
        raise RunFailed(f"{cell.name}: the measure gave no {missing[0]!r}")
    return found


KEPT = ("annotations_sha256", "pictures_sha256", "boxes_sha256", "boxes_ap", "submission_sha256")
"""Facts of an evaluation that its record keeps, beside those of PCK."""


def run_accuracy(cell: Cell, catalog: Catalog, device: Device, progress: Progress) -> dict[str, Any]:
    """Return COCO's or MPII's figures as fractions, coverage, the score's replicates and what pairs them."""
    from sharpose.evaluation.evaluate import evaluate, judged
    from sharpose.evaluation.request import EvaluationRequest
    from sharpose.inference.blazepose import predict_blazepose

    people = judged_people(cell, catalog, progress)
    evaluation: Evaluation | PckhEvaluation
    if cell.model == MEAN_POSE:
        evaluation, facts = measure_control(cell, people, catalog, progress)
    elif cell.model.startswith(PEER) and catalog.peer(cell.model).file is None:
        dataset = cropped(people)
        predictions = predict_blazepose(dataset, cell.flip_test, progress)
        evaluation, facts = judged(predictions, dataset, EvaluationRequest(people=people))
    else:
        network = peer_network(cell, catalog) if cell.model.startswith(PEER) else own_network(cell, catalog, progress)
        how: dict[str, Any] = {"flip_test": cell.flip_test, "device": device.kind}
        asked, data = EvaluationRequest(people=people, **how, **network), catalog.dataset(cell.dataset or "")
        evaluation, facts = judge_cell(cell, asked, data, progress) if data.withheld else evaluate(asked, progress)
        check_unchanged(cell, facts["weights_sha256"])
    kept = {name: value for name, value in facts.items() if name in KEPT or name.startswith("pck")}
    return {**accuracy_metrics(evaluation), **kept}


def judged_people(cell: Cell, catalog: Catalog, progress: Progress) -> People:
    """Return the people that a cell is measured on."""
    from sharpose.evaluation.request import People

    files, data = data_files(catalog, cell.dataset or "", progress), catalog.dataset(cell.dataset or "")
    return People(
        data=str(files.annotations),
        images=files.images,
        boxes="ground-truth" if cell.boxes == "ground-truth" else str(files.detections),
        by_name=data.by_name is not None,
        ground_truth=files.ground_truth,
    )


def own_network(cell: Cell, catalog: Catalog, progress: Progress) -> dict[str, Any]:
    """Return the part of a request that names a model of ours, and who is not judged where a control needs them."""
    from sharpose.evaluation.request import People

    network: dict[str, Any] = {"model": cell.model, "options": cell.options, "weights": str(cell.weights)}
    if cell.options.get("selection") == "constant":
        others = first_source(catalog, training_of(cell.dataset or "", catalog), progress)
        by_name = catalog.dataset(cell.dataset or "").by_name is not None
        network["mean_over"] = People(data=str(others.annotations), images=others.images, by_name=by_name)
    return network


def peer_network(cell: Cell, catalog: Catalog) -> dict[str, Any]:
    """Return the part of a request that names another project's network, and how it is read."""
    from sharpose.inference.heatmap_file import Reading, parse_size

    peer = catalog.peer(cell.model)
    reading = Reading(parse_size(peer.input), peer.normalise, peer.channels, peer.codec, peer.padding)
    return {"file": catalog.peer_file(cell.model), "reading": reading}


def measure_control(
    cell: Cell, people: People, catalog: Catalog, progress: Progress
) -> tuple[Evaluation, dict[str, Any]]:
    """Judge the mean pose of those that models learn from, in every box."""
    from sharpose.evaluation.coco import box_facts, score_results
    from sharpose.evaluation.mean_pose import mean_pose_control

    dataset = cropped(people)
    name = training_of(cell.dataset or "", catalog)
    # photographs have several sources
    sources = [catalog.data_path(name, path) for path in catalog.dataset(name).sources]
    training = sources or [data_files(catalog, name, progress).annotations]
    facts = {"annotations_sha256": sha256_of(dataset.annotations), **box_facts(dataset)}
    return score_results(mean_pose_control(training, dataset), dataset), facts


def cropped(people: People) -> CocoTopDown:
    """Return people for what reads boxes alone or cuts its own crops, so that the input size does not matter."""
    from sharpose.data.coco import CocoTopDown
    from sharpose.pose.skeleton import COCO

    assert people.images is not None
    layout = COCO if people.by_name else None
    return CocoTopDown(people.data, people.images, image_size=(256, 256), boxes=people.boxes, by_name=layout)


def run_predictions(cell: Cell, catalog: Catalog, device: Device, progress: Progress) -> dict[str, Any]:
    """Return both stages of every person and what judges them, packed: every threshold can be evaluated from it."""
    from sharpose.codecs.choice import codec_of
    from sharpose.data.coco import CocoTopDown
    from sharpose.inference.stages import predict_stages
    from sharpose.models import create_model
    from sharpose.weights.files import load_weights

    files, model = data_files(catalog, cell.dataset or "", progress), create_model(cell.model, **cell.options)
    check_unchanged(cell, load_weights(model, cell.weights or Path()))
    codec = codec_of(model.config)
    dataset = CocoTopDown(files.annotations, files.images, image_size=model.config.image_size, warp=codec.warp)
    with unchanged(dataset.pictures) as pictures:
        coarse, fine = predict_stages(model, dataset, codec, device=device.kind, progress=progress)
    return {
        "people": len(dataset),
        "images": len(dataset.images),
        "category": category(dataset),
        "annotations_sha256": sha256_of(files.annotations),
        "pictures_sha256": pictures,
        "arrays": pack(packed_arrays(coarse, fine, dataset)),
    }


def check_unchanged(cell: Cell, digest: str | None) -> None:
    """Raise InputError unless these weights are those that the cell is identified by; a peer's name their own."""
    identity = cell.identity or {}
    if is_ours(cell.model) and digest != identity.get("weights_sha256"):
        raise InputError(f"{cell.weights}: changed while this was running; start again")


def accuracy_metrics(evaluation: Evaluation | PckhEvaluation) -> dict[str, Any]:
    """Return a record's metrics from an evaluation: its figures, the score's replicates and what pairs them."""
    bootstrap = evaluation.bootstrap
    if bootstrap is None:
        return evaluation.summary()
    images = hashlib.sha256(json.dumps(list(bootstrap.image_ids)).encode()).hexdigest()[:16]
    replicates = [None if math.isnan(value) else round(value, 6) for value in bootstrap.replicates.tolist()]
    paired = {"bootstrap_seed": bootstrap.seed, "bootstrap_images": images}
    return {**evaluation.summary(), **paired, f"{evaluation.score_name}_bootstrap": replicates}


@dataclass(frozen=True)
class DataFiles:
    """A data set on disk."""

    annotations: Path
    images: Path
    detections: Path | None
    ground_truth: Path | None = None


def first_source(catalog: Catalog, name: str, progress: Progress) -> DataFiles:
    """Return the files of a data set; of one of several sources those of its first, which has the most people."""
    data = catalog.dataset(name)
    if not data.sources:
        return data_files(catalog, name, progress)
    source = PHOTO_SETS[data.photos or ""][0]
    return DataFiles(catalog.data_path(name, source.annotations), catalog.data_path(name, source.images), None)


def data_files(catalog: Catalog, name: str, progress: Progress) -> DataFiles:
    """Return the files of a data set; generated now where they are not in the cache."""
    data = catalog.dataset(name)
    if data.people is None:
        found = {part: catalog.data_path(name, path) for part, path in data.paths.items()}
        return DataFiles(found["annotations"], found["images"], found.get("detections"), found.get("ground_truth"))
    people = ensure(data.people, progress=progress)
    if data.is_mpii:
        ensure_mpii(people, progress=progress)
        return DataFiles(people.mpii_file, people.images_folder, None, people.mpii_truth_file)
    return DataFiles(people.annotations_file, people.images_folder, people.detections_file)


def run_throughput(
    cells: Sequence[Cell], reference: Cell | None, catalog: Catalog, device: Device, progress: Progress
) -> Measured:
    """Time all cells interleaved in one session with the reference, whose speed in it every record keeps."""
    from sharpose.efficiency import throughput
    from sharpose.efficiency.variants import Variant

    def variant(cell: Cell) -> Variant:
        how = cell.details
        load = (how["batch_size"], how["mode"], how["precision"])
        return Variant(cell.model, cell.options, *load, refine_rate=how["refine_rate"])

    timed = [*cells, *([reference] if reference is not None and reference not in cells else [])]
    metrics = throughput.measure_throughput(
        {cell.row: variant(cell) for cell in timed},
        device=device.kind,
        rounds=cells[0].details["rounds"],
        threads=device.threads,
        progress=progress,
    )
    shared: dict[str, Any] = {}
    if reference is not None:
        speed = metrics[reference.row]["images_per_s"]
        shared = {"reference_run_id": reference.run_id, "reference_images_per_s": speed}
    for cell in cells:
        yield cell, {**metrics[cell.row], **shared}
