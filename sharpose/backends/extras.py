"""Packages that only some back-ends need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sharpose.errors import InputError


def need(extra: str, module: str) -> Any:
    """The module, imported. Raises InputError naming it and the extra that brings it where it is missing."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(f"this needs {error.name}: pip install 'sharpose[{extra}]'") from error
