"""Importing public weights: every layout once, and every way a file can be wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file

from experiments.conformance.case import Case, load_case
from experiments.conformance.models import sharpose_config, tokenpose_config, vitpose_config
from sharpose.models import create_model
from sharpose.models.hrformer.config import HRFormerConfig
from sharpose.models.hrnet.config import HRNetConfig
from sharpose.runtime.errors import InputError
from sharpose.weights.files import load_weights
from sharpose.weights.importing import from_layout, import_weights

State = dict[str, torch.Tensor]
TINY = {"embed_dim": 48, "num_heads": 4, "depth": 2, "patch_size": 16}


def options_of(case: Case) -> tuple[str, dict[str, Any]]:
    if case.system == "sharpose" or "sharpose" in case.folder.name:
        return "sharpose-small-256x192", asdict(sharpose_config(case, case.config["variants"][0]))
    if "vitpose" in case.folder.name:
        return "vitpose-small-256x192", asdict(vitpose_config(case))
    if "tokenpose" in case.folder.name:
        return "tokenpose-t-256x192", asdict(tokenpose_config(case))
    if "hrformer" in case.folder.name:
        return "hrformer-small-256x192", asdict(case.configuration(HRFormerConfig))
    if "simplebaseline" in case.folder.name:
        fields = ("image_size", "heatmap_size", "resnet_depth", "stem_channels", "base_channels", "deconv_filters")
        return "simple-baseline-r50-256x192", {name: case.config[name] for name in fields}
    return "hrnet-w32-256x192", asdict(case.configuration(HRNetConfig))


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("sharpose_single_head", "out.v0.final_heatmaps"),
        ("sharpose_two_layer_head", "out.v0.final_heatmaps"),
        ("vitpose_classic", "out.heatmaps"),
        ("vitpose_simple", "out.heatmaps"),
        ("simplebaseline_resnet50", "out.heatmaps"),
        ("hrnet", "out.heatmaps"),
        ("hrformer", "out.heatmaps"),
        ("tokenpose_t", "out.heatmaps"),
        ("tokenpose_l", "out.heatmaps"),
    ],
)
@pytest.mark.parametrize("pickled", [False, True])
def test_reference_weights_give_the_reference_heatmaps(
    shared: Path, tmp_path: Path, name: str, output: str, pickled: bool
) -> None:
    case = load_case(shared / "golden" / name)
    model_name, options = options_of(case)
    source = case.folder / "weights.safetensors"
    if pickled:
        source = tmp_path / "checkpoint.pth"
        torch.save({"meta": {"epoch": 1}, "state_dict": {f"module.{k}": v for k, v in case.weights.items()}}, source)
    out = tmp_path / "ours.safetensors"
    report, _ = import_weights(str(source), model_name, out, options=options)
    assert not (report.missing or report.unexpected or report.resized or report.start)
    model = create_model(model_name, **options).eval()
    load_weights(model, out)
    with torch.inference_mode():
        ours, expected = model(case.inputs("image")).heatmaps, case.tensor(output)
    assert (ours - expected).abs().max() <= 1e-4 * expected.abs().max()
    manifest = json.loads(out.with_suffix(".json").read_text())
    assert manifest["kind"] == "complete" and len(manifest["imported_from"]["sha256"]) == 64


def as_original(state: State) -> State:
    """Names of HRNet's and SimpleBaseline's own repositories."""
    return {name.removeprefix("backbone.").removeprefix("keypoint_head."): value for name, value in state.items()}


def as_mmpose_1(state: State) -> State:
    return {name.replace("keypoint_head.", "head."): value for name, value in state.items()}


def as_hrformer_port(state: State) -> State:
    """Names of mmpose's HRFormer, whose query, key and value are one layer."""
    ported = {}
    for name, value in state.items():
        if ".q_proj." in name:
            parts = [state[name.replace(".q_proj.", f".{part}_proj.")] for part in "qkv"]
            ported[name.replace(".q_proj.", ".qkv.")] = torch.cat(parts)
        elif ".k_proj." not in name and ".v_proj." not in name:
            ported[name.replace(".out_proj.", ".proj.").replace(".mlp.", ".ffn.")] = value
    return ported


@pytest.mark.parametrize(
    ("name", "relabel", "layout"),
    [
        ("hrnet", as_original, "original"),
        ("simplebaseline_resnet50", as_original, "original"),
        ("hrnet", as_mmpose_1, "mmpose"),
        ("hrformer", as_hrformer_port, "mmpose"),
    ],
)
def test_other_names_of_the_same_weights_give_the_same_heatmaps(
    shared: Path, tmp_path: Path, name: str, relabel: Callable[[State], State], layout: str
) -> None:
    case = load_case(shared / "golden" / name)
    model_name, options = options_of(case)
    torch.save(relabel(dict(case.weights)), tmp_path / "theirs.pth")
    report, _ = import_weights(str(tmp_path / "theirs.pth"), model_name, tmp_path / "o.safetensors", options=options)
    assert report.layout.endswith(layout) and not (
        report.missing or report.unexpected or report.resized or report.start
    )
    model = create_model(model_name, **options).eval()
    load_weights(model, tmp_path / "o.safetensors")
    with torch.inference_mode():
        ours, expected = model(case.inputs("image")).heatmaps, case.tensor("out.heatmaps")
    assert (ours - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize(
    ("name", "model_name", "extra"),
    [
        ("dynamicvit", "dynamicvit-base-256x192", {"reduction_blocks": (1, 2, 3)}),
        ("evit_fuse", "evit-base-256x192", {"reduction_blocks": (1, 3, 4), "keep_rates": (0.7, 0.7, 0.7)}),
    ],
)
def test_reducing_classifiers_start_our_pose_models(
    shared: Path, tmp_path: Path, name: str, model_name: str, extra: dict[str, Any]
) -> None:
    """Their weights are DeiT's, with DynamicViT's predictors beside them; `conformance` checks what they compute."""
    case = load_case(shared / "golden" / name)
    options = {key: case.config[key] for key in ("patch_size", "embed_dim", "depth", "num_heads")} | extra
    out = tmp_path / "start.safetensors"
    report, facts = import_weights(str(case.folder / "weights.safetensors"), model_name, out, options=options)
    taken, theirs = load_file(out), case.weights
    assert report.start and facts["kind"] == "start" and report.resized == ["pos_embed"]
    assert {"cls_token", "head.weight", "head.bias"} == set(report.left_out)
    for key in theirs.keys() - {*report.left_out, "pos_embed"}:
        assert torch.equal(taken[key.replace("score_predictor.", "predictors.")], theirs[key]), key
    assert any(key.startswith("predictors.") for key in taken) == (name == "dynamicvit")


@pytest.mark.parametrize(
    ("theirs", "system", "layout", "model_name"),
    [
        (lambda: timm.create_model("hrnet_w48"), "HRNet", "timm", "hrnet-w48-256x192"),
        (lambda: torchvision.models.resnet152(), "SimpleBaseline", "torchvision", "simple-baseline-r152-256x192"),
    ],
)
def test_classifiers_have_every_name_and_shape_of_our_trunks(
    theirs: Callable[[], torch.nn.Module], system: str, layout: str, model_name: str
) -> None:
    with torch.device("meta"):
        public, ours = from_layout(theirs().state_dict(), system, layout), create_model(model_name).state_dict()
    trunk = {name: value.shape for name, value in ours.items() if name.startswith("backbone.")}
    assert {name: value.shape for name, value in public.items()} == trunk


def save_vit(path: Path, **more: Any) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    vit = timm.create_model(
        "vit_tiny_patch16_224", img_size=96, embed_dim=48, depth=2, num_heads=4, num_classes=5, **more
    )
    torch.save({"model": vit.state_dict()}, path)
    return vit.state_dict()


def test_an_encoder_starts_sharpose_in_both_grids(tmp_path: Path) -> None:
    state = save_vit(tmp_path / "vit.pth")
    out = tmp_path / "start.safetensors"
    report, _ = import_weights(str(tmp_path / "vit.pth"), "sharpose-small-256x192", out, options=TINY)
    tensors = load_file(out)
    assert (
        report.start and report.resized == ["coarse_pos_embed", "fine_pos_embed"] and "head.weight" in report.left_out
    )
    assert tensors["coarse_pos_embed"].shape == (1, 48, 48) and tensors["fine_pos_embed"].shape == (1, 192, 48)
    assert torch.equal(tensors["blocks.1.mlp.fc2.weight"], state["blocks.1.mlp.fc2.weight"])
    # a smooth table keeps its mean when it is resampled
    torch.testing.assert_close(tensors["fine_pos_embed"].mean(1), state["pos_embed"][:, 1:].mean(1), atol=2e-3, rtol=0)
    # learned tokens begin around the class token at its place, each a little elsewhere
    token = state["cls_token"] + state["pos_embed"][:, :1]
    around = torch.cat([tensors["quality_token"], tensors["keypoint_tokens"]], dim=1) - token
    assert 0 < around.abs().max() < 0.1 and around.std(dim=1).min() > 0


def test_patch_kernels_are_resampled(tmp_path: Path) -> None:
    save_vit(tmp_path / "vit.pth")
    options = {**TINY, "patch_size": 8}
    out = tmp_path / "s.safetensors"
    report, _ = import_weights(str(tmp_path / "vit.pth"), "sharpose-nano-128x96", out, options=options)
    assert "patch_embed.proj.weight" in report.resized
    assert load_file(out)["patch_embed.proj.weight"].shape == (48, 3, 8, 8)


def test_an_encoder_starts_vitpose_with_its_class_row(tmp_path: Path) -> None:
    state = save_vit(tmp_path / "vit.pth")
    out = tmp_path / "v.safetensors"
    import_weights(str(tmp_path / "vit.pth"), "vitpose-small-256x192", out, options=TINY)
    tensors = load_file(out)
    assert torch.equal(tensors["pos_embed"][:, 0], state["pos_embed"][:, 0])
    assert torch.equal(tensors["last_norm.weight"], state["norm.weight"])


def test_layer_scale_is_folded_into_the_layer_before(tmp_path: Path) -> None:
    state = save_vit(tmp_path / "vit.pth", init_values=0.3)
    out = tmp_path / "k.safetensors"
    import_weights(str(tmp_path / "vit.pth"), "keypoint-vit-small-256x192", out, options=TINY)
    torch.testing.assert_close(
        load_file(out)["blocks.0.attn.proj.weight"], 0.3 * state["blocks.0.attn.proj.weight"], atol=1e-7, rtol=1e-6
    )


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ["EVIL_TARGET"],)


def test_pickled_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVIL_TARGET", str(tmp_path / "ran"))
    torch.save({"state_dict": {"a": torch.ones(1)}, "hook": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match=r"evil\.pth.*not executed.*mkdir"):
        import_weights(str(tmp_path / "evil.pth"), "sharpose-nano-128x96", tmp_path / "o.safetensors")
    assert not (tmp_path / "ran").exists() and not (tmp_path / "o.safetensors").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_truncated_files_and_the_size_cap(tmp_path: Path, suffix: str) -> None:
    path, state = tmp_path / f"cut{suffix}", {"a": torch.ones(1000)}
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    with pytest.raises(InputError, match="cap"):
        import_weights(str(path), "sharpose-nano-128x96", tmp_path / "o.safetensors", max_bytes=100)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match=rf"cut\{suffix}.*damaged"):
        import_weights(str(path), "sharpose-nano-128x96", tmp_path / "o.safetensors")


def test_a_view_that_unfolds_beyond_the_cap_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1).expand(10**6)}, tmp_path / "bomb.pth")
    with pytest.raises(InputError, match="unfold"):
        import_weights(str(tmp_path / "bomb.pth"), "sharpose-nano-128x96", tmp_path / "o.safetensors", max_bytes=10**5)


def test_a_wrong_model_is_named_and_surprises_can_be_allowed_by_name(shared: Path, tmp_path: Path) -> None:
    case = load_case(shared / "golden" / "sharpose_single_head")
    source, out = str(case.folder / "weights.safetensors"), tmp_path / "o.safetensors"
    with pytest.raises(InputError, match="not weights of ViTPose"):
        import_weights(str(shared / "golden" / "hrnet" / "weights.safetensors"), "vitpose-nano-128x96", out)
    name, options = options_of(case)
    wider = {**options, "embed_dim": 2 * options["embed_dim"]}
    with pytest.raises(InputError, match=r"in the file, .* in the model"):
        import_weights(source, name, out, options=wider)
    extra = tmp_path / "extra.safetensors"
    save_file({**case.weights, "odd": torch.ones(1)}, extra)
    with pytest.raises(InputError, match="1 unexpected: odd"):
        import_weights(str(extra), name, out, options=options)
    report, _ = import_weights(str(extra), name, out, options=options, allow=["od?"])
    assert report.allowed == ["odd"] and "odd" not in load_file(out)


def test_timm_names_never_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sharpose.weights.timm_names.cached_file", lambda name: None)
    out = tmp_path / "o.safetensors"
    with pytest.raises(InputError, match=r"not on this machine.*random-weights"):
        import_weights("timm:vit_tiny_patch16_224", "sharpose-small-256x192", out)
    with pytest.raises(InputError, match="no such model"):
        import_weights("timm:vit_tinny", "sharpose-small-256x192", out)
    options = {"embed_dim": 192, "num_heads": 3}
    report, facts = import_weights(
        "timm:vit_tiny_patch16_224", "sharpose-small-256x192", out, options=options, allow=["random-weights"]
    )
    assert facts["imported_from"]["sha256"] is None and len(report.resized) == 2
