"""What is drawn, where, and in which colour."""

from __future__ import annotations

import numpy as np
import pytest

from sharpose.inference.drawing import (
    LEFT,
    MIDDLE,
    PATCH,
    RIGHT,
    Canvas,
    Person,
    Style,
    draw,
    label,
    overlap,
    side_colours,
)
from sharpose.pose.skeleton import COCO, MPII
from sharpose.runtime.errors import InputError

BLACK = np.zeros((400, 300, 3), dtype=np.uint8)


def person(scores: float = 0.9, **more: object) -> Person:
    """Somebody whose keypoints lie on a grid."""
    grid = np.column_stack([40 + 50.0 * (np.arange(17) % 5), 60 + 70.0 * (np.arange(17) // 5), np.full(17, scores)])
    return Person([30.0, 50.0, 240.0, 300.0], grid, scores, **more)  # type: ignore[arg-type]


def has(canvas: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((canvas == colour).all(axis=2).any())


def test_left_and_right_have_their_colours_in_every_layout() -> None:
    for skeleton in (COCO, MPII):
        for name, colour in zip(skeleton.keypoint_names, side_colours(len(skeleton.sigmas), skeleton), strict=True):
            assert colour == (LEFT if "left" in name else RIGHT if "right" in name else MIDDLE), name
    canvas = draw(BLACK, [person()], COCO)
    for at, colour in ((0, MIDDLE), (5, LEFT), (6, RIGHT)):
        x, y = person().points[at].astype(int)
        assert tuple(canvas[y, x]) == colour
    assert not BLACK.any()


def test_more_is_drawn_when_asked_alone() -> None:
    patches = np.array([[[10.0, 300], [40, 300], [40, 330], [10, 330]]])
    someone = person(quality=0.5, refined=True, patches=patches)
    assert not has(draw(BLACK, [someone], COCO), PATCH) and label(someone) == "0.90"
    shown = Style(show=["patches", "quality"])
    assert has(draw(BLACK, [someone], COCO, shown), PATCH) and label(someone, shown) == "0.90 quality 0.50 refined"
    with pytest.raises(InputError, match="--show 'bones'"):
        Style(show=["bones"])


def test_nothing_below_the_threshold_is_drawn_and_that_is_written() -> None:
    faint = person(0.15)
    canvas = draw(BLACK, [faint], COCO)
    assert not has(canvas, LEFT) and not has(canvas, RIGHT) and canvas.any()
    assert label(faint) == "0.15 no keypoint above 0.2"
    assert has(draw(BLACK, [faint], COCO, Style(threshold=0.1)), LEFT)


def test_labels_do_not_overlap_and_stay_inside() -> None:
    canvas = Canvas(BLACK.copy(), 1)
    for number in range(12):
        canvas.label(f"quality 0.9{number}", [250.0 + number, -30.0, 9.0, 9.0])
    pairs = [(a, b) for i, a in enumerate(canvas.labels) for b in canvas.labels[:i]]
    assert len(canvas.labels) == 12 and not any(overlap(a, b) for a, b in pairs)
    assert all(x >= 0 and y >= 0 and x + w <= 300 and y + h <= 400 for x, y, w, h in canvas.labels)


def test_keypoints_far_outside_are_survived() -> None:
    far = Person([0.0, 0.0, 10.0, 10.0], np.tile([1e12, -1e12, 0.9], (17, 1)), 0.9)
    assert draw(BLACK, [far], COCO).shape == BLACK.shape
