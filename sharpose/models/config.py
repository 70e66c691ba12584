"""What every configuration shares: sizes, the kinds of fields, and checks with one-line errors. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from sharpose.runtime.errors import InputError
from sharpose.runtime.fields import check_fields

# more is a slip, and memory would end before anything is said
LONGEST_SIDE, LARGEST_WHOLE = 2048, 8192
Whole = Annotated[int, Field(ge=1, le=LARGEST_WHOLE)]
WholeOrZero = Annotated[int, Field(ge=0, le=LARGEST_WHOLE)]
Wholes = Annotated[tuple[Whole, ...], Field(min_length=1)]
Side = Annotated[int, Field(ge=1, le=LONGEST_SIDE)]
Size = tuple[Side, Side]
"""(height, width), in pixels or patches."""

EXTENSION = {"extension": True}
"""Metadata of a field that switches on what goes beyond a system's paper; by default it is off, and then it is not part
of what a model is described by."""


@dataclass(frozen=True, kw_only=True)
class PoseConfig:
    """What every model needs: sizes are (height, width) in pixels. Raises InputError naming the field out of range."""

    image_size: Size
    heatmap_size: Size
    num_keypoints: Whole = 17
    codec: Literal["msra", "dark", "udp"] = "msra"

    def __post_init__(self) -> None:
        check_fields(self)


def sized(image: Size, **more: Any) -> dict[str, Any]:
    """Return the fields of a model whose heatmaps are a quarter of the image (height, width), and `more` of them."""
    return {"image_size": image, "heatmap_size": (image[0] // 4, image[1] // 4), **more}


def check(holds: bool, name: str, value: object, wanted: str) -> None:
    """Raise InputError naming the field, its value and what it must be, unless it `holds`."""
    if not holds:
        raise InputError(f"{name} = {value!r} does not work: it must be {wanted}")


def check_sides(image: Size, step: int, meaning: str = "") -> None:
    """Raise InputError unless both sides of the image are multiples of `step`, which `meaning` explains."""
    check(all(side % step == 0 for side in image), "image_size", image, f"two multiples of {meaning}{step}")


def check_heads(dim: int, num_heads: int) -> None:
    """Raise InputError unless the heads divide the width."""
    check(dim % num_heads == 0, "num_heads", num_heads, f"a divisor of the width {dim}")
