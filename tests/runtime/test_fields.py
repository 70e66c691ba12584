"""Fields hold what their annotations say; what does not is one line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from sharpose.models.config import Size, Whole, Wholes
from sharpose.runtime.errors import InputError
from sharpose.runtime.fields import Finite, Positive, PositiveShare, Share, ShareBelowOne, check_fields


class Other:
    """A kind of its own, as plug-ins may have."""


@dataclass(frozen=True)
class Fields:
    """One field of each kind."""

    size: Size = (8, 6)
    count: Whole = 1
    counts: Wholes = (1,)
    share: Share = 1
    kept: PositiveShare = 1.0
    dropped: ShareBelowOne = 0.0
    sigma: Positive = 2
    threshold: Finite | None = None
    codec: Literal["udp", "msra"] = "udp"
    flag: bool = False
    other: Other = field(default_factory=Other)

    def __post_init__(self) -> None:
        check_fields(self)


def test_what_fits_is_left_as_it_is() -> None:
    made = Fields(share=1, threshold=-1e30, size=(2048, 1))
    assert type(made.share) is int and made.threshold == -1e30


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("size", (8, 0), "it must be greater than or equal to 1"),
        ("size", (8,), "it has too few values"),
        ("size", [8, 6], "it must be a valid tuple"),
        ("count", 0, "it must be greater than or equal to 1"),
        ("count", True, "it must be a valid integer"),
        ("count", 8193, "it must be less than or equal to 8192"),
        ("counts", (), "tuple should have at least 1 item"),
        ("counts", (1, 2.0), "it must be a valid integer"),
        ("share", "0.5", "it must be a valid number"),
        ("share", True, "it must be a valid number"),
        ("share", 1.01, "it must be less than or equal to 1"),
        ("kept", 0.0, "it must be greater than 0"),
        ("dropped", 1, "it must be less than 1"),
        ("sigma", 0, "it must be greater than 0"),
        ("threshold", float("nan"), "it must be a finite number"),
        ("threshold", 1e31, "it must be less than or equal to 1"),
        ("codec", "dark", "it must be 'udp' or 'msra'"),
        ("flag", 1, "it must be a valid boolean"),
        ("other", "1j", "it must be an instance of Other"),
    ],
)
def test_what_does_not_fit_names_the_field(name: str, value: Any, wanted: str) -> None:
    with pytest.raises(InputError) as caught:
        Fields(**{name: value})
    assert str(caught.value).startswith(f"{name} = {value!r} does not work: {wanted}")
