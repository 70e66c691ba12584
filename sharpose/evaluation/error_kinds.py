"""Kinds of keypoint errors: good, jitter, inversion, swap and miss.

Source: Ronchi and Perona, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation", ICCV 2017. A keypoint's
similarity to a labelled one is exp(-d² / 2 s² k²), OKS' term of that keypoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from sharpose.data.annotations import PoseFile
from sharpose.pose.skeleton import Skeleton

KINDS = ("good", "jitter", "inversion", "swap", "miss")
GOOD, NEAR = 0.85, 0.5
# a prediction belongs to the person it is most similar to, if it is at all
LEAST_OKS = 0.1


def similarities(
    points: Float[np.ndarray, "K 2"],
    truth: Float[np.ndarray, "P K 2"],
    area: Float[np.ndarray, " P"],
    skeleton: Skeleton,
) -> Float[np.ndarray, "P K K"]:
    """Return similarity of predicted keypoint j to labelled keypoint k of every person: [person, j, k]."""
    squared = ((points[None, :, None] - truth[:, None]) ** 2).sum(axis=-1)
    variance = (2 * np.asarray(skeleton.sigmas)) ** 2
    return np.exp(-squared / (2 * variance * (area[:, None, None] + np.spacing(1))))


def count_errors(
    pose_file: PoseFile, results: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    """Return how many labelled keypoints of matched people are of each kind: in all, and by the keypoint's name.

    In each image predictions, best score first, take the person not yet taken with the highest OKS. Inversion: near
    the keypoint of the other side of the own body; swap: near the same or the other side's keypoint of somebody else.
    """
    skeleton, names = pose_file.skeleton, pose_file.skeleton.keypoint_names
    partner = np.array(skeleton.flip_order)
    counts = np.zeros((len(names), len(KINDS)), dtype=int)
    people = people_by_image(pose_file)
    for image_id, rows in rows_by_image(results).items():
        if image_id not in people:
            continue
        truth, seen, area = people[image_id]
        free = np.ones(len(truth), dtype=bool)
        for row in sorted(rows, key=lambda row: -row["score"]):
            points = np.asarray(row["keypoints"], dtype=float).reshape(-1, 3)[:, :2]
            similar = similarities(points, truth, area, skeleton)
            own = np.einsum("pkk->pk", similar)
            oks = np.where(free, (own * seen).sum(axis=1) / seen.sum(axis=1), -1.0)
            person = int(oks.argmax())
            if oks[person] < LEAST_OKS:
                continue
            free[person] = False
            for k in np.flatnonzero(seen[person]).tolist():
                counts[k, KINDS.index(kind_of(similar[:, k], seen, person, k, int(partner[k])))] += 1
    by_name = {name: dict(zip(KINDS, row.tolist(), strict=True)) for name, row in zip(names, counts, strict=True)}
    return dict(zip(KINDS, counts.sum(axis=0).tolist(), strict=True)), by_name


def kind_of(
    similar: Float[np.ndarray, "P K"], seen: Float[np.ndarray, "P K"], person: int, keypoint: int, partner: int
) -> str:
    """Return the kind of one predicted keypoint from its similarity to every labelled one."""
    own = similar[person, keypoint]
    if own >= NEAR:
        return "good" if own >= GOOD else "jitter"
    near = (similar >= NEAR) & (seen > 0)
    if partner != keypoint and near[person, partner]:
        return "inversion"
    near[person] = False
    return "swap" if near[:, [keypoint, partner]].any() else "miss"


def people_by_image(pose_file: PoseFile) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return keypoints (P, K, 2), whether they are labelled (P, K), and areas (P,) of the people in each image."""
    found: dict[int, list[tuple[np.ndarray, float]]] = {}
    for row in pose_file.annotations:
        points = np.asarray(row.get("keypoints", ()), dtype=float).reshape(-1, 3)
        if not row.get("iscrowd") and (points[:, 2] > 0).any():
            area = row.get("area", row["bbox"][2] * row["bbox"][3])
            found.setdefault(row["image_id"], []).append((points, float(area)))
    return {
        image_id: (
            np.stack([points[:, :2] for points, _ in rows]),
            np.stack([points[:, 2] > 0 for points, _ in rows]).astype(float),
            np.array([area for _, area in rows]),
        )
        for image_id, rows in found.items()
    }


def rows_by_image(results: Sequence[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    """Return results grouped by image id, in their order."""
    grouped: dict[int, list[Mapping[str, Any]]] = {}
    for row in results:
        grouped.setdefault(row["image_id"], []).append(row)
    return grouped
