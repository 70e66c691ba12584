"""The loop: it learns, a resumed run equals an uninterrupted one bit for bit, and bad numbers stop it."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sharpose.data.augment import Augmentation
from sharpose.data.coco import CocoTopDown
from sharpose.data.mannequin import annotations_path, images_path
from sharpose.models import create_model
from sharpose.runtime.errors import InputError, Interrupted, RunFailed
from sharpose.runtime.files import sha256_of
from sharpose.training import loop
from sharpose.training.checkpoints import read_state
from sharpose.training.engine import Run, make_steps_fast, resume, start_heads, train
from sharpose.training.loop import step_plan
from sharpose.training.recipe import Recipe
from sharpose.weights.files import read_weights, save_weights

RECIPE = Recipe(
    epochs=4,
    batch_size=8,
    learning_rate=1e-3,
    layer_decay=1.0,
    warmup_iterations=2,
    milestones=(),
    sigma=1.5,
    coarse_only_epochs=1,
    quality_start_epoch=2,
    alphas=(0.0, 0.5, 1.0),
    # dropped paths are random too, and have to be repeated by a resumed run
    model_options={"embed_dim": 24, "num_heads": 4, "depth": 3, "drop_path": 0.2, "oks_target": "paper"},
)


@pytest.fixture
def run(people: CocoTopDown, tmp_path: Path) -> Run:
    return Run("sharpose-nano-128x96", RECIPE, people, tmp_path / "run", seed=3)


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_resumed_equals_uninterrupted_with_workers(run: Run, people_folder: Path, tmp_path: Path) -> None:
    folder = people_folder
    augmented = CocoTopDown(
        annotations_path(folder, "train"),
        images_path(folder, "train"),
        image_size=(128, 96),
        augmentation=Augmentation(),
        seed=3,
    )
    run = replace(run, people=augmented)
    whole, state = train(run)
    assert state.step == 4 * (len(augmented) // 8)
    parts = replace(run, folder=tmp_path / "parts")
    train(replace(parts, max_steps=2))
    train(replace(parts, max_steps=state.step // 2, workers=2))
    resumed, end = train(parts)
    assert end.step == state.step
    assert torch.equal(weights(whole), weights(resumed))


def test_it_learns(run: Run) -> None:
    _, state = train(replace(run, recipe=RECIPE.model_copy(update={"epochs": 12, "learning_rate": 3e-3})))
    assert state.log[-1]["coarse"] < 0.6 * state.log[0]["coarse"]
    assert set(state.log[-1]) >= {"coarse", "fine", "quality", "lr", "images_per_s"}


def test_only_what_is_named_learns(run: Run, tmp_path: Path) -> None:
    trained, _ = train(replace(run, recipe=RECIPE.model_copy(update={"epochs": 1})))
    save_weights(trained, tmp_path / "trained.safetensors", {})
    changes = {"only": ("quality_predictor",), "coarse_only_epochs": 0, "quality_start_epoch": 0}
    run = replace(run, folder=tmp_path / "only", init=tmp_path / "trained.safetensors")
    model, _ = train(replace(run, recipe=RECIPE.model_copy(update=changes)))
    # as they were stored, in half precision
    before, after = read_weights(tmp_path / "trained.safetensors"), model.state_dict()
    learnt = {name for name, values in before.items() if not torch.equal(after[name], values.float())}
    assert learnt == {name for name in after if name.startswith("quality_predictor.")}


def test_a_name_that_nothing_has_is_refused_before_training(run: Run) -> None:
    with pytest.raises(InputError, match="only: no parameter's name begins with 'gain'; modules: patch_embed, blocks"):
        train(replace(run, recipe=RECIPE.model_copy(update={"only": ("gain",)})))


def test_plan_follows_the_recipe() -> None:
    plans = [step_plan(RECIPE, step, 10, seed=0) for step in range(40)]
    assert [plan.coarse_only for plan in plans] == [True] * 10 + [False] * 30
    assert [plan.quality_weight for plan in plans] == [0.0] * 20 + [0.03] * 20
    assert {plan.alpha for plan in plans} == {0.0, 0.5, 1.0}
    assert plans == [step_plan(RECIPE, step, 10, seed=0) for step in range(40)]


def test_a_loss_that_is_not_finite_stops_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    train(replace(run, max_steps=2))
    original = loop.learning_rate
    monkeypatch.setattr(loop, "learning_rate", lambda *given: original(*given) * 1e30)
    with pytest.raises(RunFailed, match=r"loss is (nan|inf).*kept"):
        train(run)
    assert [path.name for path in run.folder.glob("step-*")] == ["step-000000002"]
    with pytest.raises(RunFailed, match="there was no checkpoint yet"):
        train(replace(run, folder=run.folder / "other"))


def test_sigterm_leaves_a_checkpoint(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    original = loop.learning_rate

    def rate(recipe: Recipe, step: int, per_epoch: int) -> float:
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(recipe, step, per_epoch)

    monkeypatch.setattr(loop, "learning_rate", rate)
    with pytest.raises(Interrupted) as caught:
        train(run)
    assert caught.value.exit_code == 75
    assert [path.name for path in run.folder.glob("step-*")] == ["step-000000004"]


def test_a_broken_picture_costs_no_step(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    original, seen = CocoTopDown.sample, 0

    def sample(people: CocoTopDown, index: int, epoch: int) -> dict[str, object]:
        nonlocal seen
        seen += 1
        if seen > 3 * 8:
            raise InputError("7.jpg: cannot be decoded")
        return original(people, index, epoch)

    monkeypatch.setattr(CocoTopDown, "sample", sample)
    with pytest.raises(InputError, match=r"7\.jpg"):
        train(run)
    assert [path.name for path in run.folder.glob("step-*")] == ["step-000000003"]


def test_another_run_is_not_resumed(run: Run) -> None:
    train(replace(run, max_steps=1))
    with pytest.raises(InputError, match="seed was 3 and is 4 now"):
        train(replace(run, seed=4))


def gradient_norm(run: Run, folder: Path, **changes: float | str) -> float:
    """After one step; the gradients of the last step stay."""
    recipe = run.recipe.model_copy(update=changes)
    model, _ = train(replace(run, recipe=recipe, folder=folder, max_steps=1))
    return float(torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm())


def test_gradients_are_clipped_and_the_loss_scaled_as_the_recipe_says(run: Run, tmp_path: Path) -> None:
    whole = gradient_norm(run, tmp_path / "whole")
    assert gradient_norm(run, tmp_path / "half", loss_factor=0.5) == pytest.approx(0.5 * whole, rel=1e-4)
    assert gradient_norm(run, tmp_path / "clipped", gradient_clip=0.1 * whole) == pytest.approx(0.1 * whole, rel=1e-3)
    unclipped = gradient_norm(run, tmp_path / "adam", gradient_clip=10 * whole, optimizer="adam", weight_decay=0)
    assert unclipped == pytest.approx(whole, rel=1e-4)


def test_a_diverging_loss_stops_the_run_and_keeps_the_good_weights(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"divergence_factor": 3.0, "divergence_steps": 2}
    run = replace(run, recipe=RECIPE.model_copy(update=limits), checkpoint_every_s=0.0)
    original = loop.mean_of

    def mean_of(losses: dict[str, torch.Tensor]) -> dict[str, float]:
        means = original(losses)
        mean_of.calls += 1
        return {name: value * (100 if mean_of.calls > 5 else 1) for name, value in means.items()}

    mean_of.calls = 0
    monkeypatch.setattr(loop, "mean_of", mean_of)
    with pytest.raises(RunFailed, match=r"step 6: the loss diverges .*for 2 steps above 3 times its median.*kept"):
        train(run)
    assert sorted(path.name for path in run.folder.glob("step-*")) == ["step-000000004", "step-000000005"]


def test_changed_data_are_not_gone_on_with(run: Run) -> None:
    train(replace(run, max_steps=1, data={"annotations_sha256": "a"}))
    with pytest.raises(InputError, match=r"data was .*'a'.* and is .*'b'"):
        train(replace(run, data={"annotations_sha256": "b"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pictures": ["b"]}, r"pictures was \['a'\] and is \['b'\] now"),
        ({"precision": "bf16"}, "precision was 'no' and is 'bf16' now"),
        ({"init": "start.safetensors"}, "init was None and is '[0-9a-f]{64}' now"),
    ],
)
def test_what_changes_the_weights_is_not_changed_in_the_middle(run: Run, change: dict, message: str) -> None:
    run = replace(run, pictures=["a"])
    trained, _ = train(replace(run, max_steps=1))
    if "init" in change:
        change = {"init": run.folder / change["init"]}
        save_weights(trained, change["init"], {})
    with pytest.raises(InputError, match=message):
        resume(replace(run, **change), trained, torch.optim.AdamW(trained.parameters()))


def test_one_process_trains_one_network_after_the_other_each_in_its_precision(run: Run, tmp_path: Path) -> None:
    models = [
        train(replace(run, folder=tmp_path / str(turn), max_steps=1, precision=precision))[0]
        for turn, precision in enumerate(("no", "bf16", "no"))
    ]
    first, half, again = map(weights, models)
    assert torch.equal(first, again) and not torch.equal(first, half)


def test_what_may_change_in_the_middle_is_said_of_each_part(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    train(replace(run, max_steps=1))
    train(replace(run, max_steps=2))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    _, state = train(replace(run, max_steps=3))
    assert [(part["step"], part["threads"] == 77, part["device"]) for part in state.parts] == [
        (0, False, "cpu"),
        (2, True, "cpu"),
    ]


def test_a_checkpoint_that_says_less_is_gone_on_with(run: Run) -> None:
    train(replace(run, max_steps=1))
    (checkpoint,) = run.folder.glob("step-*")
    state = read_state(checkpoint)
    for name in ("pictures", "precision", "init"):
        del state["identity"][name]
    (checkpoint / "state.json").write_text(json.dumps(state))
    digests = {name: sha256_of(checkpoint / name) for name in ("model.safetensors", "optimizer.pt", "state.json")}
    (checkpoint / "manifest.json").write_text(json.dumps(digests))
    assert train(replace(run, max_steps=2, pictures=["a"]))[1].step == 2


def test_a_validation_that_a_signal_breaks_off_is_done_again(run: Run) -> None:
    judged = replace(run, validation=lambda model: {"ap": next(model.parameters()).sum().item()}, points=2)
    _, whole = train(replace(judged, folder=run.folder / "whole"))

    def stopped(model: torch.nn.Module) -> dict[str, float | None]:
        os.kill(os.getpid(), signal.SIGTERM)
        return {"ap": 0.0}

    broken = replace(judged, folder=run.folder / "broken")
    with pytest.raises(Interrupted, match=f"at step {whole.curve[0]['step']:.0f};"):
        train(replace(broken, validation=stopped))
    _, resumed = train(broken)
    assert resumed.curve == whole.curve


def test_another_model_is_refused_before_its_weights_are_read(run: Run) -> None:
    train(replace(run, max_steps=1))
    other = RECIPE.model_copy(update={"model_options": {**RECIPE.model_options, "embed_dim": 32}})
    with pytest.raises(InputError, match="model_options was"):
        train(replace(run, recipe=other))


def test_deterministic_training_gives_the_same_weights(run: Run, tmp_path: Path) -> None:
    try:
        first, second = (
            train(replace(run, folder=tmp_path / name, max_steps=3, deterministic=True))[0] for name in ("a", "b")
        )
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(weights(first), weights(second))


def test_heads_start_near_zero_where_the_recipe_says_so(run: Run) -> None:
    torch.manual_seed(0)
    model = create_model("sharpose-nano-128x96", **RECIPE.model_options)
    images = torch.randn(4, 3, 128, 96)
    own = model(images).heatmaps.square().mean()
    start_heads(model, 0.001)
    assert model(images).heatmaps.square().mean() < own / 100
    before = [layer.weight.clone() for layer in model.heatmap_layers]
    start_heads(model, None)
    assert all(torch.equal(layer.weight, was) for layer, was in zip(model.heatmap_layers, before, strict=True))


def test_the_curve_has_a_point_at_every_halving_and_survives_a_pause(run: Run) -> None:
    judged = replace(run, validation=lambda model: {"ap": next(model.parameters()).sum().item()}, points=3)
    _, whole = train(replace(judged, folder=run.folder / "whole"))
    steps = whole.step
    assert [row["step"] for row in whole.curve] == [-(-steps // 4), -(-steps // 2), steps]
    assert whole.curve[-1]["crops"] == steps * RECIPE.batch_size
    train(replace(judged, folder=run.folder / "paused", max_steps=steps // 2 + 1))
    _, resumed = train(replace(judged, folder=run.folder / "paused"))
    assert resumed.curve == whole.curve


@pytest.mark.parametrize("name", ["simple-baseline-nano-128x96", "vitpose-nano-128x96"])
def test_what_makes_steps_fast_changes_no_gradient(name: str) -> None:
    torch.manual_seed(0)
    images, model = torch.randn(2, 3, 128, 96), create_model(name).train()
    gradients = []
    for _ in range(2):
        model.zero_grad()
        torch.manual_seed(1)
        (model(images).heatmaps ** 2).mean().backward()
        gradients.append({name: each.grad.clone() for name, each in model.named_parameters()})
        make_steps_fast(model, "cpu", "bf16")
    wide = next(each for each in model.modules() if isinstance(each, torch.nn.Conv2d) and each.kernel_size > (1, 1))
    assert wide.weight.is_contiguous(memory_format=torch.channels_last) and not wide.weight.is_contiguous()
    for parameter, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][parameter], gradient, rtol=1e-3, atol=1e-7)
