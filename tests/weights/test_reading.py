"""Checkpoints that others made: what is found in them, what is refused, and nothing in silence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sharpose.models import create_model
from sharpose.runtime.errors import InputError
from sharpose.weights.files import load_weights
from sharpose.weights.importing import import_weights
from sharpose.weights.reading import open_checkpoint, read_checkpoint
from sharpose.weights.starting import read_start, start_from

MODEL = "sharpose-nano-128x96"
TINY = {"embed_dim": 24, "num_heads": 4, "depth": 1}
STATE = {"a.weight": torch.ones(2, 2), "a.bias": torch.zeros(2)}


def save(folder: Path, content: Any, name: str = "x.pth") -> Path:
    torch.save(content, folder / name)
    return folder / name


@pytest.fixture
def own() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return create_model(MODEL, **TINY).state_dict()


def cyclic() -> dict[str, Any]:
    content: dict[str, Any] = {}
    content["state_dict"] = content
    return content


def cyclic_by_two() -> dict[str, Any]:
    first: dict[str, Any] = {"epoch": 3}
    first["model"] = {"state_dict": {"module": first}}
    return first


@pytest.mark.parametrize("make", [cyclic, cyclic_by_two])
def test_what_contains_itself_ends(tmp_path: Path, make: Any) -> None:
    with pytest.raises(InputError, match=r"x\.pth: holds no state dict"):
        read_checkpoint(save(tmp_path, make()))


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (torch.ones(3, device="meta"), "meta"),
        (torch.eye(3).to_sparse(), "sparse"),
        (torch.eye(3).to_sparse_csr(), "sparse"),
        (torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "quantised"),
        (torch.ones(3, dtype=torch.complex64), "complex"),
        (torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "nested"),
        (torch.tensor([1.0, float("nan")]), "not finite"),
        (torch.tensor([1.0, float("-inf")], dtype=torch.bfloat16), "not finite"),
    ],
)
def test_tensors_without_plain_finite_values_are_named(tmp_path: Path, tensor: torch.Tensor, kind: str) -> None:
    with pytest.raises(InputError, match=rf"x\.pth: (odd.*{kind}|.*not a PyTorch file)") as caught:
        read_checkpoint(save(tmp_path, {**STATE, "odd": tensor}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "key", "others"),
    [
        (STATE, "", ()),
        ({"net": STATE, "epoch": 3}, "net", ()),
        ({"model": STATE, "model_ema": STATE}, "model", ("model_ema",)),
        ({"model_ema": STATE, "state_dict": STATE}, "state_dict", ("model_ema",)),
        (
            {"checkpoint": {"model": STATE}, "optimizer": {"state": {0: {"step": torch.ones(1)}}}},
            "checkpoint.model",
            (),
        ),
    ],
)
def test_the_weights_that_are_taken_are_named(
    tmp_path: Path, content: Any, key: str, others: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path, content)
    found = open_checkpoint(path)
    assert (found.key, found.others) == (key, others) and set(found.state) == set(STATE)
    read_checkpoint(path)
    assert bool(capsys.readouterr().err) == bool(others)


@pytest.mark.parametrize("beside", [{}, {"ema": {"a.bias": torch.ones(2)}}])
def test_other_things_among_tensors_are_named(tmp_path: Path, beside: dict[str, Any]) -> None:
    path = save(tmp_path, {"state_dict": {**STATE, "epoch": 3}, **beside})
    with pytest.raises(InputError, match=r"x\.pth: its state dict holds things that are no named tensors: epoch"):
        open_checkpoint(path)
    if beside:
        assert set(open_checkpoint(path, key="ema").state) == {"a.bias"}


def test_which_weights_can_be_chosen(tmp_path: Path) -> None:
    averaged = {name: value + 1 for name, value in STATE.items()}
    path = save(tmp_path, {"student": STATE, "teacher": averaged})
    with pytest.raises(InputError, match="holds 2 state dicts: student, teacher; choose one with --key"):
        open_checkpoint(path)
    assert torch.equal(open_checkpoint(path, key="teacher").state["a.bias"], averaged["a.bias"])
    with pytest.raises(InputError, match="--key ema: there is no such state dict; the file holds 'student', 'teacher'"):
        open_checkpoint(path, key="ema")
    both = {f"{who}.{name}": value for who, state in (("m", STATE), ("ema", averaged)) for name, value in state.items()}
    assert torch.equal(open_checkpoint(save(tmp_path, both), key="ema").state["a.bias"], averaged["a.bias"])


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model.", "module.module.", "ema.backbone."])
@pytest.mark.parametrize("name", ["x.pth", "x.pth.tar", "x"])
def test_prefixes_and_suffixes_do_not_matter(
    tmp_path: Path, own: dict[str, torch.Tensor], prefix: str, name: str
) -> None:
    path = save(tmp_path, {"state_dict": {f"{prefix}{key}": value for key, value in own.items()}}, name)
    report, _ = import_weights(str(path), MODEL, tmp_path / "o.safetensors", options=TINY)
    assert len(report.matched) == len(own) and not report.left_out
    written = load_file(tmp_path / "o.safetensors")
    assert all(torch.equal(written[key], value) for key, value in own.items())
    started = create_model(MODEL, **TINY)
    assert len(start_from(started, read_start(path)).matched) == len(own)


def test_safetensors_are_told_by_content(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "x.bin")
    assert set(read_checkpoint(tmp_path / "x.bin")) == set(STATE)


def test_beginnings_that_can_be_chosen_are_named(tmp_path: Path, own: dict[str, torch.Tensor]) -> None:
    path = save(tmp_path, {f"{who}.{name}": value for who in ("student", "teacher") for name, value in own.items()})
    with pytest.raises(InputError, match="choose what begins with student or teacher with --key"):
        import_weights(str(path), MODEL, tmp_path / "o.safetensors", options=TINY)
    report, _ = import_weights(str(path), MODEL, tmp_path / "o.safetensors", options=TINY, key="teacher")
    assert len(report.matched) == len(own)


@pytest.mark.parametrize("kind", [torch.int8, torch.int32, torch.bool])
def test_whole_numbers_are_no_weights(tmp_path: Path, own: dict[str, torch.Tensor], kind: torch.dtype) -> None:
    """As the insides of quantised layers, whose scales are elsewhere."""
    name = "blocks.0.mlp.fc1.weight"
    state = {**own, name: own[name].to(kind)}
    message = f"{name} is {str(kind).removeprefix('torch.')}, and a fraction in the model; store weights as floats"
    with pytest.raises(InputError, match=message):
        import_weights(str(save(tmp_path, state)), MODEL, tmp_path / "o.safetensors", options=TINY)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=message):
        load_weights(create_model(MODEL, **TINY), tmp_path / "w.safetensors")


def test_import_says_which_weights_it_took(tmp_path: Path, own: dict[str, torch.Tensor]) -> None:
    zeros = {name: torch.zeros_like(value) for name, value in own.items()}
    path, out = save(tmp_path, {"model": zeros, "model_ema": own}), tmp_path / "o.safetensors"
    _, facts = import_weights(str(path), MODEL, out, options=TINY)
    assert facts["imported_from"]["key"] == "model" and facts["imported_from"]["also_there"] == ["model_ema"]
    import_weights(str(path), MODEL, out, options=TINY, key="model_ema")
    assert torch.equal(load_file(out)["patch_embed.proj.weight"], own["patch_embed.proj.weight"])


def test_values_that_are_not_finite_are_not_imported(tmp_path: Path, own: dict[str, torch.Tensor]) -> None:
    own["patch_embed.proj.weight"][0, 0, 0, 0] = float("inf")
    with pytest.raises(InputError, match=r"patch_embed\.proj\.weight: values that are not finite"):
        import_weights(str(save(tmp_path, own)), MODEL, tmp_path / "o.safetensors", options=TINY)
    assert not (tmp_path / "o.safetensors").exists()


def test_an_import_does_not_take_the_place_of_another_file(tmp_path: Path, own: dict[str, torch.Tensor]) -> None:
    (tmp_path / "o.json").write_text('{"AP": 0.74}')
    with pytest.raises(InputError, match=r"o\.json: is no manifest of weights, and would be overwritten"):
        import_weights(str(save(tmp_path, own)), MODEL, tmp_path / "o.safetensors", options=TINY)
    assert (tmp_path / "o.json").read_text() == '{"AP": 0.74}'


def test_pipes_and_devices_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.pth")
    for path in (tmp_path / "x.pth", Path("/dev/zero")):
        with pytest.raises(InputError, match="a pipe or a device"):
            read_checkpoint(path)


def test_vitpose_of_mmpose_1(tmp_path: Path) -> None:
    name = "vitpose-nano-128x96"
    torch.manual_seed(0)
    state = create_model(name, depth=2).state_dict()

    def theirs(key: str) -> str:
        for ours, other in (
            ("patch_embed.proj.", "patch_embed.projection."),
            ("last_norm.", "ln1."),
            ("blocks.", "layers."),
            (".norm1.", ".ln1."),
            (".norm2.", ".ln2."),
            (".mlp.fc1.", ".ffn.layers.0.0."),
            (".mlp.fc2.", ".ffn.layers.1."),
        ):
            key = key.replace(ours, other)
        return key if key.startswith("head.") else f"backbone.{key}"

    path = save(tmp_path, {"meta": {}, "state_dict": {theirs(key): value for key, value in state.items()}})
    report, _ = import_weights(str(path), name, tmp_path / "o.safetensors", options={"depth": 2})
    written = load_file(tmp_path / "o.safetensors")
    assert report.layout == "ViTPose, mmpose 1.x" and set(written) == set(state)
    assert all(torch.equal(written[key], value) for key, value in state.items())
