"""Weights that ship: exact loading, refused damage, and starting from another size."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sharpose.models import create_model
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import sha256_of, write_atomically
from sharpose.training.runs import manifest_of
from sharpose.weights.files import SCALE, in_8_bits, load_weights, read_weights, save_weights
from sharpose.weights.pretrained import find_weights
from sharpose.weights.publishing import read_result
from sharpose.weights.transfer import transfer

TINY = {"embed_dim": 24, "num_heads": 4, "depth": 2}


@pytest.fixture
def saved(tmp_path: Path) -> tuple[torch.nn.Module, Path]:
    torch.manual_seed(0)
    model = create_model("sharpose-nano-128x96", **TINY)
    path = tmp_path / "tiny.safetensors"
    save_weights(model, path, {"command": "made by a test"})
    return model, path


def test_round_trip_in_half_precision(saved: tuple[torch.nn.Module, Path]) -> None:
    model, path = saved
    fresh = create_model("sharpose-nano-128x96", **TINY)
    digest = load_weights(fresh, path)
    manifest = json.loads(path.with_suffix(".json").read_text())
    assert manifest["sha256"] == digest and manifest["command"] == "made by a test"
    for (name, ours), theirs in zip(fresh.named_parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs.half().float()), name


@pytest.mark.parametrize("name", ["sharpose-nano-128x96", "simple-baseline-nano-128x96"])
def test_8_bits_are_within_half_a_step_of_every_output_channel(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    model, path = create_model(name), tmp_path / "w.safetensors"
    save_weights(model, path, {}, bits=8)
    stored, fresh = load_file(path), create_model(name)
    load_weights(fresh, path)
    assert json.loads(path.with_suffix(".json").read_text())["bits"] == 8
    layers = {key.removesuffix(SCALE) for key in stored if key.endswith(SCALE)}
    assert layers and all(stored[key].dtype == torch.int8 for key in layers)
    for key, value in model.state_dict().items():
        found = fresh.state_dict()[key]
        if key in layers:
            scale = stored[key + SCALE]
            assert scale.numel() in value.shape[:2] and scale.ndim == value.ndim
            assert ((found - value).abs() <= scale / 2 * 1.001).all(), key
        elif value.is_floating_point():
            assert torch.equal(found, value.half().float()), key
    assert path.stat().st_size < 0.62 * sum(2 * value.numel() for value in model.state_dict().values())
    assert read_weights(path).keys() == model.state_dict().keys()


def test_transposed_convolutions_have_their_output_channels_second() -> None:
    layer = torch.nn.ConvTranspose2d(3, 5, 4)
    tensors = in_8_bits(torch.nn.Sequential(layer))
    assert tensors["0.weight"].shape == (3, 5, 4, 4) and tensors["0.weight" + SCALE].shape == (1, 5, 1, 1)
    assert tensors["0.weight"].abs().amax(dim=(0, 2, 3)).tolist() == [127] * 5


@pytest.mark.parametrize("how", ["flip", "truncate", "missing", "pickle"])
def test_damage_is_one_line(saved: tuple[torch.nn.Module, Path], how: str) -> None:
    model, path = saved
    content = path.read_bytes()
    if how == "flip":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif how == "truncate":
        path.write_bytes(content[:-100])
    elif how == "missing":
        path.unlink()
    else:
        torch.save({"x": torch.ones(1)}, path)
    with pytest.raises(InputError, match=r"tiny\.safetensors") as caught:
        load_weights(model, path)
    assert "\n" not in str(caught.value)


def test_weights_of_another_model_are_refused(saved: tuple[torch.nn.Module, Path]) -> None:
    with pytest.raises(InputError, match="another model"):
        load_weights(create_model("sharpose-nano-128x96", **{**TINY, "depth": 3}), saved[1])


def test_a_json_file_of_somebody_else_is_no_manifest(saved: tuple[torch.nn.Module, Path]) -> None:
    model, path = saved
    path.with_suffix(".json").write_text('{"epoch": 3, "AP": 0.74}')
    load_weights(model, path)
    with pytest.raises(InputError, match="would be overwritten"):
        save_weights(model, path, {})
    assert path.with_suffix(".json").read_text() == '{"epoch": 3, "AP": 0.74}'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(saved: tuple[torch.nn.Module, Path], value: float) -> None:
    model, path = saved
    with torch.no_grad():
        model.blocks[0].mlp.fc1.weight[0, 0] = value  # type: ignore[index, union-attr]
    save_weights(model, path, {})
    with pytest.raises(InputError, match=r"blocks\.0\.mlp\.fc1\.weight: values that are not finite"):
        load_weights(model, path)


def test_transfer_to_a_larger_input() -> None:
    small = create_model("sharpose-nano-128x96", **TINY)
    large = create_model("sharpose-nano-192x144", **TINY)
    with torch.no_grad():
        # a table that is linear in the row stays so when it is stretched
        small.coarse_pos_embed.copy_(torch.linspace(0, 1, 8).repeat_interleave(6)[None, :, None].expand(1, 48, 24))
    report = transfer(large, small.state_dict())
    head = ["head.layers.1.bias", "head.layers.1.weight"]
    assert sorted(report.resized) == ["coarse_pos_embed", "fine_pos_embed", *head]
    assert not report.missing and not report.unexpected
    assert torch.equal(large.blocks[1].mlp.fc1.weight, small.blocks[1].mlp.fc1.weight)
    rows = large.coarse_pos_embed.detach().reshape(12, 9, 24)
    assert rows.std(dim=1).max() < 1e-5  # still the same in every column
    assert (rows[1:, 0, 0] >= rows[:-1, 0, 0] - 1e-3).all()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_atomically(path, fail)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_result_holds_numbers(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"annotations": "a.json", "ap": "0.5"}))
    with pytest.raises(InputError, match=r"result.json: ap = '0.5' is no number"):
        read_result(path)


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    os.mkfifo(tmp_path / "whole.json")
    torch.save({}, tmp_path / "whole.safetensors")
    with pytest.raises(InputError, match=r"pipe.safetensors: a pipe or a device, not a file"):
        sha256_of(tmp_path / "pipe.safetensors")
    # in a manifest's place it says nothing
    assert find_weights(tmp_path / "whole.safetensors").manifest == {}
    assert manifest_of(tmp_path / "whole.safetensors") is None
    with pytest.raises(InputError, match=r"whole.json: a pipe or a device"):
        read_result(tmp_path / "whole.json")
