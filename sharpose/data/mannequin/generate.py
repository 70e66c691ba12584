"""Write a data set in COCO's format: images, annotations, detections, and a manifest by which a copy is checked."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from sharpose.data.mannequin.detections import simulate_detections
from sharpose.data.mannequin.parameters import MannequinParameters
from sharpose.data.mannequin.request import annotations_path, check_request, detections_path, images_path
from sharpose.data.mannequin.scene import make_scene
from sharpose.pose.skeleton import COCO_CATEGORY
from sharpose.runtime.errors import RunFailed
from sharpose.runtime.files import new_folder, sha256_of
from sharpose.runtime.progress import Heard, unheard
from sharpose.runtime.signals import blocked_in_children

J = TypeVar("J")
R = TypeVar("R")
_IN_PROCESS = 48  # fewer images than this are not worth starting processes for


def generate(
    folder: Path,
    *,
    split: str,
    images: int,
    seed: int,
    parameters: MannequinParameters | None = None,
    workers: int | None = None,
    progress: Heard = unheard,
) -> dict[str, Any]:
    """Generate `images` images of a split into a new folder and return its manifest.

    Image i depends on nothing but the version, seed, split, parameters and i, whatever the number of `workers`
    (default: one per core). Everything is written beside `folder` and renamed at the end. `progress(done, total)` is
    called as images are finished. Raises InputError for a bad request or a folder that already has something in it.
    """
    parameters = parameters or MannequinParameters()
    check_request(split, images, seed, workers)
    records: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    digest = hashlib.sha256()
    with new_folder(folder) as partial:
        images_path(partial, split).mkdir(parents=True)
        annotations_path(partial, split).parent.mkdir()
        jobs = [(partial, split, seed, parameters, number) for number in range(1, images + 1)]
        for done, (record, people, found, sha256) in enumerate(run_jobs(_make_image, jobs, workers), 1):
            records.append(record)
            for entry in people:
                annotations.append({**entry, "image_id": record["id"], "category_id": 1, "id": len(annotations) + 1})
            detections += [{"image_id": record["id"], "category_id": 1, **entry} for entry in found]
            digest.update(sha256.encode())
            progress(done, images)
        _dump(_coco(split, parameters.version, records, annotations), annotations_path(partial, split))
        _dump(detections, detections_path(partial, split))
        manifest = {
            "generator": "mannequin",
            "version": parameters.version,
            "split": split,
            "seed": seed,
            "parameters": asdict(parameters),
            "command": _command(split, images, seed, parameters),
            "counts": {
                "images": images,
                "people": sum(entry["num_keypoints"] > 0 for entry in annotations),
                "crowds": sum(entry["iscrowd"] for entry in annotations),
                "detections": len(detections),
            },
            "sha256": {
                "labels": labels_sha256(annotations),
                "annotations": sha256_of(annotations_path(partial, split)),
                "detections": sha256_of(detections_path(partial, split)),
                "images": digest.hexdigest(),
            },
            "made_with": {"numpy": np.__version__, "opencv": cv2.__version__},
        }
        _dump(manifest, partial / "manifest.json", indent=2)
    return manifest


def image_generator(split: str, seed: int, parameters: MannequinParameters, number: int) -> np.random.Generator:
    """Return the source of chance of image `number` (counted from 1): independent of all other images."""
    key = json.dumps([parameters.version, split, asdict(parameters)], sort_keys=True)
    words = np.frombuffer(hashlib.sha256(key.encode()).digest(), "<u4").tolist()
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, number, *words])))


def _command(split: str, images: int, seed: int, parameters: MannequinParameters) -> str:
    default = asdict(type(parameters)())
    chosen = {name: value for name, value in asdict(parameters).items() if value != default[name]}
    version = {} if type(parameters) is MannequinParameters else {"version": parameters.version}
    options = {**version, "split": split, "images": images, "seed": seed, **chosen}
    return " ".join(
        ["sharpose data mannequin", *(f"--{name.replace('_', '-')} {value}" for name, value in options.items())]
    )


Result = tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]], str]
Job = tuple[Path, str, int, MannequinParameters, int]


def run_jobs(work: Callable[[J], R], jobs: list[J], workers: int | None) -> Iterator[R]:
    """Yield results in the order of the jobs. Raises RunFailed where a process that works on them was killed."""
    workers = workers or (os.cpu_count() or 1 if len(jobs) >= _IN_PROCESS else 1)
    if workers == 1:
        yield from map(work, jobs)
        return
    # Spawned, not forked: the caller may have threads (torch, OpenCV) that do not survive a fork.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin_work)
    try:
        with blocked_in_children():
            results = pool.map(work, jobs, chunksize=16)
        yield from results
    except BrokenProcessPool:
        raise RunFailed(
            "a process that draws people was killed, most often because memory ran out: take fewer --workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_work() -> None:
    cv2.setNumThreads(1)
    # a killed parent tells its processes nothing
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make_image(job: Job) -> Result:
    """Draw and write one image; its record, annotations and detections (without ids), and the sha256 of its file."""
    folder, split, seed, parameters, number = job
    rng = image_generator(split, seed, parameters, number)
    scene = make_scene(rng, parameters)
    height, width = scene.image.shape[:2]
    found = simulate_detections(rng, [entry for entry in scene.annotations if not entry["iscrowd"]], (height, width))
    name = f"{number:06d}.jpg"
    flags = [cv2.IMWRITE_JPEG_QUALITY, parameters.jpeg_quality]
    data = cv2.imencode(".jpg", cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR), flags)[1].tobytes()
    (images_path(folder, split) / name).write_bytes(data)
    record = {"id": number, "file_name": name, "width": width, "height": height, "license": 1}
    return record, scene.annotations, found, hashlib.sha256(data).hexdigest()


def _coco(split: str, version: int, records: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "info": {
            "description": f"mannequin {split}: generated people",
            "version": str(version),
            "contributor": "sharpose",
        },
        "licenses": [{"id": 1, "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}],
        "images": records,
        "annotations": annotations,
        "categories": [COCO_CATEGORY],
    }


def _dump(content: Any, path: Path, indent: int | None = None) -> None:
    text = json.dumps(content, indent=indent, separators=None if indent else (",", ":")) + "\n"
    path.write_text(text, encoding="utf-8")


def labels_sha256(annotations: list[dict[str, Any]]) -> str:
    """Return the sha256 of what accuracies depend on: every annotation's image, keypoints, area, box and crowd flag.

    Unlike the files' own hashes it is the same under OpenCV 4.10 and 5.0, whose images differ here and
    there by 1 of 255, and whose outlines have other corners.
    """
    fields = ("image_id", "keypoints", "area", "bbox", "iscrowd")
    rows = [[entry[field] for field in fields] for entry in annotations]
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()
