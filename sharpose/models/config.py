"""What every configuration shares: sizes, and checks with one-line errors. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from sharpose.runtime.errors import InputError

Size = tuple[int, int]

EXTENSION = {"extension": True}
"""Metadata of a field that switches on what goes beyond a system's paper; by default it is off, and then it is not part
of what a model is described by."""


@dataclass(frozen=True, kw_only=True)
class PoseConfig:
    """What every model needs: sizes are (height, width) in pixels. Raises InputError naming the field out of range."""

    image_size: Size
    heatmap_size: Size
    num_keypoints: int = 17
    codec: Literal["msra", "dark", "udp"] = "msra"

    def __post_init__(self) -> None:
        check_choices(self)
        check_sizes(self, "image_size", "heatmap_size")
        check_whole(self, "num_keypoints")


def check(holds: bool, name: str, value: object, wanted: str) -> None:
    """Raise InputError naming the field, its value and what it must be."""
    if not holds:
        raise InputError(f"{name} = {value!r} does not work: it must be {wanted}")


def check_choices(config: Any) -> None:
    """Every field annotated with a Literal of words holds one of them."""
    for name, hint in get_type_hints(type(config)).items():
        if choices := [choice for choice in get_args(hint) if isinstance(choice, str)]:
            value = getattr(config, name)
            check(value in choices, name, value, "one of " + ", ".join(choices))


def check_whole(config: Any, *names: str, least: int = 1) -> None:
    """These fields are whole numbers of at least `least` and at most LARGEST_WHOLE."""
    for name in names:
        value = getattr(config, name)
        whole = isinstance(value, int) and not isinstance(value, bool) and least <= value <= LARGEST_WHOLE
        check(whole, name, value, f"a whole number of at least {least} and at most {LARGEST_WHOLE}")


def check_whole_list(config: Any, *names: str) -> None:
    """These fields are non-empty tuples of whole numbers from 1 to LARGEST_WHOLE."""
    for name in names:
        values = getattr(config, name)
        whole = (
            isinstance(values, tuple)
            and values
            and all(type(one) is int and 1 <= one <= LARGEST_WHOLE for one in values)
        )
        check(bool(whole), name, values, f"a list of whole numbers from 1 to {LARGEST_WHOLE}")


def check_sizes(config: Any, *names: str) -> None:
    """These fields are (height, width) in whole pixels, of at most LONGEST_SIDE."""
    for name in names:
        sides = getattr(config, name)
        whole = (
            isinstance(sides, tuple)
            and len(sides) == 2
            and all(type(s) is int and 0 < s <= LONGEST_SIDE for s in sides)
        )
        check(whole, name, sides, f"(height, width) in whole pixels, of at most {LONGEST_SIDE}")


def check_share(config: Any, *names: str, below_one: bool = False) -> None:
    """These fields lie in [0, 1], or in [0, 1)."""
    for name in names:
        value = getattr(config, name)
        inside = is_number(value) and 0 <= value <= 1 and not (below_one and value == 1)
        check(inside, name, value, "in [0, 1)" if below_one else "between 0 and 1")


def check_heads(dim: int, num_heads: int) -> None:
    """The heads divide the width."""
    check(dim % num_heads == 0, "num_heads", num_heads, f"a divisor of the width {dim}")


# more is a slip, and memory would end before anything is said
LONGEST_SIDE, LARGEST_WHOLE = 2048, 8192
# a whole number of hundreds of digits is finite, and no number to calculate with
LARGEST = 1e30


def is_number(value: object) -> bool:
    """Return whether a value is a number, not a truth value, NaN or beyond `LARGEST`."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST
