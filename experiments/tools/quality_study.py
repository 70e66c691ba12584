"""How well could an early exit be decided? Coarse OKS and gain predicted, across folds of pictures, from what is there.

    python -m experiments.tools.quality_study mannequin2-val
    python -m experiments.tools.quality_study --show

Every group of inputs (quality token, heatmap peaks, heatmap entropy, flip disagreement, box) gets a linear ridge and a
kernel ridge with a Gaussian kernel; nobody is predicted by a fit that saw a person of the same picture. A line per fit
is added to docs/quality-study.jsonl; `--show` prints them as a table.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.distance import cdist

from experiments.cells.provenance import REPOSITORY, local_device, provenance
from experiments.tools.module import Line, options, run, study
from results.logs import markdown

if TYPE_CHECKING:
    from sharpose.data.coco import CocoTopDown
    from sharpose.evaluation.metrics.evaluators import Evaluator
    from sharpose.inference.dataset import Predictions

LOG = REPOSITORY / "docs" / "quality-study.jsonl"
FOLDS, RESAMPLES = 10, 1000
PENALTIES = np.logspace(-4, 4, 17)
LOSS = 0.003
"""AP that early exits may cost, as a fraction."""
STEPS = 100
"""Exit rates that are tried: hundredths."""
Array = np.ndarray


@dataclass(frozen=True)
class People:
    """N people in the data set's order: inputs (N, values) by name, and what both stages say of them."""

    inputs: Mapping[str, Array]
    coarse: Predictions
    fine: Predictions
    dataset: CocoTopDown

    @property
    def targets(self) -> dict[str, Array]:
        """Return what is to be predicted: how good the coarse result is, and what the fine one adds."""
        from sharpose.inference.stages import oks

        coarse, fine = (oks(stage.keypoints, self.dataset) for stage in (self.coarse, self.fine))
        return {"coarse OKS": coarse, "gain": fine - coarse}


GROUPS: dict[str, tuple[str, ...]] = {
    "quality token": ("token",),
    "peaks": ("peaks",),
    "entropy": ("entropy",),
    "flip disagreement": ("flip",),
    "box": ("box",),
    "peaks, entropy, box": ("peaks", "entropy", "box"),
    "all but flip": ("token", "peaks", "entropy", "box"),
    "all": ("token", "peaks", "entropy", "flip", "box"),
}


def folds_of(pictures: Array, folds: int = FOLDS, seed: int = 0) -> Array:
    """Return the fold of every person (N,): people of one picture share it."""
    known, place = np.unique(pictures, return_inverse=True)
    return np.random.default_rng(seed).permutation(np.arange(len(known)) % folds)[place]


def standardised(inputs: Array, others: Array) -> tuple[Array, Array]:
    """Return both in units of the deviations of `inputs` (N, values) around their means."""
    mean, spread = inputs.mean(axis=0), inputs.std(axis=0)
    spread[spread < 1e-9] = 1.0
    return (inputs - mean) / spread, (others - mean) / spread


def ridge(inputs: Array, target: Array, others: Array) -> Array:
    """Return predictions for `others` by linear ridge regression, its penalty chosen by the leave-one-out error."""
    known, new = standardised(inputs, others)
    return dual(known @ known.T, new @ known.T, target)


def kernel_ridge(inputs: Array, target: Array, others: Array) -> Array:
    """Return the same with a Gaussian kernel, as wide as the median distance between people."""
    known, new = standardised(inputs, others)
    apart, across = (cdist(people, known, "sqeuclidean") for people in (known, new))
    width = np.median(apart[~np.eye(len(known), dtype=bool)])
    return dual(np.exp(-apart / width), np.exp(-across / width), target)


def dual(kernel: Array, across: Array, target: Array) -> Array:
    """Return kernel ridge around the mean of the target; of `PENALTIES` the one with the least leave-one-out error."""
    values, vectors = np.linalg.eigh(kernel)
    values = np.maximum(values, 0.0)
    middle = target.mean()
    turned = vectors.T @ (target - middle)
    best: tuple[float, Array] | None = None
    for penalty in PENALTIES * max(values.mean(), 1e-12):
        shrunk = 1 / (values + penalty)
        weights = vectors @ (shrunk * turned)
        # the residual of a point that its own fit left out (Golub, Heath and Wahba 1979)
        left_out = weights / ((vectors**2) @ shrunk)
        error = float((left_out**2).mean())
        if best is None or error < best[0]:
            best = error, weights
    assert best is not None
    return middle + across @ best[1]


FITS = {"ridge": ridge, "kernel ridge": kernel_ridge}


def cross_fitted(inputs: Array, target: Array, pictures: Array, fit: str) -> Array:
    """Return what everybody is predicted by a fit to people of other pictures."""
    folds, predicted = folds_of(pictures), np.empty(len(target))
    for fold in np.unique(folds):
        own = folds == fold
        predicted[own] = FITS[fit](inputs[~own], target[~own], inputs[own])
    return predicted


def r_squared(target: Array, predicted: Array) -> float:
    """Return the coefficient of determination of predictions (N,) of a target (N,)."""
    return float(1 - ((target - predicted) ** 2).sum() / ((target - target.mean()) ** 2).sum())


def r_squared_interval(target: Array, predicted: Array, pictures: Array, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of R², pictures resampled."""
    _, place = np.unique(pictures, return_inverse=True)
    rng, found = np.random.default_rng(seed), []
    for _ in range(RESAMPLES):
        times = np.bincount(rng.integers(0, place.max() + 1, place.max() + 1), minlength=place.max() + 1)[place]
        mean = np.average(target, weights=times)
        found.append(1 - (times * (target - predicted) ** 2).sum() / (times * (target - mean) ** 2).sum())
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def ap_of(people: People, refined: Array) -> float:
    """COCO's AP where `refined` (N,) people take the fine result and the others the coarse one, boxes annotated."""
    from sharpose.evaluation.metrics.coco_ap import coco_ap

    coarse, fine, dataset = people.coarse, people.fine, people.dataset
    points = np.where(refined[:, None, None], fine.keypoints, coarse.keypoints)
    scores = np.where(refined[:, None], fine.keypoint_scores, coarse.keypoint_scores)
    found = replace(fine, keypoints=points, keypoint_scores=scores)
    return coco_ap(dataset.pose_file, found.results(dataset), resamples=0, evaluator=quickest()).ap or 0.0


def quickest() -> Evaluator:
    """Return the evaluator that gives the same numbers in less time, where it is installed."""
    return "pycocotools" if find_spec("hotcoco") is None else "hotcoco"


def largest_exit_rate(people: People, order_by: Array, loss: float = LOSS) -> float:
    """Return the largest exit rate that costs at most `loss` of AP; people of highest `order_by` (N,) exit first.

    By bisection, to a hundredth, as AP falls nearly steadily with the exit rate.
    """
    order, whole = np.argsort(-order_by, kind="stable"), ap_of(people, np.ones(len(order_by), dtype=bool))

    def lost(step: int) -> float:
        refined = np.ones(len(order_by), dtype=bool)
        refined[order[: round(len(order_by) * step / STEPS)]] = False
        return whole - ap_of(people, refined)

    return bisect_right(range(1, STEPS), loss, key=lost) / STEPS


def look(model_name: str, data: str, weights: Path, batch_size: int = 32) -> People:
    """Run both stages, and the coarse one on mirrored crops too, and keep what is known before the fine stage."""
    import torch
    from torch.utils.data import DataLoader

    from sharpose.codecs.choice import codec_of
    from sharpose.data.batches import sample_batches
    from sharpose.data.coco import CocoTopDown
    from sharpose.data.locate import find_data
    from sharpose.inference.pipeline import forward, place
    from sharpose.inference.stages import predict_stages
    from sharpose.models import create_model
    from sharpose.pose.flip import flip_back
    from sharpose.pose.normalise import normalise
    from sharpose.runtime.progress import Reporter
    from sharpose.weights.files import load_weights

    model: Any = create_model(model_name, quality_threshold=None).eval()
    load_weights(model, weights)
    codec, source = codec_of(model.config), find_data(data, None)
    dataset = CocoTopDown(source.annotations, source.images, image_size=model.config.image_size, warp=codec.warp)
    tokens, entropies, mirrored = list[Any](), list[Any](), list[Any]()
    hook = model.quality_predictor.register_forward_pre_hook(lambda module, inputs: tokens.append(inputs[0]))
    with torch.inference_mode(), Reporter(f"{data} by {model_name}", len(dataset)) as report:
        coarse, fine = predict_stages(model, dataset, codec, batch_size=batch_size, progress=report.progress)
        hook.remove()
        for batch in sample_batches(DataLoader(dataset, batch_size=batch_size)):
            views = forward(model.coarse, normalise(batch["image"]), flip_test=True)
            maps, others = (model.head(view.keypoint_tokens) for view in views)
            entropies.append(entropy(maps))
            others = flip_back(others, dataset.skeleton.flip_pairs, shift=codec.flip_shift)
            mirrored.append(place(others, batch["center"], batch["scale"], codec)[0])
    apart = np.linalg.norm(coarse.keypoints - torch.cat(mirrored).numpy(), axis=2)
    inputs = {
        "token": torch.cat(tokens).double().numpy(),
        "peaks": coarse.keypoint_scores,
        "entropy": torch.cat(entropies).numpy(),
        "flip": np.log1p(100 * apart / np.sqrt(fine.areas)[:, None]),
        "box": np.log(fine.areas)[:, None] / 2,
    }
    return People(inputs, coarse, fine, dataset)


def entropy(heatmaps: Any) -> Any:
    """Return entropy (B, K), in nats, of heatmaps as distributions over pixels; negative values count nothing."""
    mass = heatmaps.clamp(min=0).flatten(2).double()
    shares = mass / mass.sum(dim=2, keepdim=True).clamp(min=1e-12)
    return -(shares * shares.clamp(min=1e-12).log()).sum(dim=2)


def every_fit(people: People) -> list[dict[str, Any]]:
    """Return every fit, and beside them the model's own prediction and the truth."""
    lines: list[dict[str, Any]] = []

    def add(name: str, target: str, fit: str, predicted: Array) -> None:
        truth = people.targets[target]
        low, high = r_squared_interval(truth, predicted, people.fine.image_ids)
        # who is good already, or gains least, exits first
        share = largest_exit_rate(people, predicted if target == "coarse OKS" else -predicted)
        values = {"r2": r_squared(truth, predicted), "r2_low": low, "r2_high": high, "share_leaving": share}
        lines.append({"inputs": name, "target": target, "fit": fit, **values})

    assert people.fine.quality is not None
    add("the model's own prediction", "coarse OKS", "as trained", people.fine.quality.astype(float))
    for target, truth in people.targets.items():
        for name, parts in GROUPS.items():
            inputs = np.concatenate([people.inputs[part] for part in parts], axis=1)
            for fit in FITS:
                add(name, target, fit, cross_fitted(inputs, truth, people.fine.image_ids, fit))
        add("the truth", target, "oracle", truth)
    return lines


def study_of(data: str, model: str, weights: Path) -> list[dict[str, Any]]:
    """Return the lines of the log of one data set."""
    from sharpose.runtime.files import sha256_of

    people = look(model, data, weights)
    made = {"data": data, "people": len(people.dataset), "model": model}
    made |= {"weights_sha256": sha256_of(weights), "annotations_sha256": sha256_of(people.dataset.annotations)}
    everybody = np.ones(len(people.dataset), dtype=bool)
    made |= {"ap_coarse": ap_of(people, ~everybody), "ap_fine": ap_of(people, everybody)}
    return [{**made, **line, **provenance(local_device("cpu"))} for line in every_fit(people)]


def table(lines: Sequence[Line]) -> str:
    """The log as a Markdown table: a row per data set and inputs, R² and who may exit early for each target and fit."""
    columns = [(target, fit) for target in ("coarse OKS", "gain") for fit in FITS]
    found: dict[tuple[str, str], dict[tuple[str, str], Line]] = {}
    for line in lines:
        # what is no fit stands under both
        for fit in [line["fit"]] if line["fit"] in FITS else FITS:
            found.setdefault((line["data"], line["inputs"]), {})[line["target"], fit] = line
    rows = ([*row, *(said(cells.get(column)) for column in columns)] for row, cells in found.items())
    return markdown(["people", "inputs", *(f"{target}, {fit}" for target, fit in columns)], rows)


def said(line: Line | None) -> str:
    """Return R² with its interval, and how many may exit early unless `LOSS` is much of the whole AP, as text."""
    if line is None:
        return "–"
    share = f", {100 * line['share_leaving']:.0f} %" if line["ap_fine"] > 20 * LOSS else ""
    return f"{line['r2']:.2f} [{line['r2_low']:.2f}, {line['r2_high']:.2f}]{share}"


def main() -> None:
    """Run the study on the sets named on the command line, and add its lines to the log."""
    from sharpose.weights.pretrained import find_weights

    parser = options(__doc__, log=True)
    parser.add_argument("data", nargs="*", help="named sets of people")
    parser.add_argument("--weights", default="nano/sharpose-nano-128x96", help="by name, or a file")
    chosen = parser.parse_args()
    found = find_weights(chosen.weights)
    show = chosen.show or not chosen.data
    study(LOG, table, show, lambda: (study_of(data, found.model, found.path) for data in chosen.data))


if __name__ == "__main__":
    run(main)
