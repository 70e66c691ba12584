"""A GPU's minutes rehearsed by tiny models on a CPU: every step, its share, its deadline, and what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from experiments.cells.cells import cells
from experiments.cells.provenance import Device
from experiments.spec.catalog import Catalog
from experiments.spec.reading import load_spec
from experiments.spec.spec import FOLDER
from experiments.tools import gpu, gpu_agreement, gpu_training
from experiments.tools.gpu import REHEARSAL, Step
from experiments.tools.gpu_work import Race, System, Work
from experiments.tools.parcels import worth_sending
from sharpose.models.registry import list_models
from sharpose.runtime.errors import OutOfTime
from sharpose.training.session import chosen_recipe
from tests.experiments.photographs import write_photographs

CPU = Device("cpu", "Some CPU", 1)
TINY = replace(
    REHEARSAL,
    systems=(
        System("keypoint-vit-small", "keypoint-vit-nano-128x96", 1),
        System("dynamicvit-small", "dynamicvit-nano-128x96", 1, teacher="keypoint-vit-small"),
    ),
    changes={**REHEARSAL.changes, "batch_size": 2},
    crops=4,
    probe_steps=1,
    speeds=("hrnet-nano-128x96",),
    batch_sizes=(1,),
    rounds=2,
)


class Here:
    """A pool of no processes, as importing torch in another one takes seconds."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.map: Callable[[Callable[[str], Any], Iterable[str]], Iterator[Any]] = map


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    monkeypatch.setattr(gpu, "ProcessPoolExecutor", lambda *_, **__: nullcontext(Here()))
    monkeypatch.setattr(gpu, "REHEARSAL", TINY)
    monkeypatch.setattr(gpu_agreement, "small_systems", lambda: ["hrnet-nano-128x96"])
    monkeypatch.setenv("SHARPOSE_PHOTOS", str(write_photographs(tmp_path / "photographs", sides=(200, 180))))
    return Work(tmp_path / "out", TINY, CPU, gpu.time.monotonic() + 3600)


def log(work: Work) -> str:
    return (work.folder / "gpu.log").read_text()


def test_everything_is_done_once_and_comes_back(work):
    stands = gpu.run(work)
    assert {name: each["done"] for name, each in stands.items()} == dict.fromkeys(
        ["agreement", "keypoint-vit-small", "dynamicvit-small", "speeds", "race rehearsal"], True
    ), stands
    assert stands["agreement"]["note"].startswith("1 compared with a CPU, 0 differ")
    assert stands["race rehearsal"]["note"] == "2 trained" and stands["speeds"]["note"].startswith("1 measured")
    weights = work.folder / "small/dynamicvit-small/dynamicvit-nano-128x96.safetensors"
    facts = json.loads(weights.with_suffix(".json").read_text())
    # somebody saw four crops, taught by what was trained before
    assert facts["steps"] == 2 and facts["recipe"]["batch_size"] == 2
    assert facts["teacher"]["file"] == "keypoint-vit-nano-128x96.safetensors"
    assert set(facts["curve"][-1]) == {"step", "crops", "photos-coco_ap", "photos-coco_pck"}
    assert {str(value.dtype) for value in load_file(weights).values()} <= {"torch.float16", "torch.int64"}
    [record] = work.store.records("throughput")
    assert record.metrics["images_per_s"] > 0 and record.identity["device"] == "Some CPU"
    sent = {path.name for path in worth_sending(work.folder)}
    assert {"gpu.log", "steps.json", weights.name, f"{record.run_id}.json"} <= sent
    assert not any(path.name.startswith("optimizer") and "small" in path.parts for path in worth_sending(work.folder))
    gpu.run(work)
    assert log(work).splitlines()[-1].endswith("nothing left to do")


def test_shares_are_of_what_is_left_and_a_failure_costs_nobody_else(work, monkeypatch):
    now, given = [0.0], dict[str, float]()

    def step(name: str, share: float, seconds: float, ends: Exception | None = None) -> Step:
        def do(work: Work, deadline: float) -> tuple[bool, str]:
            given[name] = deadline - now[0]
            now[0] += seconds
            if ends is not None:
                raise ends
            return True, "done"

        return Step(name, share, do)

    every = [step("a", 2, 10), step("b", 1, 5, ValueError("no such thing")), step("c", 1, 40, OutOfTime("at step 3"))]
    every += [step("d", 4, 30), step("late", 1, 1)]
    monkeypatch.setattr(gpu, "steps", lambda scale: every)
    work.clock, work.end = (lambda: now[0]), 85.0
    stands = gpu.run(work)
    # 85 x 2/9; 75 x 1/7; 70 x 1/6; 30 x 4/5; nothing is left for the last
    assert given == pytest.approx({"a": 85 * 2 / 9, "b": 75 / 7, "c": 70 / 6, "d": 24})
    assert stands == {
        "a": {"done": True, "note": "done"},
        "b": {"done": False, "note": "failed: ValueError: no such thing"},
        "c": {"done": False, "note": "at step 3"},
        "d": {"done": True, "note": "done"},
    }
    assert "out of time; the same command goes on" in log(work)
    now[0], work.end = 100.0, 200.0
    given.clear()
    assert gpu.run(work)["late"]["done"] and set(given) == {"b", "c", "late"}


def test_a_device_that_computes_something_else_is_told_apart(work, monkeypatch):
    found = [("a fp32", 0.01, 1e-3), ("b bf16", 0.01, 0.2), ("c fp32", float("nan"), 1e-3)]
    monkeypatch.setattr(gpu_agreement, "errors", lambda *_: iter(found))
    done, note = gpu.agree(work, work.clock() + 60)
    assert done and note.startswith("3 compared with a CPU, 2 differ")
    assert "agreement: a fp32 is 0.01 from a CPU's heatmaps, more than 0.001" in log(work)
    assert "b bf16 is" not in log(work) and "c fp32 is nan" in log(work)
    assert gpu.agree(work, work.clock()) == (False, "1 compared, 1 differ, the rest out of time")


def test_a_training_over_its_time_leaves_weights_and_goes_on(work):
    system = TINY.systems[0]
    done, note = gpu_training.train_system(system, work, work.clock() + 3600)
    assert done and note.startswith("4 crops in")
    # a longer one is stopped after its first step
    chosen = work.folder / "small/keypoint-vit-small/length.json"
    folder = work.folder / "small/again"
    again = replace(system, name="again")
    folder.mkdir(parents=True)
    (folder / "length.json").write_text(json.dumps({**json.loads(chosen.read_text()), "epochs": 3.0}))
    changes = {**gpu_training.recipe_changes(again, work), "epochs": 3.0}
    with pytest.raises(OutOfTime):
        gpu_training.train(again, work, folder, changes, 0.0, compiled=False)
    done, note = gpu_training.train_system(again, work, 0.0)
    unfinished = folder / "keypoint-vit-nano-128x96-unfinished.safetensors"
    assert not done and note.startswith("out of time at step 2 of") and unfinished.is_file()
    assert json.loads(unfinished.with_suffix(".json").read_text())["steps"] == 2
    assert gpu_training.weights_of(work, "again") is None
    done, note = gpu_training.train_system(again, work, work.clock() + 3600)
    assert done and gpu_training.weights_of(work, "again") is not None


def test_what_does_not_compile_runs_eager_and_the_log_says_so(work, monkeypatch):
    asked = []

    def train(*_: Any, compiled: bool, **__: Any) -> dict[str, Any]:
        asked.append(compiled)
        if compiled:
            raise RuntimeError("no C++ compiler\nlong story")
        return {"recipe": {"batch_size": 2}, "data": {"people": 10}, "steps": 1, "wall_s": 0.01}

    monkeypatch.setattr(gpu_training, "train", train)
    work.compiled = True
    length = gpu_training.choose_length(TINY.systems[0], work, work.clock() + 3600, {})
    assert asked == [True, False] and length["compiled"] is False and length["epochs"] == 4 / 10
    assert "torch.compile failed (RuntimeError: no C++ compiler); eager instead" in log(work)
    # what would be too short to learn from is left for a call with more time
    with pytest.raises(OutOfTime, match="at 200 crops/s there is time for 0 crops, too few to learn from"):
        gpu_training.choose_length(TINY.systems[0], work, work.clock(), {})


def test_a_speed_that_fails_leaves_the_others(work, monkeypatch):
    def measure_throughput(variants: dict[str, Any], **_: Any) -> dict[str, Any]:
        if any(one.backend == "compiled" for one in variants.values()):
            raise RuntimeError("inductor gave up")
        return {label: {"images_per_s": 7.0} for label in variants}

    monkeypatch.setattr("sharpose.efficiency.throughput.measure_throughput", measure_throughput)
    work.scale = replace(TINY, modes=("eager", "compiled"), precisions=("fp32", "bf16"))
    assert gpu.measure_speeds(work, work.clock() + 3600) == (True, "2 measured, 2 failed, 0 left")
    assert "compiled, batch 1: RuntimeError: inductor gave up; its eager speed stands" in log(work)
    # what is stored is not measured again; out of time, what is wanted is left
    assert gpu.measure_speeds(work, work.clock() - 1) == (False, "0 measured, 0 failed, 2 left")


def test_the_real_thing_names_what_there_is(tmp_path):
    names = set(list_models())
    assert {one.model for one in gpu.FULL.systems} | set(gpu.FULL.speeds) <= names
    for one in gpu.FULL.systems:
        assert chosen_recipe(one.model, gpu_training.RECIPE, gpu.FULL.changes).batch_size == 64
    assert sum(step.share for step in gpu.steps(gpu.FULL)) == 100
    assert gpu.FULL.races == (Race("photos", 15), Race("nano", 6))
    for one in gpu.FULL.races:
        assert "sharpose-nano-128x96" in gpu.shared_budget(gpu.race_catalog(gpu.FULL, one.tier, tmp_path)).trainings


def test_its_speeds_are_those_of_the_tables(tmp_path):
    device = Device("cuda", "a GPU", None)
    work = Work(tmp_path, gpu.FULL, device, 0.0, None, False)
    made = [gpu.speeds_wanted(work, name, "eager", gpu.FULL.batch_sizes[0])["fp32"] for name in gpu.SPEEDS]
    for table in ("table1", "table2", "table3", "table5", "table7"):
        wanted = [
            one
            for one in cells(load_spec(FOLDER / f"{table}.yaml"), Catalog("nano"), device)
            if one.measure == "throughput"
        ]
        assert wanted and not [one.row for one in wanted if one.identity not in made], table
