"""Dataclasses whose fields hold what their annotations say, and pydantic's errors in one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Annotated, Any, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from sharpose.runtime.errors import InputError

# a whole number of hundreds of digits is finite, and no number to calculate with
LARGEST = 1e30

Finite = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=LARGEST, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
PositiveShare = Annotated[Share, Field(gt=0)]
ShareBelowOne = Annotated[Share, Field(lt=1)]


def is_number(value: object) -> bool:
    """Return whether a value is a finite number to calculate with, not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def check_fields(checked: Any) -> None:
    """Check the fields of a dataclass against their annotations, strictly: no text for a number, no list for a tuple.

    Raises InputError naming the first field that does not fit, its value and what it must be.
    """
    for name, adapter in adapters(checked.__class__).items():
        try:
            adapter.validate_python(getattr(checked, name), strict=True)
        except ValidationError as error:
            value = getattr(checked, name)
            raise InputError(f"{name} = {value!r} does not work: {reason(error.errors()[0])}") from None


@cache
def adapters(kind: type) -> dict[str, TypeAdapter[Any]]:
    """Return what validates each field of a dataclass."""
    hints, config = get_type_hints(kind, include_extras=True), ConfigDict(arbitrary_types_allowed=True)
    return {field.name: TypeAdapter(hints[field.name], config=config) for field in fields(kind)}


def reason(error: Mapping[str, Any]) -> str:
    """Return what one of pydantic's errors demands, to stand behind `NAME = VALUE does not work: `."""
    text = str(error["msg"]).removeprefix("Value error, ").replace("Input should", "it must", 1)
    return "it has too few values" if error["type"] == "missing" else text[0].lower() + text[1:]
