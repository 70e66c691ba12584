"""Boxes, crops and the maps between photograph and crop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from experiments.conformance.codecs import CROP_ROUNDING
from sharpose.pose import geometry
from sharpose.pose.skeleton import COCO

IMAGE_SIZE = (256, 192)
coordinate = st.floats(-200, 800)
side = st.floats(5, 900)


def test_a_wide_box_grows_in_height_to_the_crop_aspect() -> None:
    center, scale = geometry.box_to_center_scale(np.array([10.0, 20.0, 90.0, 30.0]), IMAGE_SIZE)
    assert center.tolist() == [55.0, 35.0]
    assert scale.tolist() == [90 * 1.25, 120 * 1.25]


def test_boxes_can_come_in_batches() -> None:
    boxes = np.array([[0.0, 0.0, 30.0, 400.0], [5.0, 6.0, 300.0, 4.0]])
    centers, scales = geometry.box_to_center_scale(boxes, IMAGE_SIZE)
    for box, center, scale in zip(boxes, centers, scales, strict=True):
        one = geometry.box_to_center_scale(box, IMAGE_SIZE)
        assert np.array_equal(one[0], center) and np.array_equal(one[1], scale)


@given(coordinate, coordinate, side, st.floats(-180, 180), st.booleans())
def test_crop_and_uncrop_are_inverse(x: float, y: float, height: float, rotation: float, unbiased: bool) -> None:
    warp = geometry.udp_warp_matrix if unbiased else geometry.affine_warp_matrix
    matrix = warp(np.array([x, y]), np.array([height * 0.75, height]), rotation, IMAGE_SIZE)
    points = np.array([[x, y], [x - 100, y + 7], [0, 0], [639, 479]], dtype=np.float64)
    there_and_back = geometry.transform_points(geometry.transform_points(points, matrix), geometry.invert(matrix))
    assert np.abs(there_and_back - points).max() < 1e-6


@given(coordinate, coordinate, side, st.floats(0, 63), st.floats(0, 47))
def test_heatmap_points_return_to_the_photograph(x: float, y: float, height: float, row: float, column: float) -> None:
    center, scale = np.array([x, y]), np.array([height * 0.75, height])
    steps = {"udp": (191 / 47, 255 / 63), "affine": (4.0, 4.0)}
    for name, (step_x, step_y) in steps.items():
        matrix = getattr(geometry, f"{name}_warp_matrix")(center, scale, 0.0, IMAGE_SIZE)
        expected = geometry.transform_points(np.array([[column * step_x, row * step_y]]), geometry.invert(matrix))
        points = torch.tensor([[[column, row]]], dtype=torch.float64)
        frame = torch.from_numpy(center)[None], torch.from_numpy(scale)[None]
        ours = geometry.heatmap_to_image(points, *frame, (64, 48), name)
        assert np.abs(ours[0].numpy() - expected).max() < 1e-8


def test_udp_maps_the_box_corners_to_the_outermost_pixel_centres() -> None:
    matrix = geometry.udp_warp_matrix(np.array([50.0, 60.0]), np.array([30.0, 40.0]), 0.0, IMAGE_SIZE)
    corners = geometry.transform_points(np.array([[35.0, 40.0], [65.0, 80.0]]), matrix)
    assert np.allclose(corners, [[0, 0], [191, 255]])


def test_mirrored_crop_shows_the_mirrored_photograph() -> None:
    photograph = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    center, scale = np.array([37.0, 25.0]), np.array([36.0, 48.0])
    matrix = geometry.udp_warp_matrix(np.array([79 - 37.0, 25.0]), scale, 20.0, (48, 36))
    mirrored = geometry.crop(np.ascontiguousarray(photograph[:, ::-1]), matrix, (48, 36))
    ours = geometry.crop(photograph, geometry.mirror_first(matrix, 80), (48, 36))
    assert center[0] == 37.0
    assert np.abs(ours.astype(int) - mirrored.astype(int)).max() <= max(2, CROP_ROUNDING)


def test_outside_of_the_photograph_is_black() -> None:
    photograph = np.full((10, 10, 3), 255, dtype=np.uint8)
    matrix = geometry.udp_warp_matrix(np.array([500.0, 500.0]), np.array([30.0, 40.0]), 0.0, IMAGE_SIZE)
    assert not geometry.crop(photograph, matrix, IMAGE_SIZE).any()


def test_mirroring_twice_changes_nothing_and_swaps_left_with_right_once() -> None:
    rng = np.random.default_rng(0)
    keypoints, visible = rng.uniform(0, 100, (17, 2)), rng.integers(0, 2, 17).astype(np.float64)
    once = geometry.mirror_keypoints(keypoints, visible, 101, COCO.flip_order)
    left, right = COCO.keypoint_names.index("left_knee"), COCO.keypoint_names.index("right_knee")
    assert np.allclose(once[0][left], [100 - keypoints[right, 0], keypoints[right, 1]])
    twice = geometry.mirror_keypoints(*once, 101, COCO.flip_order)
    assert np.allclose(twice[0], keypoints) and np.array_equal(twice[1], visible)


@pytest.mark.parametrize(("prefer_upper", "middle"), [(True, 10.0), (False, 90.0)])
def test_half_body_looks_at_the_preferred_half(prefer_upper: bool, middle: float) -> None:
    keypoints = np.tile([[0.0, 10.0]], (17, 1))
    keypoints[11:, 1] = 90.0
    keypoints[:, 0] = np.arange(17)
    box = geometry.half_body_center_scale(keypoints, np.ones(17), COCO.upper_body, prefer_upper, IMAGE_SIZE)
    assert box is not None and box[0][1] == middle


def test_half_body_needs_two_keypoints() -> None:
    visible = np.zeros(17)
    visible[3] = 1
    keypoints = np.zeros((17, 2))
    assert geometry.half_body_center_scale(keypoints, visible, COCO.upper_body, True, IMAGE_SIZE) is None


@pytest.mark.parametrize("rotation", [0.0, 25.0])
def test_pictures_longer_than_opencv_takes_are_cut_around_the_crop(
    monkeypatch: pytest.MonkeyPatch, rotation: float
) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (90, 400, 3), dtype=np.uint8)
    matrix = geometry.udp_warp_matrix(np.array([300.0, 40.0]), np.array([45.0, 60.0]), rotation, IMAGE_SIZE)
    usual = geometry.crop(picture, matrix, IMAGE_SIZE)
    monkeypatch.setattr(geometry, "LONGEST_SIDE", 200)
    cut = geometry.crop(picture, matrix, IMAGE_SIZE)
    # OpenCV counts in 1/32 pixels from the corner of what it is given
    assert np.abs(cut.astype(int) - usual).mean() < 1.5
    # of a crop that is too long itself every other pixel is looked at, which shows at borders
    wide = geometry.udp_warp_matrix(np.array([199.5, 44.5]), np.array([399.0, 532.0]), 0.0, IMAGE_SIZE)
    smooth = np.tile(np.linspace(0, 255, 400).astype(np.uint8)[None, :, None], (90, 1, 3))
    monkeypatch.setattr(geometry, "LONGEST_SIDE", 10**9)
    usual = geometry.crop(smooth, wide, IMAGE_SIZE)
    monkeypatch.setattr(geometry, "LONGEST_SIDE", 200)
    assert np.abs(geometry.crop(smooth, wide, IMAGE_SIZE).astype(int) - usual)[108:148, 2:-2].max() <= 2


def test_a_crop_beside_a_long_picture_is_black(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "LONGEST_SIDE", 200)
    matrix = geometry.udp_warp_matrix(np.array([900.0, 900.0]), np.array([45.0, 60.0]), 0.0, IMAGE_SIZE)
    assert not geometry.crop(np.full((90, 400, 3), 255, dtype=np.uint8), matrix, IMAGE_SIZE).any()
