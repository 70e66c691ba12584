"""What a training starts from: random weights only where they are asked for, encoders of any layout, timm by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from sharpose.models import create_model
from sharpose.runtime.errors import InputError
from sharpose.training.engine import chosen_precision
from sharpose.training.request import TrainingRequest
from sharpose.training.session import train_and_export
from sharpose.weights import timm_names
from sharpose.weights.starting import find_start, read_start, start_from

SMALL = {"embed_dim": 48, "num_heads": 4, "depth": 2, "drop_path": 0.0}


def encoder(path: Path, **more: object) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    vit = timm.create_model(
        "vit_tiny_patch16_224", img_size=96, embed_dim=48, depth=2, num_heads=4, num_classes=0, **more
    )
    save_file(dict(vit.state_dict()), path)
    return vit.state_dict()


def test_a_recipe_with_a_start_runs_from_random_weights_only_when_told(tmp_path: Path) -> None:
    request = {"model": "sharpose-small-256x192", "data": ["none.json"], "out": tmp_path}
    with pytest.raises(InputError, match="starts from ViT-S, pretrained by MAE; name such weights with --init"):
        train_and_export(TrainingRequest(**request))
    # told, it goes on to the data, which is not there
    with pytest.raises(InputError, match=r"none\.json"):
        train_and_export(TrainingRequest(**request, from_scratch=True))


def test_a_precision_is_refused_before_anything_is_made_or_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="precision = 'half' does not work: one of no, bf16, fp16, or auto"):
        train_and_export(TrainingRequest(model="m", data=["none.json"], out=tmp_path, precision="half"))


@pytest.mark.parametrize(("native", "chosen"), [(True, "bf16"), (False, "no")])
def test_auto_is_bf16_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch, native: bool, chosen: str) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert [chosen_precision(asked, "cpu") for asked in ("auto", "no", "fp16")] == [chosen, "no", "fp16"]


@pytest.mark.parametrize("name", ["sharpose-small-256x192", "vitpose-small-256x192", "evit-small-256x192"])
def test_an_encoder_without_labels_starts_every_vit_system(tmp_path: Path, name: str) -> None:
    # layer scale, as DINOv2 has it
    state = encoder(tmp_path / "vit.safetensors", init_values=0.5)
    more = {"reduction_blocks": [1], "keep_rates": None} if name.startswith("evit") else {}
    model = create_model(name, **SMALL, **more)
    report = start_from(model, read_start(tmp_path / "vit.safetensors"))
    blocks = [name for name in dict(model.named_parameters()) if name.startswith("blocks.")]
    assert set(blocks) <= set(report.matched) and not [
        one for one in report.missing if "head" not in one and "predictor" not in one and "reuse" not in one
    ]
    own = dict(model.named_parameters())
    assert torch.allclose(own["blocks.1.mlp.fc2.weight"], 0.5 * state["blocks.1.mlp.fc2.weight"])
    norm = "last_norm.weight" if "last_norm.weight" in own else "norm.weight"
    assert torch.equal(own[norm], state["norm.weight"])


def test_what_the_cache_lacks_comes_from_the_hub_of_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, made = "vit_small_patch16_224.augreg_in21k", tmp_path / "model.safetensors"

    def fetch(repository: str, file: str, revision: str | None) -> str:
        made.write_bytes(f"{file} of {repository}".encode())
        return str(made)

    def offline(repository: str, file: str, revision: str | None) -> str:
        raise OSError("no route to the hub")

    def nothing(**options: object) -> None:
        raise AssertionError("a network was built for its file")

    monkeypatch.setattr(timm_names, "cached_file", lambda name: None)
    monkeypatch.setattr(timm, "create_model", nothing)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    assert find_start(f"timm:{name}").read_text() == f"model.safetensors of timm/{name}"
    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    with pytest.raises(InputError, match=rf"cannot be fetched \(no route to the hub\); give the file of timm:{name}"):
        find_start(f"timm:{name}")
    monkeypatch.setattr(timm_names, "cached_file", lambda name: made)
    assert find_start(f"timm:{name}") == made
    with pytest.raises(InputError, match="timm's hub has no pretrained weights of that name"):
        find_start("timm:no_such_model")
    assert find_start("mine.safetensors") == Path("mine.safetensors")
    # weights of ours by name
    assert find_start("nano/sharpose-nano-128x96").name == "sharpose-nano-128x96.safetensors"
    with pytest.raises(InputError, match="no trained weights are called 'nothing'"):
        find_start("nothing")
