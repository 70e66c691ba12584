"""What every heatmap codec shares: peaks, blurring as two small matrices, target windows."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def peaks(heatmaps: Float[Tensor, "B K h w"]) -> tuple[Int[Tensor, "B K 2"], Float[Tensor, "B K"]]:
    """Return the integer (x, y) of each map's maximum and its value; (-1, -1) where no value is positive."""
    scores, index = heatmaps.flatten(2).max(dim=2)
    width = heatmaps.shape[3]
    points = torch.stack([index % width, index // width], dim=-1)
    return torch.where(scores[..., None] > 0, points, -1), scores


def neighbour(
    heatmaps: Float[Tensor, "B K h w"], points: Int[Tensor, "B K 2"], dx: int, dy: int
) -> Float[Tensor, "B K"]:
    """Return the value (dx, dy) pixels beside each point, points beyond the border moved onto it."""
    height, width = heatmaps.shape[2:]
    columns, rows = (points[..., 0] + dx).clamp(0, width - 1), (points[..., 1] + dy).clamp(0, height - 1)
    return heatmaps.flatten(2).gather(2, (rows * width + columns)[..., None])[..., 0]


def blur_matrix(size: int, kernel: int, border: str, like: Tensor) -> Float[Tensor, "size size"]:
    """Return the matrix M that blurs `size` values as M @ values, with OpenCV's automatic sigma for an odd `kernel`.

    border: "reflect" mirrors without repeating the edge value, "zero" continues with zeros.
    """
    return torch.from_numpy(_blur_matrix(size, kernel, border)).to(like)


@lru_cache(maxsize=64)
def _blur_matrix(size: int, kernel: int, border: str) -> np.ndarray:
    """Return the matrix of `blur_matrix`, (size, size), in single precision."""
    radius = kernel // 2
    wide = np.pad(np.eye(size), ((radius, radius), (0, 0)), mode="reflect" if border == "reflect" else "constant")
    matrix = np.zeros((size, size), dtype=np.float32)
    # sigma 0: chosen from the kernel's size, with OpenCV's tables for the smallest ones
    for start, tap in enumerate(cv2.getGaussianKernel(kernel, 0).ravel()):
        matrix += tap * wide[start : start + size]
    return matrix


def blur(heatmaps: Float[Tensor, "B K h w"], kernel: int, border: str) -> Float[Tensor, "B K h w"]:
    """Blur every map by a Gaussian, equal to OpenCV's with automatic sigma."""
    height, width = heatmaps.shape[2:]
    rows, columns = blur_matrix(height, kernel, border, heatmaps), blur_matrix(width, kernel, border, heatmaps)
    return rows @ heatmaps @ columns.T


def blurred_neighbourhood(
    heatmaps: Float[Tensor, "B K h w"], points: Int[Tensor, "B K 2"], kernel: int
) -> Float[Tensor, "B K 3 3"]:
    """Return the 3x3 values, [dy, dx], at `points` of maps blurred with mirrored border; edge values repeat outside.

    Only these nine values are computed, not the whole blurred map.
    """
    height, width = heatmaps.shape[2:]
    steps = torch.arange(-1, 2, device=heatmaps.device)
    rows = blur_matrix(height, kernel, "reflect", heatmaps)[(points[..., 1:] + steps).clamp(0, height - 1)]
    columns = blur_matrix(width, kernel, "reflect", heatmaps)[(points[..., :1] + steps).clamp(0, width - 1)]
    return rows @ heatmaps @ columns.transpose(-1, -2)


def gaussians(
    points: Float[Tensor, "B K 2"],
    weights: Float[Tensor, "B K"],
    sigma: float,
    heatmap_size: tuple[int, int],
    window: Float[Tensor, "B K 2"] | None = None,
) -> Float[Tensor, "B K h w"]:
    """Return unnormalised Gaussians around `points` as row x column products; zero maps where the weight is .5 or less.

    window: middles outside of whose +-3 sigma square the map is zero; None for full maps.
    """
    factors = []
    for axis, size in ((0, heatmap_size[1]), (1, heatmap_size[0])):
        pixels = torch.arange(size, device=points.device, dtype=points.dtype)
        factor = torch.exp(-((pixels - points[..., axis, None]) ** 2) / (2 * sigma**2))
        if window is not None:
            factor = factor * ((pixels - window[..., axis, None]).abs() <= 3 * sigma)
        factors.append(factor)
    columns, rows = factors
    return (rows * (weights > 0.5)[..., None])[..., :, None] * columns[..., None, :]


def window_inside(center: Float[Tensor, "B K 2"], radius: float, heatmap_size: tuple[int, int]) -> Bool[Tensor, "B K"]:
    """Return whether the window of +-`radius` touches the map (with the references' pixel of slack at left and top)."""
    size = center.new_tensor([heatmap_size[1], heatmap_size[0]])
    return ((center - radius < size) & (center + radius + 1 >= 0)).all(dim=-1)


def newton(dx: Tensor, dy: Tensor, dxx: Tensor, dyy: Tensor, dxy: Tensor) -> Float[Tensor, "B K 2"]:
    """Return the step (x, y) to where a parabola of these (B, K) derivatives is flat; none where it is so nowhere."""
    determinant = (dxx * dyy - dxy * dxy)[..., None]
    step = torch.stack([dyy * dx - dxy * dy, dxx * dy - dxy * dx], dim=-1)
    solvable = determinant != 0
    return torch.where(solvable, -step / torch.where(solvable, determinant, 1.0), 0.0)


def round_like_reference(points: Float[Tensor, "B K 2"]) -> Float[Tensor, "B K 2"]:
    """Return int(x + .5) with truncation toward zero, which differs from rounding below -.5."""
    return torch.trunc(points + 0.5)
