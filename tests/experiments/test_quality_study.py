"""The study of what quality can be predicted from: its statistics on data whose answer is known."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from experiments.tools import quality_study
from experiments.tools.quality_study import (
    FITS,
    LOG,
    People,
    cross_fitted,
    entropy,
    folds_of,
    largest_exit_rate,
    r_squared,
    r_squared_interval,
    table,
)

RNG = np.random.default_rng(0)
PICTURES = np.repeat(np.arange(150), 2)
INPUTS = RNG.normal(size=(300, 5))
NOISE = RNG.normal(size=300)


def test_people_of_one_picture_share_a_fold():
    folds = folds_of(PICTURES)
    assert all(len(set(folds[one == PICTURES])) == 1 for one in range(150))
    assert np.bincount(folds).tolist() == [30] * 10


@pytest.mark.parametrize("fit", FITS)
def test_what_follows_from_the_inputs_is_found_and_noise_is_not(fit):
    line = 2 * INPUTS[:, 0] - INPUTS[:, 1] + 3
    assert r_squared(line, cross_fitted(INPUTS, line, PICTURES, fit)) > 0.95
    # half of the variance is noise that nobody can know
    half = line + np.sqrt(5) * NOISE
    assert 0.3 < r_squared(half, cross_fitted(INPUTS, half, PICTURES, fit)) < 0.6
    assert r_squared(NOISE, cross_fitted(INPUTS, NOISE, PICTURES, fit)) < 0.02


def test_a_kernel_sees_what_a_line_cannot():
    bowl = INPUTS[:, 0] ** 2
    found = {fit: r_squared(bowl, cross_fitted(INPUTS, bowl, PICTURES, fit)) for fit in FITS}
    assert found["kernel ridge"] > 0.5 > 0.1 > found["ridge"]


def test_ridge_is_that_of_the_normal_equations():
    known, target, new = INPUTS[:200], INPUTS[:200, 0] + NOISE[:200], INPUTS[200:]
    found = FITS["ridge"](known, target, new)
    scaled = (known - known.mean(axis=0)) / known.std(axis=0)
    others = (new - known.mean(axis=0)) / known.std(axis=0)
    every = [
        target.mean()
        + others @ np.linalg.solve(scaled.T @ scaled + penalty * np.eye(5), scaled.T @ (target - target.mean()))
        for penalty in quality_study.PENALTIES * np.linalg.eigvalsh(scaled @ scaled.T).clip(0).mean()
    ]
    assert min(np.abs(found - one).max() for one in every) < 1e-8


def test_the_interval_covers_and_is_of_pictures():
    target = NOISE + INPUTS[:, 0]
    low, high = r_squared_interval(target, INPUTS[:, 0], PICTURES)
    assert low < r_squared(target, INPUTS[:, 0]) < high and high - low < 0.4
    assert r_squared_interval(target, target, PICTURES) == (1.0, 1.0)


def test_entropy_of_a_point_and_of_a_plain():
    maps = torch.zeros(1, 2, 4, 4)
    maps[0, 0, 1, 2], maps[0, 1] = 5.0, 0.5
    maps[0, 0, 0, 0] = -3.0
    assert entropy(maps)[0].tolist() == pytest.approx([0.0, np.log(16)], abs=1e-6)


def test_who_may_leave_is_found_to_a_hundredth(monkeypatch):
    people = People({}, SimpleNamespace(), SimpleNamespace(), SimpleNamespace())
    stays = RNG.permutation(300)
    # everybody who leaves costs a hundredth of a point, the worst ten hundred times as much
    cost = np.where(stays < 10, 1e-2, 1e-4)
    monkeypatch.setattr(quality_study, "ap_of", lambda people, refined: 0.8 - cost[~refined].sum())
    assert largest_exit_rate(people, stays, loss=0.00305) == 0.10
    assert largest_exit_rate(people, -stays, loss=0.00305) == 0.0


def test_both_stages_are_looked_at_and_scored(tmp_path):
    from sharpose.inference.stages import oks
    from sharpose.models import create_model
    from sharpose.weights.files import save_weights

    torch.manual_seed(0)
    model = create_model("sharpose-nano-128x96")
    save_weights(model, tmp_path / "w.safetensors", {})
    people = quality_study.look("sharpose-nano-128x96", "mannequin-tiny", tmp_path / "w.safetensors")
    count = len(people.dataset)
    assert {name: values.shape for name, values in people.inputs.items()} == {
        "token": (count, 96),
        "peaks": (count, 17),
        "entropy": (count, 17),
        "flip": (count, 17),
        "box": (count, 1),
    }
    assert people.coarse.keypoints.shape == (count, 17, 2) and np.isfinite(people.inputs["flip"]).all()
    coarse, fine = (oks(stage.keypoints, people.dataset) for stage in (people.coarse, people.fine))
    assert np.array_equal(people.targets["coarse OKS"], coarse)
    assert np.array_equal(people.targets["gain"], fine - coarse)
    # the model's own quality follows from the token that was kept
    predicted = model.quality_predictor(torch.from_numpy(people.inputs["token"]).float()).detach().numpy()
    np.testing.assert_allclose(predicted, people.fine.quality, atol=1e-5)
    assert 0 <= quality_study.ap_of(people, np.ones(count, dtype=bool)) < 0.2


def test_the_page_has_the_table_of_the_log():
    lines = [json.loads(line) for line in LOG.read_text().splitlines()]
    assert {line["inputs"] for line in lines} >= set(quality_study.GROUPS)
    assert table(lines) in (LOG.parent / "quality.md").read_text()
