"""Checks of detection clean-up, quality targets and PCKh against the numbers of the public code bases."""

from __future__ import annotations

import numpy as np

from experiments.conformance.case import Case, Comparison
from experiments.conformance.codecs import UNIT
from experiments.conformance.release_pck import heatmap_pck, release_instance_pck
from sharpose.evaluation.metrics.pckh import mpii_truth, pckh
from sharpose.evaluation.metrics.postprocess import Detections, PostProcessing, oks_matrix
from sharpose.pose.skeleton import COCO
from sharpose.training.release_quality import release_instance_oks


def check_coco_postprocessing(case: Case) -> list[Comparison]:
    """Compare duplicate boxes, rescoring, hard and soft OKS suppression, and the OKS matrix of one image."""
    keypoints, areas = case.array("keypoints"), (case.array("scale") * UNIT).prod(axis=1)
    points, keypoint_scores = keypoints[..., :2], keypoints[..., 2]
    found = Detections(
        keypoints=points,
        keypoint_scores=keypoint_scores,
        box_scores=case.array("box_score"),
        areas=areas,
        image_ids=case.inputs("image_id").numpy(),
        instance_ids=case.inputs("box_id").numpy(),
    )
    comparisons = []
    for index, variant in enumerate(case.config["variants"]):
        rules = PostProcessing(
            "soft" if variant["soft"] else "hard", variant["oks_threshold"], variant["score_threshold"]
        )
        kept, scores = found.reported(COCO.sigmas, rules)
        comparisons += [
            case.compare(f"v{index}.kept_rows", kept),
            case.compare(f"v{index}.image_id", found.image_ids[kept]),
            case.compare(f"v{index}.scores", scores[kept], relative=False, bound=case.tolerance["scores"]),
        ]
    rows = case.tensor("out.oks_rows").numpy()
    oks = oks_matrix(points[rows], areas[rows], COCO.sigmas)
    return [*comparisons, case.compare("oks_matrix", oks, relative=False, bound=case.tolerance["oks_matrix"])]


def check_instance_oks(case: Case) -> list[Comparison]:
    """Compare the release's quality targets and its heatmap PCK."""
    maps, targets, visible = case.inputs("heatmaps"), case.inputs("targets"), case.inputs("visible")
    oks, counted = release_instance_oks(maps, targets, visible, case.inputs("scale") * UNIT, COCO.sigmas)
    per_keypoint, mean = heatmap_pck(maps, targets, visible)
    ours = {
        "instance_mask": counted.long(),
        "oks": oks[counted],
        "instance_pck": release_instance_pck(maps, targets, visible)[counted],
        "pck_per_joint": per_keypoint,
        "pck_mean": mean[None],
        "pck_valid_joints": (per_keypoint >= 0).sum()[None],
    }
    return case.compare_all(ours)


def check_mpii_pckh(case: Case) -> list[Comparison]:
    """Compare PCKh at .5 and .1 per joint, groups and means; .11 as the mean one public code base prints for .1."""
    boxes, points = case.inputs("head_boxes").numpy(), case.inputs("truth").numpy()
    truth = mpii_truth(points, case.inputs("missing").numpy(), boxes)
    predicted = case.inputs("predictions").double().numpy() + 1
    half, tenth, eleventh = (pckh(predicted, truth, threshold) for threshold in (0.5, 0.1, 0.11))
    ours = {
        "groups": np.array(list(half.groups.values())),
        "per_joint_0.5": half.per_joint,
        "per_joint_0.1": tenth.per_joint,
        "mean_0.5": np.array([half.mean]),
        "mean_0.1": np.array([tenth.mean]),
        "mean_0.11": np.array([eleventh.mean]),
    }
    return case.compare_all(ours)
