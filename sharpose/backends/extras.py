"""Packages that only some back-ends need, and what they say unasked."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from sharpose.runtime.errors import InputError


def need(extra: str, module: str) -> Any:
    """Return the module, imported. Raises InputError naming it and the extra that brings it where it is missing."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(f"this needs {error.name}: pip install 'sharpose[{extra}]'") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence exporter and quantiser, whose steps and deprecations concern no user."""
    loggers = [logging.getLogger(name) for name in ("", "torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
