"""Predictions for MPII's PCKh from the files that public code writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from sharpose.data.annotations import read_json
from sharpose.evaluation.metrics.pckh import read_mat
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import check_regular

NAMES = ("preds", "pos_pred_src", "predictions", "keypoints")


def read_predictions(path: Path, zero_based: bool = False) -> Float[np.ndarray, "N 16 2"]:
    """Return points from .json, .mat or .h5: N x 16 x 2, 16 x 2 x N, or 2 x 16 x N, as HDF5 turns MATLAB's axes around.

    Where there are 2, a third value (a score) may follow.

    zero_based: the points count from 0, so 1 is added, as the official truth counts from 1. Raises InputError.
    """
    readers = {
        ".json": read_json_file,
        ".mat": lambda path: named(path, read_mat(path)),
        ".h5": read_h5,
        ".hdf5": read_h5,
    }
    if path.suffix not in readers:
        raise InputError(f"--predictions {path}: must be one of {', '.join(readers)}")
    check_regular(path)
    content = readers[path.suffix](path)
    try:
        points = np.asarray(content, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{path}: not an array of numbers; N x 16 x 2 is wanted") from None
    shape, pairs = points.shape, (2, 3)
    if points.ndim == 3 and shape[1] == 16 and shape[0] in pairs and shape[2] not in pairs:
        points = points.T
    elif points.ndim == 3 and shape[0] == 16 and shape[1] in pairs:
        points = np.moveaxis(points, -1, 0)
    if points.ndim != 3 or points.shape[1] != 16 or points.shape[2] not in pairs:
        raise InputError(f"{path}: an array of shape {shape}; N x 16 x 2 (or 16 x 2 x N, or 2 x 16 x N) is wanted")
    points = points[..., :2] + float(zero_based)
    if not np.isfinite(points).all():
        raise InputError(f"{path}: holds points that are not finite; every person needs 16 points")
    return points


def named(path: Path, content: Any) -> Any:
    """Return the predictions among the variables of a file. Raises InputError where there are none."""
    for name in NAMES:
        if name in content:
            return content[name]
    raise InputError(f"{path}: holds none of {', '.join(NAMES)}")


def read_json_file(path: Path) -> Any:
    """Return the predictions of a JSON file: the document itself, or one of its variables."""
    content = read_json(path)
    return named(path, content) if isinstance(content, dict) else content


def read_h5(path: Path) -> Any:
    """Return an HDF5 file's predictions. Raises InputError where it cannot be read or holds none, or without h5py."""
    try:
        import h5py
    except ModuleNotFoundError:
        raise InputError(f"{path}: reading HDF5 needs h5py; pip install h5py, or convert to .json or .mat") from None
    try:
        with h5py.File(path) as file:
            return np.asarray(named(path, file))
    except OSError as error:
        raise InputError(f"{path}: not a readable HDF5 file ({error})") from None
