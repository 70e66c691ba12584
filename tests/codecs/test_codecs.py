"""Encoding and decoding heatmaps, and the mirrored average."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sharpose.codecs.dark import DarkCodec
from sharpose.codecs.heatmaps import blur, blurred_neighbourhood, peaks
from sharpose.codecs.msra import MsraCodec
from sharpose.codecs.udp import UdpCodec, UdpOffsetCodec
from sharpose.pose.flip import flip_back
from sharpose.pose.skeleton import COCO

IMAGE_SIZE, HEATMAP_SIZE = (256, 192), (64, 48)
UDP = UdpCodec(IMAGE_SIZE, HEATMAP_SIZE)
# bounds in heatmap pixels: further than 6 pixels from the border, and anywhere in the map
BOUNDS = [
    (UDP, 0.001, 2.0),
    (UdpCodec((128, 96), (32, 24), sigma=1.5), 0.01, 2.0),
    (UdpCodec((384, 288), (96, 72), sigma=3.0), 0.001, 3.0),
    (UdpOffsetCodec(IMAGE_SIZE, HEATMAP_SIZE), 0.5, 6.0),
    (DarkCodec(IMAGE_SIZE, HEATMAP_SIZE), 0.001, 1.0),
    (MsraCodec(IMAGE_SIZE, HEATMAP_SIZE), 0.71, 1.0),
]


def stride(codec: object) -> Tensor:
    height, width = codec.image_size  # type: ignore[attr-defined]
    rows, columns = codec.heatmap_size  # type: ignore[attr-defined]
    less = 1 if isinstance(codec, UdpCodec | UdpOffsetCodec) else 0
    return torch.tensor([(width - less) / (columns - less), (height - less) / (rows - less)])


@pytest.mark.parametrize(("codec", "inside", "anywhere"), BOUNDS, ids=lambda value: type(value).__name__)
def test_decode_undoes_encode(codec: UdpCodec, inside: float, anywhere: float) -> None:
    rows, columns = codec.heatmap_size
    last = torch.tensor([columns - 1.0, rows - 1.0])
    points = torch.rand(200, 17, 2, generator=torch.Generator().manual_seed(0)) * last
    points[0, :4] = torch.stack(
        [torch.zeros(2), last, last * torch.tensor([0.0, 1.0]), last * torch.tensor([1.0, 0.0])]
    )
    decoded, scores = codec.decode(codec.encode(points * stride(codec), torch.ones(200, 17))[0])
    error = (decoded - points).norm(dim=-1)
    from_border = torch.minimum(points, last - points).amin(dim=-1)
    assert error[from_border > 6].max() < inside
    assert error.max() < anywhere
    assert ((scores > 0) & (scores <= 1)).all()


@given(st.integers(-100, 300), st.integers(-100, 400))
def test_weights_are_zero_exactly_where_the_window_misses_the_map(x: int, y: int) -> None:
    heatmaps, weights = UDP.encode(torch.tensor([[[float(x), float(y)]]]), torch.ones(1, 1))
    middle = [int(x / (191 / 47) + 0.5), int(y / (255 / 63) + 0.5)]
    # the reference counts a window that ends right before the first pixel as inside
    touches = all(-7 <= m < size + 6 for m, size in zip(middle, (48, 64), strict=True))
    assert weights.item() == float(touches)
    assert heatmaps.isfinite().all() and heatmaps.max() <= 1
    if not touches:
        assert not heatmaps.any()


def test_invisible_keypoints_have_empty_maps() -> None:
    heatmaps, weights = UDP.encode(torch.full((1, 2, 2), 100.0), torch.tensor([[1.0, 0.0]]))
    assert weights.tolist() == [[1.0, 0.0]]
    assert heatmaps[0, 0].max() > 0.9 and not heatmaps[0, 1].any()


@pytest.mark.parametrize("codec", [bound[0] for bound in BOUNDS[:-2]] + [BOUNDS[-1][0]], ids=lambda c: type(c).__name__)
def test_permuting_keypoints_permutes_the_result(codec: UdpCodec) -> None:
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(3, 17, 2, generator=generator) * 90
    order = torch.randperm(17, generator=generator)
    maps, _ = codec.encode(points, torch.ones(3, 17))
    permuted, _ = codec.encode(points[:, order], torch.ones(3, 17))
    assert torch.allclose(codec.decode(permuted)[0], codec.decode(maps)[0][:, order], atol=1e-6)


@pytest.mark.parametrize("codec", [UDP, DarkCodec(IMAGE_SIZE, HEATMAP_SIZE), MsraCodec(IMAGE_SIZE, HEATMAP_SIZE)])
def test_a_map_without_a_positive_value_has_no_place(codec: UdpCodec) -> None:
    points, scores = codec.decode(torch.full((1, 1, 64, 48), -1.0))
    assert points.tolist() == [[[-1.0, -1.0]]] and scores.item() == -1.0


@pytest.mark.parametrize("codec", [UDP, DarkCodec(IMAGE_SIZE, HEATMAP_SIZE)])
def test_constant_and_noisy_maps_decode_to_finite_points(codec: UdpCodec) -> None:
    noise = torch.randn(4, 5, 64, 48, generator=torch.Generator().manual_seed(0))
    for maps in (noise, noise * 1e-6, torch.ones(1, 1, 64, 48), torch.full((1, 1, 64, 48), 1e4)):
        assert codec.decode(maps)[0].isfinite().all()


def test_half_precision_maps_decode_in_full_precision() -> None:
    maps, _ = UDP.encode(torch.full((1, 1, 2), 101.3), torch.ones(1, 1))
    points, scores = UDP.decode(maps.to(torch.bfloat16))
    assert points.dtype == scores.dtype == torch.float32
    assert (points - UDP.decode(maps)[0]).abs().max() < 0.05


@pytest.mark.parametrize("kernel", [3, 11, 17, 23])
@pytest.mark.parametrize(("border", "flag"), [("reflect", cv2.BORDER_REFLECT_101), ("zero", cv2.BORDER_CONSTANT)])
def test_blur_equals_opencv(kernel: int, border: str, flag: int) -> None:
    maps = np.random.default_rng(0).random((1, 2, 32, 24), dtype=np.float32)
    pad = kernel if border == "zero" else 0
    ours = blur(torch.from_numpy(maps), kernel, border)
    for channel in range(2):
        padded = np.pad(maps[0, channel], pad)
        expected = cv2.GaussianBlur(padded, (kernel, kernel), 0, borderType=flag)
        expected = expected[pad : pad + 32, pad : pad + 24]
        assert np.abs(ours[0, channel].numpy() - expected).max() < 1e-6


def test_the_blurred_neighbourhood_is_that_of_the_whole_blurred_map() -> None:
    maps = torch.rand(2, 3, 16, 12, generator=torch.Generator().manual_seed(0))
    points = torch.tensor([[[0, 0], [11, 15], [5, 7]], [[11, 0], [0, 15], [1, 14]]])
    whole = torch.nn.functional.pad(blur(maps, 11, "reflect"), (1, 1, 1, 1), mode="replicate")
    ours = blurred_neighbourhood(maps, points, 11)
    for image in range(2):
        for keypoint in range(3):
            x, y = points[image, keypoint].tolist()
            expected = whole[image, keypoint, y : y + 3, x : x + 3]
            assert torch.allclose(ours[image, keypoint], expected, atol=1e-6)


def test_peaks_are_x_before_y() -> None:
    maps = torch.zeros(1, 1, 5, 7)
    maps[0, 0, 3, 6] = 2.0
    points, scores = peaks(maps)
    assert points.tolist() == [[[6, 3]]] and scores.tolist() == [[2.0]]


def test_flip_back_undoes_mirroring_the_crop() -> None:
    keypoints = torch.rand(2, 17, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([191.0, 255.0])
    mirrored = keypoints[:, list(COCO.flip_order)].clone()
    mirrored[..., 0] = 191 - mirrored[..., 0]
    visible = torch.ones(2, 17)
    offsets = UdpOffsetCodec(IMAGE_SIZE, HEATMAP_SIZE)
    for codec, three in ((UDP, False), (offsets, True)):
        ours = flip_back(codec.encode(mirrored, visible)[0], COCO.flip_pairs, offsets=three)
        assert (ours - codec.encode(keypoints, visible)[0]).abs().median() < 1e-6
    back = flip_back(UDP.encode(mirrored, visible)[0], COCO.flip_pairs)
    assert (UDP.decode(back)[0] - UDP.decode(UDP.encode(keypoints, visible)[0])[0]).abs().median() < 1e-3


def test_shift_moves_right_and_keeps_the_first_column() -> None:
    maps = torch.arange(4.0).view(1, 1, 1, 4)
    assert flip_back(maps, [], shift=True).flatten().tolist() == [3.0, 3.0, 2.0, 1.0]
