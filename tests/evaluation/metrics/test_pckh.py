"""PCKh on the official MPII validation ground truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from sharpose.evaluation.metrics.pckh import MpiiTruth, load_mpii_truth, pckh
from sharpose.runtime.errors import InputError


def test_stored_predictions_give_the_published_values(shared: Path) -> None:
    path = shared / "data" / "evaluators" / "mpii_val_ground_truth.mat"
    predicted = np.moveaxis(scipy.io.loadmat(str(path))["pos_pred_src"], -1, 0).astype(np.float64)
    result = pckh(predicted, load_mpii_truth(path))
    assert round(result.mean, 3) == 82.337
    groups = [round(value, 3) for value in result.groups.values()]
    assert groups == pytest.approx([95.600, 92.714, 83.365, 76.736, 81.928, 73.363, 65.446], abs=1e-9)


def test_hourglass_predictions_give_the_published_mean(shared: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs h5py")
    folder = shared / "data" / "evaluators"
    with h5py.File(folder / "mpii_val_predictions_example.h5") as file:
        predicted = np.asarray(file["preds"], dtype=np.float64)
    assert round(pckh(predicted, load_mpii_truth(folder / "mpii_val_ground_truth.mat")).mean, 3) == 83.927


def one_person(distance: float, missing: tuple[int, ...] = ()) -> tuple[np.ndarray, MpiiTruth]:
    truth = MpiiTruth(
        keypoints=np.zeros((1, 16, 2)),
        missing=np.isin(np.arange(16), missing)[None],
        head_boxes=np.array([[[0.0, 0.0], [30.0, 40.0]]]),
    )
    predicted = np.zeros((1, 16, 2))
    predicted[..., 0] = distance
    return predicted, truth


def test_the_head_is_six_tenths_of_the_diagonal_and_the_threshold_counts_as_right() -> None:
    assert pckh(*one_person(15.0)).mean == 100.0
    assert pckh(*one_person(15.01)).mean == 0.0
    assert pckh(*one_person(3.0), threshold=0.1).mean == 100.0


def test_missing_joints_do_not_count() -> None:
    result = pckh(*one_person(1.0, missing=(0,)))
    assert np.isnan(result.per_joint[0]) and result.mean == 100.0
    everything = pckh(*one_person(1.0, missing=tuple(range(16))))
    assert np.isnan(everything.mean)


def test_wrong_files_and_shapes_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "gt.mat"
    broken.write_bytes(b"not a mat file")
    with pytest.raises(InputError, match=r"gt\.mat"):
        load_mpii_truth(broken)
    with pytest.raises(InputError, match="no such file"):
        load_mpii_truth(tmp_path / "absent.mat")
    scipy.io.savemat(tmp_path / "other.mat", {"x": np.zeros(3)})
    with pytest.raises(InputError, match="pos_gt_src"):
        load_mpii_truth(tmp_path / "other.mat")
    with pytest.raises(InputError, match="one row per person"):
        pckh(np.zeros((2, 16, 2)), one_person(0.0)[1])
