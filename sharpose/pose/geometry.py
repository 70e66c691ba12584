"""Boxes, crops and the maps between image and crop.

Points are (x, y); `image_size` and `heatmap_size` are (height, width); `center` and `scale` (the crop's sides) are
pixels of the photograph. Two families exist and must not be mixed: "udp" measures between pixel centres (size - 1 steps
across a picture), "affine" measures in pixels (size steps), which is what the plain and DARK codecs expect.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

Warp = Literal["udp", "affine"]

BOX_PADDING = 1.25
HALF_BODY_PADDING = 1.5
# of a picture that OpenCV 4 can warp
LONGEST_SIDE = 2**15 - 2


def fix_aspect(scale: Float[np.ndarray, "... 2"], image_size: tuple[int, int]) -> Float[np.ndarray, "... 2"]:
    """Enlarge the shorter side until width : height is that of `image_size`."""
    aspect = image_size[1] / image_size[0]
    width, height = scale[..., 0], scale[..., 1]
    return np.stack([np.maximum(width, height * aspect), np.maximum(height, width / aspect)], axis=-1)


def box_to_center_scale(
    bbox_xywh: Float[np.ndarray, "... 4"], image_size: tuple[int, int], padding: float = BOX_PADDING
) -> tuple[Float[np.ndarray, "... 2"], Float[np.ndarray, "... 2"]]:
    """Return centre and padded, aspect-corrected sides (pixels) of the crop for a box."""
    corner, sides = bbox_xywh[..., :2], bbox_xywh[..., 2:]
    return corner + 0.5 * sides, fix_aspect(sides, image_size) * padding


def udp_warp_matrix(
    center: Float[np.ndarray, " 2"], scale: Float[np.ndarray, " 2"], rotation: float, image_size: tuple[int, int]
) -> Float[np.ndarray, "2 3"]:
    """Return the unbiased map from photograph to crop, `rotation` in degrees (UDP: Huang et al., CVPR 2020)."""
    angle = np.deg2rad(rotation)
    cos, sin = np.cos(angle), np.sin(angle)
    sx, sy = (image_size[1] - 1) / scale[0], (image_size[0] - 1) / scale[1]
    cx, cy = center
    return np.array(
        [
            [cos * sx, -sin * sx, sx * (-cx * cos + cy * sin + 0.5 * scale[0])],
            [sin * sy, cos * sy, sy * (-cx * sin - cy * cos + 0.5 * scale[1])],
        ]
    )


def affine_warp_matrix(
    center: Float[np.ndarray, " 2"], scale: Float[np.ndarray, " 2"], rotation: float, image_size: tuple[int, int]
) -> Float[np.ndarray, "2 3"]:
    """Return a plain similarity from photograph to crop; only the crop's width counts. Turns against the UDP map."""
    angle = np.deg2rad(rotation)
    height, width = image_size
    cos, sin = np.cos(angle) * width / scale[0], np.sin(angle) * width / scale[0]
    cx, cy = center
    return np.array([[cos, sin, 0.5 * width - cos * cx - sin * cy], [-sin, cos, 0.5 * height + sin * cx - cos * cy]])


WARPS = {"udp": udp_warp_matrix, "affine": affine_warp_matrix}


def invert(matrix: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "2 3"]:
    """Return the map back from crop to photograph."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.concatenate([linear, -linear @ matrix[:, 2:]], axis=1)


def mirror_first(matrix: Float[np.ndarray, "2 3"], image_width: int) -> Float[np.ndarray, "2 3"]:
    """Return `matrix` applied to the mirrored photograph, as one map of the photograph that was not mirrored."""
    mirrored = matrix * np.array([-1.0, 1.0, 1.0])
    mirrored[:, 2] += matrix[:, 0] * (image_width - 1)
    return mirrored


def transform_points(points: Float[np.ndarray, "*n 2"], matrix: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "*n 2"]:
    """Apply a 2x3 map to points."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def crop(
    image: UInt8[np.ndarray, "H W 3"], matrix: Float[np.ndarray, "2 3"], image_size: tuple[int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the bilinear crop of `image_size` that `matrix` describes; outside of the photograph is black."""
    if max(image.shape[:2]) > LONGEST_SIDE:
        image, matrix = _around_crop(image, matrix, image_size)
    return cv2.warpAffine(image, matrix, (image_size[1], image_size[0]), flags=cv2.INTER_LINEAR)


def _around_crop(
    image: UInt8[np.ndarray, "H W 3"], matrix: Float[np.ndarray, "2 3"], image_size: tuple[int, int]
) -> tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "2 3"]]:
    """Return the part of a picture that a crop sees, and the map from there; every n-th pixel where it is too big."""
    height, width = image_size
    corners = transform_points(np.array([[0, 0], [width, 0], [0, height], [width, height]], float), invert(matrix))
    sides = np.array([image.shape[1], image.shape[0]])
    first = np.clip(np.floor(corners.min(axis=0)) - 2, 0, sides - 1).astype(int)
    last = np.clip(np.ceil(corners.max(axis=0)) + 2, first, sides - 1).astype(int)
    step = -(-int((last - first).max() + 1) // LONGEST_SIDE)
    part = image[first[1] : last[1] + 1 : step, first[0] : last[0] + 1 : step]
    moved = matrix[:, :2] @ first + matrix[:, 2]
    return np.ascontiguousarray(part), np.column_stack([step * matrix[:, :2], moved])


def mirror_keypoints(
    keypoints: Float[np.ndarray, "K 2"], visible: Float[np.ndarray, " K"], image_width: int, flip_order: tuple[int, ...]
) -> tuple[Float[np.ndarray, "K 2"], Float[np.ndarray, " K"]]:
    """Return keypoints of the mirrored photograph: x -> width - 1 - x, left and right change names."""
    order = list(flip_order)
    mirrored = keypoints[order]
    mirrored[:, 0] = image_width - 1 - mirrored[:, 0]
    return mirrored, visible[order]


def half_body_center_scale(
    keypoints: Float[np.ndarray, "K 2"],
    visible: Float[np.ndarray, " K"],
    upper_body: tuple[int, ...],
    prefer_upper: bool,
    image_size: tuple[int, int],
) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, " 2"]] | None:
    """Return centre and sides of a crop around visible upper or lower keypoints; None where fewer than two are left.

    The preferred half needs more than two visible keypoints; the fall-back is the lower half if that has more than two,
    else the upper.
    """
    is_upper = np.isin(np.arange(len(keypoints)), upper_body)
    upper, lower = keypoints[(visible > 0) & is_upper], keypoints[(visible > 0) & ~is_upper]
    chosen = upper if (prefer_upper and len(upper) > 2) or len(lower) <= 2 else lower
    if len(chosen) < 2:
        return None
    sides = chosen.max(axis=0) - chosen.min(axis=0)
    return chosen.mean(axis=0), fix_aspect(sides, image_size) * HALF_BODY_PADDING


def steps_across(size: tuple[int, int], warp: Warp) -> tuple[int, int]:
    """Return steps (x, y) across a picture of `size` (height, width): between pixel centres for UDP, else pixels."""
    between = int(warp == "udp")
    return size[1] - between, size[0] - between


def heatmap_to_image(
    points: Float[Tensor, "B K 2"],
    center: Float[Tensor, "B 2"],
    scale: Float[Tensor, "B 2"],
    heatmap_size: tuple[int, int],
    warp: Warp,
) -> Float[Tensor, "B K 2"]:
    """Turn heatmap pixels into photograph pixels for crops that were made by `warp` without rotation."""
    center, scale = center.to(points)[:, None], scale.to(points)[:, None]
    return points * (scale / torch.tensor(steps_across(heatmap_size, warp)).to(points)) + center - 0.5 * scale
