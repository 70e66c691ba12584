"""Prediction files for PCKh: the published means, and every format alike."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from sharpose.evaluation.metrics.pckh import load_mpii_truth, pckh
from sharpose.evaluation.metrics.pckh_files import read_predictions
from sharpose.runtime.errors import InputError


@pytest.mark.parametrize(
    ("name", "mean"), [("mpii_val_ground_truth.mat", 82.337), ("mpii_val_predictions_example.h5", 83.927)]
)
def test_published_means(shared: Path, name: str, mean: float) -> None:
    if name.endswith("h5"):
        pytest.importorskip("h5py", reason="needs h5py")
    folder = shared / "data" / "evaluators"
    points = read_predictions(folder / name)
    assert round(pckh(points, load_mpii_truth(folder / "mpii_val_ground_truth.mat")).mean, 3) == mean


def test_formats_agree_and_counting_from_zero_adds_one(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(0, 99, (3, 16, 2))
    (tmp_path / "a.json").write_text(json.dumps({"preds": points.tolist()}))
    scipy.io.savemat(tmp_path / "a.mat", {"pos_pred_src": np.moveaxis(points, 0, -1)})
    np.testing.assert_allclose(read_predictions(tmp_path / "a.json"), points)
    np.testing.assert_allclose(read_predictions(tmp_path / "a.mat", zero_based=True), points + 1)
    for content, message in (("[1, 2]", "N x 16 x 2"), ('{"x": 1}', "holds none"), ("[[", "not valid JSON")):
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(InputError, match=message):
            read_predictions(tmp_path / "a.json")


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0), (2, 1, 0)])
@pytest.mark.parametrize("values", [2, 3])
def test_axes_in_any_order_are_the_same_people(tmp_path: Path, axes: tuple[int, ...], values: int) -> None:
    points = np.random.default_rng(0).uniform(0, 99, (7, 16, values))
    scipy.io.savemat(tmp_path / "a.mat", {"preds": points.transpose(axes)})
    np.testing.assert_allclose(read_predictions(tmp_path / "a.mat"), points[..., :2])


@pytest.mark.parametrize("shape", [(16, 16, 7), (7, 16), (7, 16, 1), (4, 16, 7)])
def test_other_axes_are_named(tmp_path: Path, shape: tuple[int, ...]) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"preds": np.ones(shape)})
    with pytest.raises(InputError, match=re.escape(f"a.mat: an array of shape {shape}")):
        read_predictions(tmp_path / "a.mat")


def test_devices_are_not_read() -> None:
    with pytest.raises(InputError, match="a pipe or a device"):
        load_mpii_truth("/dev/zero")
