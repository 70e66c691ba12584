"""An evaluation from names and paths: which weights, people and boxes; and the facts that go with its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sharpose.backends.choice import COMPILED, EAGER, check_backend, split_backend
from sharpose.backends.deploy import deploy
from sharpose.codecs.choice import codec_of
from sharpose.data.annotations import check_layout
from sharpose.data.coco import CocoTopDown
from sharpose.data.locate import find_data
from sharpose.data.mpii import find_truth
from sharpose.data.pictures import unchanged
from sharpose.evaluation.coco import Evaluation, box_facts, save_results, score
from sharpose.evaluation.metrics.evaluators import check_evaluator
from sharpose.evaluation.metrics.pckh import load_mpii_truth
from sharpose.evaluation.points import PckhEvaluation, pck_summary, score_pck, score_pckh
from sharpose.evaluation.request import EvaluationRequest, People
from sharpose.evaluation.selection import set_ranking
from sharpose.inference.dataset import Predictions, Way, predict_ways
from sharpose.inference.heatmap_file import HeatmapFile
from sharpose.models import create_model
from sharpose.pose.skeleton import wanted_layout
from sharpose.runtime.deterministic import make_deterministic
from sharpose.runtime.devices import check_device
from sharpose.runtime.distributed import join
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import check_writable, sha256_of, write_json
from sharpose.runtime.progress import Heard, Reporter, is_main_process, note
from sharpose.weights.files import load_weights
from sharpose.weights.pretrained import Weights, find_weights, read_index

Scored = Evaluation | PckhEvaluation


def evaluate(asked: EvaluationRequest, progress: Heard | None = None) -> tuple[Scored, dict[str, Any]]:
    """Evaluate, write the results file where asked, and return the evaluation with what determines it.

    People in MPII's layout are scored by PCKh, against the ground truth given or found beside their annotations;
    others by AP and, in annotated boxes, also by PCK, which is among the facts. progress: told how many people are done
    and of how many; without it, a bar or lines on standard error.

    Raises InputError for anything missing or contradictory, before the first image is read.
    """
    network = open_network(asked)
    dataset, notes = open_people(asked.people, network)
    # before anything is predicted for nothing
    truth_of(dataset, asked.people.ground_truth)
    with unchanged(dataset.pictures) as pictures:
        predictions = predicted(network, dataset, asked, progress)
    scored, facts = judged(predictions, dataset, asked)
    if asked.save_results is not None and is_main_process():
        write_results(scored, asked.save_results)
    run = {name: getattr(asked, name) for name in ("evaluator", "flip_test", "device", "deterministic")}
    made = {"pictures_sha256": pictures, "by_name": asked.people.by_name, "notes": [*dataset.notes, *notes]}
    return scored, {**network.facts, **facts, **asdict(asked.post_processing), **run, **made}


def predict_unlabelled(asked: EvaluationRequest) -> list[dict[str, Any]]:
    """Results on images whose annotations are withheld, in COCO's format. Raises InputError before the first image."""
    network = open_network(asked)
    dataset, _ = open_people(asked.people, network, labelled=False)
    return predicted(network, dataset, asked).results(dataset, asked.post_processing)


@dataclass(frozen=True)
class Network:
    """What predicts: its name, how crops are cut for it, the precision asked of torch, and facts that determine it."""

    name: str
    model: Any
    crops: dict[str, Any]
    precision: str
    facts: dict[str, Any]


def open_network(asked: EvaluationRequest) -> Network:
    """The network with its weights, ready on its back-end. Raises InputError for what is missing or cannot be."""
    check_device(asked.device)
    backend, precision = split_backend(asked.backend, asked.precision)
    check_backend(backend, precision, asked.device)
    check_evaluator(asked.evaluator)
    if asked.save_results is not None:
        check_writable(asked.save_results, "--save-results")
    if asked.deterministic:
        make_deterministic()
    join(asked.device)
    model: Any
    if asked.file is not None:
        model = HeatmapFile(asked.file, asked.reading)
        name, backend, options, digests = asked.file.name, model.graph.backend, asdict(model.reading), model.digests
    else:
        name, found = asked.model, chosen_weights(asked.model, asked.weights)
        if found is not None and found.warning and not asked.people.data.startswith("mannequin"):
            note(f"{found.warning}; others by --weights TIER/MODEL")
        options = dict(asked.options) if found is None else found.options_of(name, asked.options)
        model = create_model(name, **options)
        digests = {"weights_sha256": None if found is None else load_weights(model, found.path)}
        model = deploy(model, backend, precision=precision, batch_size=asked.batch_size, device=asked.device)
    crops = {"image_size": model.config.image_size, "warp": codec_of(model.config).warp}
    crops |= {} if asked.file is None else {"padding": asked.reading.padding}
    facts = {"model": name, "options": options, **digests, "precision": precision, "backend": backend}
    # another runtime takes and gives fp32, whatever it computes in
    return Network(name, model, crops, precision if backend in (EAGER, COMPILED) else "fp32", facts)


def open_people(people: People, network: Network, *, labelled: bool = True) -> tuple[CocoTopDown, Sequence[str]]:
    """The people as the network wants them cropped, and what is unlikely about their keypoints, which is also noted.

    Raises InputError where they do not fit the network, and where nobody is `labelled`.
    """
    source, keypoints = find_data(people.data, people.images), network.model.config.num_keypoints
    layout = wanted_layout(keypoints) if people.by_name else None
    how: dict[str, Any] = {**network.crops, "boxes": people.boxes, "by_name": layout, "category": people.category}
    dataset = CocoTopDown(source.annotations, source.images, **how)
    unlikely = check_layout(dataset.pose_file, network.name, keypoints)
    for line in unlikely:
        note(f"{source.annotations}: {line}")
    if labelled and not dataset.pose_file.annotations:
        raise InputError(
            f"{source.annotations}: nobody is annotated, so nothing can be scored; `sharpose submit` packs results"
        )
    return dataset, unlikely


def predicted(
    network: Network, dataset: CocoTopDown, asked: EvaluationRequest, progress: Heard | None = None
) -> Predictions:
    """Predict the keypoints of every person, with the request's flip test and the model's own codec."""
    return predicted_ways(network, dataset, asked, [Way(codec_of(network.model.config), asked.flip_test)], progress)[0]


def predicted_ways(
    network: Network,
    dataset: CocoTopDown,
    asked: EvaluationRequest,
    ways: Sequence[Way],
    progress: Heard | None = None,
) -> list[Predictions]:
    """The keypoints of every person by each of several ways, by the ranking of patches that `selection` names."""
    with Reporter(f"Evaluating {network.name}", len(dataset)) as report:
        told = progress or report.progress
        if getattr(network.model.config, "selection", "attention") != "attention":
            others = None if asked.mean_over is None else open_people(asked.mean_over, network)[0]
            network.model.to(asked.device)
            flipped = any(way.flip_test for way in ways)
            set_ranking(network.model, dataset, others=others, flip_test=flipped, progress=told)
        return predict_ways(
            network.model,
            dataset,
            codec_of(network.model.config),
            ways,
            batch_size=asked.batch_size,
            device=asked.device,
            precision=network.precision,  # type: ignore[arg-type]
            num_workers=asked.workers,
            progress=told,
        )


def judged(predictions: Predictions, dataset: CocoTopDown, asked: EvaluationRequest) -> tuple[Scored, dict[str, Any]]:
    """Evaluate predictions on a data set; also return the facts of its people and boxes."""
    file = dataset.annotations
    facts: dict[str, Any] = {"annotations": str(file), "annotations_sha256": sha256_of(file)}
    facts |= {"boxes": str(dataset.boxes), **box_facts(dataset)}
    if (truth := truth_of(dataset, asked.people.ground_truth)) is not None:
        facts |= {"ground_truth": str(truth), "ground_truth_sha256": sha256_of(truth)}
        return score_pckh(predictions, dataset, load_mpii_truth(truth)), facts
    evaluation = score(predictions, dataset, post_processing=asked.post_processing, evaluator=asked.evaluator)
    if dataset.boxes == "ground-truth":
        facts |= pck_summary(*score_pck(predictions, dataset))
    return evaluation, facts


def truth_of(dataset: CocoTopDown, ground_truth: Path | None) -> Path | None:
    """MPII's ground truth for people in MPII's layout, None for others. Raises InputError where it cannot be used."""
    if not dataset.pose_file.is_mpii:
        if ground_truth is not None:
            raise InputError(f"--ground-truth {ground_truth}: only goes with annotations in MPII's layout")
        return None
    if dataset.boxes != "ground-truth":
        raise InputError(f"--boxes {dataset.boxes}: MPII's people are looked at by their annotated centre and scale")
    return ground_truth or find_truth(dataset.annotations)


def chosen_weights(model_name: str, weights: str | None) -> Weights | None:
    """Return the given weights, or those that ship for a model, of generated people first; None for `random` ones.

    Raises InputError where none ship, or where there is no such file.
    """
    if weights == "random":
        return None
    if weights is not None:
        return find_weights(weights)
    shipped = [name for name in read_index()["weights"] if name.partition("/")[2] == model_name]
    if not shipped:
        raise InputError(
            f"no trained weights of {model_name} ship with this repository; give --weights FILE.safetensors, or "
            "--weights random to try the pipeline"
        )
    embedded = f"nano/{model_name}"
    return find_weights(embedded if embedded in shipped else model_name)


def write_results(evaluation: Scored, path: Path) -> None:
    """Write COCO's results format, or for MPII the points that `sharpose pckh` reads.

    Raises InputError where the file cannot be written.
    """
    try:
        if isinstance(evaluation, PckhEvaluation):
            write_json(path, {"preds": evaluation.points.tolist()})
        else:
            save_results(evaluation.results, path)
    except OSError as error:
        raise InputError(f"--save-results {path}: cannot be written ({error.strerror})") from error
