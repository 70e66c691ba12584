"""The two programs that match predictions to people, behind one call.

pycocotools is the judge: records hold its numbers. hotcoco is written in Rust, gives the same numbers to the last digit
and is many times faster; it is for those who evaluate often.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from sharpose.runtime.errors import InputError

Evaluator = Literal["pycocotools", "hotcoco"]
EVALUATORS: tuple[Evaluator, ...] = get_args(Evaluator)
Rows = list[dict[str, Any]]

_CLASSES = {
    "pycocotools": (("pycocotools.coco", "COCO"), ("pycocotools.cocoeval", "COCOeval")),
    "hotcoco": (("hotcoco", "COCO"), ("hotcoco", "COCOeval")),
}


@runtime_checkable
class Matched(Protocol):
    """Either evaluator's result. `evalImgs`: per class of sizes and image; None, or left out, without anybody in it."""

    evalImgs: list[dict[str, Any] | None]
    stats: Any
    params: Any


def match(
    evaluator: Evaluator,
    kind: Literal["keypoints", "bbox"],
    truth: dict[str, Any],
    results: Rows,
    image_ids: Sequence[int],
    sigmas: Sequence[float] | None = None,
) -> Matched:
    """Match, accumulate and summarise results of one category on `image_ids`.

    truth: images, one category, and annotations counted from 1, because a match with annotation 0 reads as none.
    sigmas: one per keypoint. Raises InputError for an unknown evaluator, or one that is not installed.
    """
    index, evaluate = check_evaluator(evaluator)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        # hotcoco says of other data sets' sigmas that they are not COCO's
        warnings.filterwarnings("ignore", message=".*kpt_oks_sigmas", category=UserWarning)
        known = _indexed(index, truth)
        found = known.loadRes(results) if results else _indexed(index, {**truth, "annotations": []})
        evaluation = evaluate(known, found, kind)
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = np.asarray(sigmas) if evaluator == "pycocotools" else list(sigmas)
        evaluation.params.imgIds = list(image_ids)
        evaluation.params.catIds = [truth["categories"][0]["id"]]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    matched: Matched = evaluation
    return matched


def check_evaluator(evaluator: str) -> tuple[Any, Any]:
    """Return the index and the evaluator of a package. Raises InputError where it is unknown or not installed."""
    if evaluator not in _CLASSES:
        raise InputError(f"there is no evaluator {evaluator!r}; there are {', '.join(EVALUATORS)}")
    try:
        (index, first), (evaluate, second) = _CLASSES[evaluator]
        return getattr(import_module(index), first), getattr(import_module(evaluate), second)
    except ModuleNotFoundError:
        raise InputError(f"{evaluator} is not installed; pip install 'sharpose[fast]', or use pycocotools") from None


def _indexed(index: Any, dataset: dict[str, Any]) -> Any:
    made = index()
    made.dataset = dataset
    made.createIndex()
    return made
