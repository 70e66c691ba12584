"""Prediction files for PCKh: the published means, and every format alike."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from sharpose.errors import InputError
from sharpose.metrics.pckh import load_mpii_truth, pckh
from sharpose.metrics.pckh_files import read_predictions


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
