"""Checks of crops, targets, decoding and mirrored averaging against the numbers of the public code bases."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch

from experiments.conformance.case import Case, Comparison
from sharpose.codecs.dark import DarkCodec
from sharpose.codecs.msra import MsraCodec
from sharpose.codecs.udp import UdpCodec, UdpOffsetCodec
from sharpose.pose import geometry
from sharpose.pose.flip import flip_back
from sharpose.pose.skeleton import flip_order
from sharpose.runtime.errors import InputError
from sharpose.training.losses import joint_mse, offset_mse

# the cases give scales in units of this many pixels
UNIT = 200.0
_MATRIX_BOUND = 1e-5
_SCORE_BOUND = 1e-6
# grey levels that a crop may be off whatever a case says: OpenCV 4 rounds the places between pixels, 5 does not
CROP_ROUNDING = 8.0 if int(cv2.__version__.split(".")[0]) < 5 else 0.0

Codec = UdpCodec | UdpOffsetCodec | DarkCodec | MsraCodec


def check_codec_geometry(case: Case) -> list[Comparison]:
    """Compare boxes, warp matrices, moved, mirrored and back-projected joints, crops and half-body boxes."""
    image_size, heatmap_size = tuple(case.config["image_size"]), tuple(case.config["heatmap_size"])
    center, scale = geometry.box_to_center_scale(case.array("box"), image_size, case.config["padding"])
    points, pixels = case.inputs("heatmap_points"), case.tensor("out.scale") * UNIT
    warps: dict[str, geometry.Warp] = {"udp": "udp", "plain": "affine"}
    back = {
        f"back_{name}": geometry.heatmap_to_image(points, case.tensor("out.center"), pixels, heatmap_size, warp)
        for name, warp in warps.items()
    }
    ours: dict[str, torch.Tensor | np.ndarray] = {"center": center, "scale": scale / UNIT, **back}
    moved = _moved(case, center, scale, image_size)
    return [*case.compare_all(ours), *moved, *_mirrored(case), *_crops(case), *_half_bodies(case, image_size)]


def check_codec_targets(case: Case) -> list[Comparison]:
    """Compare target maps and weights of every codec."""
    ours: dict[str, torch.Tensor] = {}
    for index, variant in enumerate(case.config["variants"]):
        codec = _codec(variant, tuple(case.config["image_size"]), tuple(variant["heatmap_size"]))
        maps, weights = codec.encode(case.inputs("joints"), case.inputs("visible"))
        ours |= {f"v{index}.target": maps, f"v{index}.weight": weights[..., None]}
    return case.compare_all(ours)


def check_codec_decoding(case: Case) -> list[Comparison]:
    """Compare decoded points in image pixels and scores; joints without positive values are left out of UDP."""
    heatmap_size = tuple(case.config["heatmap_size"])
    center, scale, comparisons = case.inputs("center"), case.inputs("scale") * UNIT, []
    for index, variant in enumerate(case.config["variants"]):
        # decoding does not look at the crop's size
        codec = _codec(variant, heatmap_size, heatmap_size)
        maps = case.inputs("offset_maps" if variant["kind"] == "udp_offset" else "heatmaps")
        points, scores = codec.decode(maps)
        ours, expected = codec.to_image(points, center, scale), case.tensor(f"out.v{index}.points")
        counted = scores > 0 if variant["kind"] == "udp" else torch.ones_like(scores, dtype=torch.bool)
        error = (ours - expected)[counted].abs().max().item()
        comparisons.append(Comparison(f"v{index}.points ({variant['kind']})", error, case.tolerance["absolute"]))
        name = f"v{index}.scores"
        comparisons.append(case.compare(name, scores[..., None], relative=False, bound=_SCORE_BOUND))
    return comparisons


def check_codec_flip_loss(case: Case) -> list[Comparison]:
    """Compare mirrored maps put back, their averages, and the joint losses."""
    pairs = [tuple(pair) for pair in case.config["flip_pairs"]]
    maps, mirrored, offsets = case.inputs("heatmaps"), case.inputs("flipped_heatmaps"), case.inputs("offset_maps")
    back, shifted = flip_back(mirrored, pairs), flip_back(mirrored, pairs, shift=True)
    target, weight = case.inputs("target"), case.inputs("weight")[..., 0]
    loss = joint_mse(maps, target, weight)
    ours = {
        "flipped_back": back,
        "flipped_back_shifted": shifted,
        "average": 0.5 * (maps + back),
        "average_shifted": 0.5 * (maps + shifted),
        "offset_flipped_back": flip_back(offsets, pairs, offsets=True),
        "loss_weighted": loss[None],
        "loss_unweighted": joint_mse(maps, target, torch.ones_like(weight))[None],
        "loss_half_weighted": 0.5 * loss[None],
        "loss_offset": offset_mse(offsets, case.inputs("offset_target"), weight)[None],
    }
    return case.compare_all(ours)


def _codec(variant: dict[str, Any], image_size: tuple[int, int], heatmap_size: tuple[int, int]) -> Codec:
    """Return the codec that a case's variant describes. Raises InputError for an unknown kind."""
    sigma, kernel = float(variant.get("sigma", 2)), variant.get("kernel", 11)
    codecs: dict[str, Codec] = {
        "udp": UdpCodec(image_size, heatmap_size, sigma, kernel),
        "dark": DarkCodec(image_size, heatmap_size, sigma, kernel),
        "plain": MsraCodec(image_size, heatmap_size, sigma),
        "none": MsraCodec(image_size, heatmap_size, sigma, quarter_step=False),
        "udp_offset": UdpOffsetCodec(image_size, heatmap_size, kernel=kernel),
    }
    if variant["kind"] not in codecs:
        raise InputError(f"no codec of kind {variant['kind']!r}; known are {', '.join(codecs)}")
    return codecs[variant["kind"]]


def _moved(case: Case, center: np.ndarray, scale: np.ndarray, image_size: tuple[int, int]) -> list[Comparison]:
    """Compare warp matrices and the joints that they move; `center` and `scale` are (N, 2), in pixels."""
    joints, visible = case.array("joints"), case.array("visible")[..., None] > 0
    rows = list(zip(joints, center, scale, case.array("rotation"), strict=True))
    udp, plain = (
        np.stack([warp(c, s, r, image_size) for _, c, s, r in rows])
        for warp in (geometry.udp_warp_matrix, geometry.affine_warp_matrix)
    )
    moved_udp, moved_plain = (
        np.stack([geometry.transform_points(points, matrix) for points, matrix in zip(joints, matrices, strict=True)])
        for matrices in (udp, plain)
    )
    inverse = np.stack([geometry.invert(matrix) for matrix in plain])
    matrices = {"warp_udp": udp, "warp_plain": plain, "warp_plain_inverse": inverse}
    moved = {"joints_udp": moved_udp, "joints_plain": np.where(visible, moved_plain, joints)}
    return [*case.compare_all(matrices, relative=True, bound=_MATRIX_BOUND), *case.compare_all(moved)]


def _mirrored(case: Case) -> list[Comparison]:
    joints, visible = case.array("joints3")[..., :2], case.array("visible")
    order = flip_order([tuple(pair) for pair in case.config["flip_pairs"]], joints.shape[1])
    width = case.config["flip_image_width"]
    rows = [geometry.mirror_keypoints(j, v, width, order) for j, v in zip(joints, visible, strict=True)]
    keypoints, seen = (np.stack(part) for part in zip(*rows, strict=True))
    return case.compare_all({"flipped_joints": keypoints * (seen[..., None] > 0), "flipped_visible": seen})


def _crops(case: Case) -> list[Comparison]:
    size, photo = tuple(case.config["crop_image_size"]), case.inputs("photo").numpy().astype(np.uint8)
    center, scale = geometry.box_to_center_scale(case.array("crop_box"), size, case.config["padding"])
    comparisons = []
    for name, warp in (("udp", geometry.udp_warp_matrix), ("plain", geometry.affine_warp_matrix)):
        rows = zip(center, scale, case.array("rotation"), strict=False)
        ours = np.stack([geometry.crop(photo, warp(c, s, r, size), size) for c, s, r in rows])
        difference = np.abs(ours.astype(np.float64) - case.tensor(f"out.crop_{name}").numpy())
        bound = max(case.tolerance["crop_max_difference"], CROP_ROUNDING)
        comparisons.append(Comparison(f"crop_{name}", difference.max(), bound))
        comparisons.append(Comparison(f"crop_{name} mean", difference.mean(), case.tolerance["crop_mean_difference"]))
    return comparisons


def _half_bodies(case: Case, image_size: tuple[int, int]) -> list[Comparison]:
    upper = tuple(case.config["upper_body_ids"])
    expected, defined = case.tensor("out.half_body").numpy(), case.tensor("out.half_body_defined").numpy()
    wrong, error = 0, 0.0
    for row, (joints, visible) in enumerate(zip(case.array("joints"), case.array("visible"), strict=True)):
        for column, prefer_upper in enumerate((True, False)):
            box = geometry.half_body_center_scale(joints, visible, upper, prefer_upper, image_size)
            wrong += (box is not None) != bool(defined[row, column])
            if box is not None and defined[row, column]:
                ours = np.concatenate([box[0], box[1] / UNIT])
                error = max(error, float(np.abs(ours - expected[row, column]).max()))
    return [
        Comparison("half_body_defined", float(wrong), 0.0),
        Comparison("half_body", error, case.tolerance["absolute"]),
    ]
