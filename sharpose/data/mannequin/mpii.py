"""The same generated people as MPII annotates them: 16 joints, centre and scale, head boxes.

Nothing that exists is touched: the people are placed again from the same random stream, without being drawn, and two
files and a manifest of their own are added. The twelve limb joints are the COCO labels; pelvis, thorax, upper neck and
top of the head are points of the skeleton, labelled wherever they lie inside the image, as MPII labels hidden joints.
The head box is the outline of skull and face, hair left out.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from sharpose.data.mannequin.figure import SKULL, head_part
from sharpose.data.mannequin.generate import image_generator, run_jobs
from sharpose.data.mannequin.parameters import MannequinParameters
from sharpose.data.mannequin.render import extent
from sharpose.data.mannequin.request import (
    MPII_VERSION,
    annotations_path,
    mpii_manifest_path,
    mpii_path,
    mpii_truth_path,
)
from sharpose.data.mannequin.scene import KEYPOINT_NAMES, Person, keypoint_positions, set_stage
from sharpose.data.mpii import CENTER_DROP, SCALE_UNIT
from sharpose.pose.skeleton import MPII
from sharpose.runtime.errors import RunFailed
from sharpose.runtime.files import sha256_of, write_atomically, write_json
from sharpose.runtime.progress import Heard, unheard

Array = np.ndarray
# MPII's joints that COCO lacks, by the skeleton's own names; the head's top is found apart
OWN = {"pelvis": "pelvis", "thorax": "collar", "upper_neck": "head_base"}
Job = tuple[str, int, MannequinParameters, int, list[dict[str, Any]]]
# a MATLAB file begins with this many bytes of free text, in which SciPy writes the time
HEADER = 116


def write_mpii(
    folder: Path,
    *,
    split: str,
    seed: int,
    parameters: MannequinParameters,
    workers: int | None = None,
    progress: Heard = unheard,
) -> dict[str, Any]:
    """Add MPII's files to a generated data set and return their manifest; the same files whatever `workers` is.

    Raises RunFailed where the annotations are not those of this request.
    """
    source = annotations_path(folder, split)
    content = json.loads(source.read_text(encoding="utf-8"))
    people: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
    for entry in content["annotations"]:
        if not entry["iscrowd"]:
            people[entry["image_id"]].append(entry)
    jobs: list[Job] = [(split, seed, parameters, number, entries) for number, entries in people.items()]
    rows, boxes = [], []
    for done, found in enumerate(run_jobs(image_rows, jobs, workers), 1):
        for row, box in found:
            rows.append(row)
            boxes.append(box)
        progress(done, len(jobs))
    write_atomically(mpii_path(folder, split), lambda path: path.write_text(json.dumps(rows) + "\n", encoding="utf-8"))
    write_atomically(mpii_truth_path(folder, split), lambda path: path.write_bytes(truth_bytes(rows, boxes)))
    manifest = {
        "generator": "mannequin",
        "layout": "mpii",
        "version": MPII_VERSION,
        "counts": {"images": len(jobs), "people": len(rows)},
        "parameters": asdict(parameters),
        "sha256": {
            "coco_annotations": sha256_of(source),
            "mpii": sha256_of(mpii_path(folder, split)),
            "mpii_truth": sha256_of(mpii_truth_path(folder, split)),
        },
    }
    write_json(mpii_manifest_path(folder), manifest)
    return manifest


def image_rows(job: Job) -> list[tuple[dict[str, Any], Array]]:
    """Return the annotated people of one image in MPII's layout, each with its head box (corners (2, 2), from 1).

    Raises RunFailed where the image has other people than its annotations.
    """
    split, seed, parameters, number, entries = job
    stage = set_stage(image_generator(split, seed, parameters, number), parameters)
    size = stage.canvas.labels.shape
    left = list(stage.people)
    found = []
    for entry in entries:
        # people are annotated in the order in which they are drawn; those of whom nothing is seen are not
        while left and not is_annotation_of(left[0], entry):
            left.pop(0)
        if not left:
            raise RunFailed(f"mannequin {split}: image {number} has other people than its annotations; make it again")
        found.append(mpii_row(left.pop(0), entry, f"{number:06d}.jpg", size))
    return found


def is_annotation_of(person: Person, entry: dict[str, Any]) -> bool:
    """Return whether the labelled keypoints are this person's, up to the rounding of the file."""
    labelled = np.array(entry["keypoints"], dtype=float).reshape(-1, 3)
    seen = labelled[:, 2] > 0
    apart = np.abs(keypoint_positions(person)[0] - labelled[:, :2])[seen]
    if seen.any():
        return bool(apart.max() < 0.006)
    # nobody's keypoint is labelled: the box, which lies inside the outline, has to do
    x, y, width, height = entry["bbox"]
    left, top, right, bottom = person.box + np.array([-2, -2, 2, 2])
    return bool(left <= x and top <= y and x + width <= right and y + height <= bottom)


def mpii_row(person: Person, entry: dict[str, Any], image: str, size: tuple[int, ...]) -> tuple[dict[str, Any], Array]:
    """Return one person; joints, centre and head box count pixels from 1, `scale` is the box's longer side over 200."""
    labelled = dict(zip(KEYPOINT_NAMES, np.array(entry["keypoints"], dtype=float).reshape(-1, 3), strict=True))
    inner = {name: person.body.joints[joint] for name, joint in OWN.items()}
    # where the ball of the skull ends
    top = SKULL[0][1] + SKULL[1]
    inner["head_top"] = person.body.joints["head"] + person.body.head @ np.array([0, top * person.build.head, 0])
    points, _ = person.camera.project(np.array(list(inner.values())))
    joints, visible = np.zeros((16, 2)), np.zeros(16, dtype=int)
    for index, name in enumerate(MPII.keypoint_names):
        if name in labelled:
            joints[index], visible[index] = labelled[name][:2] + 1, labelled[name][2] > 0
            continue
        x, y = points[list(inner).index(name)]
        visible[index] = 0 <= x <= size[1] - 1 and 0 <= y <= size[0] - 1
        joints[index] = (x + 1, y + 1) if visible[index] else 0
    joints[visible == 0] = 0
    x, y, width, height = entry["bbox"]
    scale = max(width, height) / SCALE_UNIT
    # the readers of MPII's files move centres down and count from 0: this one comes out in the middle of the box
    center = [x + width / 2 + 1, y + height / 2 - CENTER_DROP * scale + 1]
    head = extent([head_part(person.build, person.body)], person.camera)
    row = {
        "image": image,
        "center": [round(value, 3) for value in center],
        "scale": round(scale, 6),
        "joints": joints.round(2).tolist(),
        "joints_vis": visible.tolist(),
    }
    return row, head.reshape(2, 2).round(2) + 1


def truth_bytes(rows: list[dict[str, Any]], boxes: list[Array]) -> bytes:
    """Return MPII's ground truth as a MATLAB file (people last), the same bytes whenever it is written.

    `boxes`: head boxes (2, 2), corners by (x, y).
    """
    names = np.empty((1, 16), dtype=object)
    names[0] = list(MPII.keypoint_names)
    content = {
        "pos_gt_src": np.moveaxis(np.array([row["joints"] for row in rows], dtype=float).reshape(-1, 16, 2), 0, -1),
        "jnt_missing": 1.0 - np.array([row["joints_vis"] for row in rows], dtype=float).reshape(-1, 16).T,
        "headboxes_src": np.moveaxis(np.array(boxes, dtype=float).reshape(-1, 2, 2), 0, -1),
        "dataset_joints": names,
    }
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, content)
    text = b"MATLAB 5.0 MAT-file, mannequin"
    return text.ljust(HEADER) + buffer.getvalue()[HEADER:]
