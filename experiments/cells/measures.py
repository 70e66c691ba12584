"""From a cell to its metrics, by calling the library. Torch is imported here only when something is measured."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.cells.blind import judge_cell
from experiments.cells.cells import Cell
from experiments.cells.packing import category, packed_arrays
from experiments.cells.provenance import Device
from experiments.spec.catalog import Catalog
from experiments.spec.spec import PEER
from results.packed import pack
from sharpose.data.cache import ensure, ensure_mpii
from sharpose.data.pictures import unchanged
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import sha256_of

if TYPE_CHECKING:
    from experiments.spec.tiers import DataSet
    from sharpose.codecs.choice import HeatmapCodec
    from sharpose.data.coco import CocoTopDown
    from sharpose.efficiency.variants import Variant
    from sharpose.inference.dataset import Predictions
    from sharpose.models.output import PoseModel
    from sharpose.models.sharpose.model import SHaRPose

Progress = Callable[[int, int], None]
Measured = Iterator[tuple[Cell, dict[str, Any]]]


def measure(
    cells: Sequence[Cell], reference: Cell | None, catalog: Catalog, device: Device, progress: Progress
) -> Measured:
    """Metrics of cells of one measure, each as soon as it is known. `reference` is what speeds are compared with."""
    if cells[0].measure == "throughput":
        yield from measure_throughput(cells, reference, device, progress)
        return
    for cell in cells:
        if cell.measure == "cost":
            yield cell, measure_cost(cell)
        elif cell.measure == "predictions":
            yield cell, measure_predictions(cell, catalog, device, progress)
        elif cell.measure == "accuracy":
            yield cell, measure_accuracy(cell, catalog, device, progress)
        else:
            raise InputError(f"{cell.name}: no measurement is called {cell.measure!r}")


def measure_cost(cell: Cell) -> dict[str, Any]:
    from sharpose.efficiency import cost

    return cost.measure_cost(cell.model, cell.options)


def measure_accuracy(cell: Cell, catalog: Catalog, device: Device, progress: Progress) -> dict[str, Any]:
    """COCO's figures or MPII's as fractions, coverage, and bootstrap replicates of the score with what pairs them."""
    import torch

    from sharpose.data.coco import CocoTopDown
    from sharpose.evaluation.coco import box_facts, score, score_results
    from sharpose.evaluation.mean_pose import mean_pose_control
    from sharpose.evaluation.metrics.pckh import load_mpii_truth
    from sharpose.evaluation.points import pck_summary, score_pck, score_pckh
    from sharpose.evaluation.selection import set_ranking
    from sharpose.inference.dataset import predict
    from sharpose.models.sharpose.model import SHaRPose
    from sharpose.pose.skeleton import LAYOUTS

    torch.set_num_threads(device.threads or torch.get_num_threads())
    files = data_files(catalog, cell.dataset or "", progress)
    boxes = "ground-truth" if cell.boxes == "ground-truth" else str(files.detections)
    data, more = catalog.dataset(cell.dataset or ""), dict[str, Any]()
    how: dict[str, Any] = {"boxes": boxes, "by_name": None if data.by_name is None else LAYOUTS[data.by_name]}
    if cell.model.startswith(PEER):
        run: dict[str, Any] = {"flip_test": cell.flip_test, "progress": progress}
        predictions, dataset = predict_peer(cell, catalog, files, how, run)
        evaluation = score(predictions, dataset)
        more = pck_summary(*score_pck(predictions, dataset)) if boxes == "ground-truth" else {}
    elif cell.weights is None:
        # the control needs boxes alone, so any input size does
        dataset = CocoTopDown(files.annotations, files.images, image_size=(256, 192), **how)
        training = training_annotations(catalog, data.training or "", progress)
        evaluation = score_results(mean_pose_control(training, dataset), dataset)
    else:
        model, codec = trained_model(cell)
        size = model.config.image_size
        dataset = CocoTopDown(files.annotations, files.images, image_size=size, warp=codec.warp, **how)
        run = {"flip_test": cell.flip_test, "device": device.kind, "progress": progress}
        if data.withheld:
            judged, facts = judge_cell(cell, files, data, model, codec, run)
            return {**accuracy_metrics(judged), **facts}
        if isinstance(model, SHaRPose) and model.config.selection != "attention":
            others = training_people(model, data, catalog, progress)
            set_ranking(model.to(device.kind), dataset, others=others, flip_test=cell.flip_test, progress=progress)
        with unchanged(dataset.pictures) as pictures:
            predictions = predict(model, dataset, codec, **run)
        digests = {"annotations_sha256": sha256_of(files.annotations), "pictures_sha256": pictures}
        if files.ground_truth is not None:
            scored = score_pckh(predictions, dataset, load_mpii_truth(files.ground_truth))
            return {**scored.summary(), **replicate_metrics(scored.bootstrap, "pckh"), **digests}
        evaluation = score(predictions, dataset)
        more = pck_summary(*score_pck(predictions, dataset)) if boxes == "ground-truth" else {}
        more |= {"pictures_sha256": pictures}
    facts = {"annotations_sha256": sha256_of(files.annotations), **box_facts(dataset)}
    return {**accuracy_metrics(evaluation), **more, **facts}


def training_people(model: SHaRPose, data: DataSet, catalog: Catalog, progress: Progress) -> CocoTopDown | None:
    """People who are not judged, over whom a constant map of relevance is the mean; None for the other controls."""
    from sharpose.data.coco import CocoTopDown

    if model.config.selection != "constant":
        return None
    files = data_files(catalog, data.training or "", progress)
    return CocoTopDown(files.annotations, files.images, image_size=model.config.image_size)


def predict_peer(
    cell: Cell, catalog: Catalog, files: DataFiles, how: Mapping[str, Any], run: Mapping[str, Any]
) -> tuple[Predictions, CocoTopDown]:
    """What another project's model predicts for a data set, which is cropped as it wants it."""
    from sharpose.codecs.choice import codec_of
    from sharpose.data.coco import CocoTopDown
    from sharpose.inference.blazepose import predict_blazepose
    from sharpose.inference.dataset import predict
    from sharpose.inference.heatmap_file import HeatmapFile, Reading, parse_size

    peer = catalog.peer(cell.model)
    if peer.file is None:
        dataset = CocoTopDown(files.annotations, files.images, image_size=(256, 256), **how)
        return predict_blazepose(dataset, **run), dataset
    size = parse_size(peer.input)
    reading = Reading(size, peer.normalise, peer.channels, peer.codec, peer.padding)
    network = HeatmapFile(catalog.peer_file(cell.model), reading)
    codec = codec_of(network.config)
    crops: dict[str, Any] = {"image_size": network.config.image_size, "warp": codec.warp, "padding": peer.padding}
    dataset = CocoTopDown(files.annotations, files.images, **crops, **how)
    return predict(network, dataset, codec, **run), dataset


def measure_predictions(cell: Cell, catalog: Catalog, device: Device, progress: Progress) -> dict[str, Any]:
    """Both stages of every person with what they are judged by, packed: every threshold can be evaluated from it."""
    import torch

    from sharpose.data.coco import CocoTopDown
    from sharpose.inference.stages import predict_stages

    torch.set_num_threads(device.threads or torch.get_num_threads())
    files = data_files(catalog, cell.dataset or "", progress)
    model, codec = trained_model(cell)
    dataset = CocoTopDown(files.annotations, files.images, image_size=model.config.image_size, warp=codec.warp)
    with unchanged(dataset.pictures) as pictures:
        found = predict_stages(model, dataset, codec, device=device.kind, progress=progress)
    return {
        "people": len(dataset),
        "images": len(dataset.images),
        "category": category(dataset),
        "annotations_sha256": sha256_of(files.annotations),
        "pictures_sha256": pictures,
        "arrays": pack(packed_arrays(found, dataset)),
    }


def trained_model(cell: Cell) -> tuple[PoseModel, HeatmapCodec]:
    """The cell's model with its weights, which must be those it is identified by, and its codec."""
    from sharpose.codecs.choice import codec_of
    from sharpose.models import create_model
    from sharpose.weights.files import load_weights

    model = create_model(cell.model, **cell.options)
    digest = load_weights(model, cell.weights or Path())
    if cell.identity is None or digest != cell.identity["weights_sha256"]:
        raise InputError(f"{cell.weights}: changed while this was running; start again")
    return model, codec_of(model.config)


def accuracy_metrics(evaluation: Any) -> dict[str, Any]:
    """A record's metrics from an evaluation."""
    return {**evaluation.summary(), **replicate_metrics(evaluation.metrics.bootstrap, "ap")}


def replicate_metrics(bootstrap: Any, score: str) -> dict[str, Any]:
    """A score's replicates, and what pairs them with another record's."""
    if bootstrap is None:
        return {}
    images = hashlib.sha256(json.dumps(list(bootstrap.image_ids)).encode()).hexdigest()[:16]
    replicates = [None if math.isnan(value) else round(value, 6) for value in bootstrap.replicates.tolist()]
    return {"bootstrap_seed": bootstrap.seed, "bootstrap_images": images, f"{score}_bootstrap": replicates}


@dataclass(frozen=True)
class DataFiles:
    """A data set on disk."""

    annotations: Path
    images: Path
    detections: Path | None
    ground_truth: Path | None = None


def training_annotations(catalog: Catalog, name: str, progress: Progress) -> list[Path]:
    """The annotations of what models learn from; photographs have several sources."""
    sources = catalog.dataset(name).sources
    return [catalog.data_path(name, path) for path in sources] or [data_files(catalog, name, progress).annotations]


def data_files(catalog: Catalog, name: str, progress: Progress) -> DataFiles:
    """The files of a data set; generated now where they are not in the cache."""
    data = catalog.dataset(name)
    if data.people is None:
        found = {part: catalog.data_path(name, path) for part, path in data.paths.items()}
        return DataFiles(found["annotations"], found["images"], found.get("detections"), found.get("ground_truth"))
    people = data.people
    ensure(people.split, images=people.images, seed=people.seed, parameters=people.parameters, progress=progress)
    if data.is_mpii:
        ensure_mpii(people, progress=progress)
        return DataFiles(people.mpii_file, people.images_folder, None, people.mpii_truth_file)
    return DataFiles(people.annotations_file, people.images_folder, people.detections_file)


def variant_of(cell: Cell) -> Variant:
    """What is timed for a cell."""
    from sharpose.efficiency.variants import Variant

    how = cell.details
    load = (how["batch_size"], how["mode"], how["precision"])
    return Variant(cell.model, cell.options, *load, refine_rate=how["refine_rate"])


def measure_throughput(cells: Sequence[Cell], reference: Cell | None, device: Device, progress: Progress) -> Measured:
    """All cells interleaved in one session with the reference, whose speed in it every record keeps."""
    from sharpose.efficiency import throughput

    timed = [*cells, *([reference] if reference is not None and reference not in cells else [])]
    metrics = throughput.measure_throughput(
        {cell.row: variant_of(cell) for cell in timed},
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
