"""Stacked Hourglass: computed from the public names of its weights; sizes, and what it shares with OKDHP."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from sharpose.models import create_model, resolve_config
from sharpose.models.registry import closed_form
from sharpose.models.stacked_hourglass.model import StackedHourglass
from sharpose.weights.importing import import_weights

NAME = "hourglass-nano-128x128-mpii"
TINY = {"features": 16, "depth": 4}
State = dict[str, Tensor]


def public_names(state: State) -> State:
    """Our weights under the names of the authors' code, where every convolution is wrapped in a module."""
    public: State = {}
    for name, value in state.items():
        parts = name.split(".")
        kind, leaf = parts[-2], parts[-1]
        wrapped = "" if kind.startswith("bn") else "conv."
        tail = f"{kind}.{wrapped}{leaf}"
        if parts[0] in ("conv1", "bn1"):
            public[f"pre.0.{'bn.' if parts[0] == 'bn1' else 'conv.'}{leaf}"] = value
            continue
        if "downsample" in parts:
            tail = f"skip_layer.conv.{leaf}"
        if parts[0].startswith("layer"):
            place = {"layer1": "pre.1", "layer2": "pre.3", "layer3": "pre.4"}[parts[0]]
        elif parts[1] == "hg":
            stack, level, where = parts[2], int(parts[4]), int(parts[5])
            inner = ["up1", "low1", "low3", "low2"][where]
            place = f"hgs.{stack}.0." + "low2." * (3 - level) + inner
        elif parts[1] == "res":
            place = f"features.{parts[2]}.0"
        else:
            number = parts[2]
            if parts[1] == "fc":
                place, tail = f"features.{number}.1", f"{'bn.' if parts[3] == '1' else 'conv.'}{leaf}"
            else:
                names = {"score": "outs", "fc_": "merge_features", "score_": "merge_preds"}
                place = f"{names[parts[1]]}.{number}"
                tail = f"conv.{leaf}" if parts[1] == "score" else f"conv.conv.{leaf}"
        public[f"{place}.{tail}"] = value
        # theirs have a shortcut's weights also where nothing goes through it
        if tail == "conv3.conv.weight":
            public.setdefault(f"{place}.skip_layer.conv.weight", torch.ones(1))
    return public


def reference(state: State, images: Tensor, stacks: int) -> list[Tensor]:
    """Heatmaps of every stack as Sections 2 and 3 of the paper have them, from weights under public names."""

    def norm(maps: Tensor, name: str) -> Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(maps, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])

    def conv(maps: Tensor, name: str, **options: int) -> Tensor:
        return F.conv2d(maps, state[f"{name}.conv.weight"], state[f"{name}.conv.bias"], **options)

    def bottleneck(maps: Tensor, name: str) -> Tensor:
        deep = conv(norm(maps, f"{name}.bn1").relu(), f"{name}.conv1")
        deep = conv(norm(deep, f"{name}.bn2").relu(), f"{name}.conv2", padding=1)
        deep = conv(norm(deep, f"{name}.bn3").relu(), f"{name}.conv3")
        return deep + (maps if deep.shape == maps.shape else conv(maps, f"{name}.skip_layer"))

    def hourglass(maps: Tensor, name: str, halvings: int) -> Tensor:
        low = bottleneck(F.max_pool2d(maps, 2), f"{name}.low1")
        inside = f"{name}.low2"
        low = hourglass(low, inside, halvings - 1) if halvings > 1 else bottleneck(low, inside)
        low = bottleneck(low, f"{name}.low3")
        return bottleneck(maps, f"{name}.up1") + low.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    maps = norm(conv(images, "pre.0", stride=2, padding=3), "pre.0.bn").relu()
    maps = F.max_pool2d(bottleneck(maps, "pre.1"), 2)
    maps = bottleneck(bottleneck(maps, "pre.3"), "pre.4")
    found = []
    for stack in range(stacks):
        features = bottleneck(hourglass(maps, f"hgs.{stack}.0", 4), f"features.{stack}.0")
        features = norm(conv(features, f"features.{stack}.1"), f"features.{stack}.1.bn").relu()
        found.append(conv(features, f"outs.{stack}"))
        if stack + 1 < stacks:
            handed_on = conv(features, f"merge_features.{stack}.conv") + conv(found[-1], f"merge_preds.{stack}.conv")
            maps = maps + handed_on
    return found


def test_public_weights_give_what_the_paper_says(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs: StackedHourglass = create_model(NAME, **TINY).eval()
    with torch.no_grad():
        for tensor in theirs.state_dict().values():
            if tensor.is_floating_point() and tensor.ndim == 1:
                tensor.add_(0.5 * torch.rand_like(tensor))
        for layer in theirs.heatmap_layers:
            layer.weight.normal_()
    public, images = public_names(theirs.state_dict()), torch.randn(1, 3, 128, 128)
    torch.save({"state_dict": {f"module.{name}": value for name, value in public.items()}}, tmp_path / "theirs.pth")
    report, _ = import_weights(str(tmp_path / "theirs.pth"), NAME, tmp_path / "o.safetensors", options=TINY)
    assert report.layout == "StackedHourglass, official" and not (report.missing or report.unexpected or report.start)
    ours: StackedHourglass = create_model(NAME, **TINY).eval()
    ours.load_state_dict(load_file(tmp_path / "o.safetensors"))
    with torch.inference_mode():
        output, expected = ours(images), reference(public, images, stacks=2)
    assert torch.equal(output.heatmaps, output.stack_heatmaps[-1]) and len(output.stack_heatmaps) == 2
    for found, wanted in zip(output.stack_heatmaps, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max().item())


def test_eight_stacks_have_a_hundredth_more_parameters_than_hrnets_table_says() -> None:
    """Its multiply-adds cannot be had with the layers of the public code: 19.1 against 27.6."""
    cost, narrow = (closed_form(resolve_config(f"hourglass-8-{size}")) for size in ("256x256", "256x192"))
    assert cost is not None and narrow is not None
    assert cost.params / 1e6 == pytest.approx(25.1, rel=0.015)
    # both tables are of one network: its multiply-adds grow with the pixels
    assert narrow.macs / cost.macs == pytest.approx(14.3 / 19.1, rel=5e-3)


def test_okdhp_is_the_same_behind_its_wider_stem() -> None:
    ours = create_model("hourglass-nano-128x96").stacks.state_dict()
    theirs = create_model("okdhp-hourglass-nano-128x96").shared.state_dict()
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}


def test_everything_learns() -> None:
    torch.manual_seed(0)
    model = create_model("hourglass-nano-128x96")
    output = model(torch.randn(2, 3, 128, 96))
    assert output.heatmaps.shape == (2, 17, 32, 24)
    sum(maps.square().mean() for maps in output.stack_heatmaps).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("options", "field"), [({"features": 255}, "features"), ({"depth": 6}, "image_size"), ({"stacks": 0}, "stacks")]
)
def test_bad_fields_are_named(options: dict[str, int], field: str) -> None:
    with pytest.raises(ValueError, match=rf"^{field} = "):
        resolve_config(NAME, **options)
