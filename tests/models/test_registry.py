"""Everything that a system declares can be found and fits, for every registered model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import sharpose
from experiments.conformance.run import CHECKERS, checker
from sharpose.codecs.choice import codec_of
from sharpose.models import create_model, list_models, resolve_config
from sharpose.models.config import PoseConfig
from sharpose.models.output import PoseModel
from sharpose.models.registry import (
    SYSTEMS,
    closed_form,
    describe,
    find,
    load_plugins,
    restore,
    system_of,
    tokens_per_block,
)
from sharpose.models.system import System, load
from sharpose.pose.skeleton import wanted_layout
from sharpose.runtime.errors import InputError
from sharpose.training.criterion import criterion_for
from sharpose.training.recipe import load_recipe, own_recipe
from sharpose.weights.importing import import_weights, layouts_of

# no public code, or none that was run to make a case
WITHOUT_CASES = {"KeypointViT", "RegressionViT", "Okdhp", "StackedHourglass"}
WITHOUT_CASES |= {"TransPose", "PRTR", "TFPose", "QuadTree", "DVT"}


@pytest.mark.parametrize("name", list_models())
def test_what_a_model_declares_is_there(name: str) -> None:
    config, system = resolve_config(name), find(name)
    assert system_of(config) is system and restore(describe(config)) == config
    assert describe(config)["system"] == system.name == type(config).__name__.removesuffix("Config")
    cost = closed_form(config)
    assert cost is not None and cost.params > 0 and cost.macs > 0
    assert set(cost.parts) == ({"coarse", "fine", "head"} if system.name in ("SHaRPose", "DVT") else set())
    tokens = tokens_per_block(config)
    assert tokens is None or (min(tokens) > config.num_keypoints and len(tokens) >= config.depth)
    recipe = load_recipe(own_recipe(name))
    assert recipe.epochs > 0
    with torch.device("meta"):
        model = create_model(name)
    assert isinstance(model, PoseModel) and type(model) is load(find(name).model) and model.config == config
    assert sum(parameter.numel() for parameter in model.parameters()) == cost.params
    codec = codec_of(config)
    assert tuple(codec.heatmap_size) == tuple(config.heatmap_size)
    sigmas = wanted_layout(config.num_keypoints).sigmas
    criterion = criterion_for(model, codec, sigmas, recipe.model_copy(update={"teacher": None}))
    assert criterion.model is model


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_what_a_system_declares_is_there(system: System) -> None:
    assert bool(system.cases) != (system.name in WITHOUT_CASES)
    assert all(callable(checker(case)) for case in system.cases) and not set(system.cases) & set(CHECKERS)
    layouts = layouts_of(system)
    assert len({layout.name for layout in layouts}) == len(layouts)
    if layouts == ():
        assert system.encoder is not None, "no public weights can be imported"
    name = next(name for name in system.sizes if "nano" in name)
    model = create_model(name)
    learned = {name for name, _ in model.named_parameters()}
    if system.encoder is not None:
        assert set(system.encoder.positions) <= learned and f"{system.encoder.norm}.weight" in learned


def test_okdhps_public_weights_can_be_imported(tmp_path: Path) -> None:
    """Theirs have no `shared.` in front of the stacks; heatmaps are those of the model they came from."""
    torch.manual_seed(0)
    name, images = "okdhp-hourglass-nano-128x96", torch.randn(1, 3, 128, 96)
    theirs = create_model(name).eval()
    public = {f"module.{key.removeprefix('shared.')}": value for key, value in theirs.state_dict().items()}
    assert any(not key.startswith("module.shared.") and "hg." in key for key in public)
    torch.save({"state_dict": public}, tmp_path / "okdhp.pth")
    report, _ = import_weights(str(tmp_path / "okdhp.pth"), name, tmp_path / "ours.safetensors")
    assert report.layout == "Okdhp, official" and not (report.missing or report.unexpected or report.start)
    ours = create_model(name).eval()
    ours.load_state_dict(load_file(tmp_path / "ours.safetensors"))
    with torch.inference_mode():
        assert torch.equal(ours(images).heatmaps, theirs(images).heatmaps)


@dataclass(frozen=True, kw_only=True)
class OwnConfig(PoseConfig):
    """Of no system yet."""

    width: int = 16


def test_what_is_registered_twice_or_badly_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sharpose.models.registry.SYSTEMS", dict(SYSTEMS))
    sizes = {"own-128x96": {"image_size": (128, 96), "heatmap_size": (32, 24)}}
    with pytest.raises(InputError, match="no system with this configuration"):
        system_of(OwnConfig(image_size=(128, 96), heatmap_size=(32, 24)))
    own = sharpose.register(System("Own", OwnConfig, "own:Own", sizes))
    assert find("own-128x96") is own and "own-128x96" in list_models()
    assert closed_form(resolve_config("own-128x96")) is None and tokens_per_block(resolve_config("own-128x96")) is None
    with pytest.raises(InputError, match=r"^width = 'wide' does not work: it must be a valid integer"):
        resolve_config("own-128x96", width="wide")
    sharpose.register(System("Own", OwnConfig, "own:Own", sizes))
    with pytest.raises(InputError, match="HRNet: there is a system of that name"):
        sharpose.register(System("HRNet", OwnConfig, "own:Own", sizes))
    with pytest.raises(InputError, match="its configuration class is that of Own"):
        sharpose.register(System("Other", OwnConfig, "own:Own", {}))
    with pytest.raises(InputError, match="hrnet-w32-256x192 is a model of HRNet"):
        sharpose.register(System("Other", PoseConfig, "own:Own", {"hrnet-w32-256x192": {}}))
    with pytest.raises(InputError, match=r"plug-in nowhere\.module: cannot be imported"):
        load_plugins(["nowhere.module"])
    with pytest.raises(InputError, match=r"nowhere\.py: no such file"):
        load_plugins(["nowhere.py"], tmp_path)
    (tmp_path / "json.py").touch()
    with pytest.raises(InputError, match=r"json\.py: a module json is there already .*rename"):
        load_plugins(["json.py"], tmp_path)
    (tmp_path / "broken_plugin.py").write_text("1 / 0\n")
    with pytest.raises(InputError, match=r"broken_plugin\.py: cannot be imported \(division by zero"):
        load_plugins(["broken_plugin.py"], tmp_path)


def test_the_quarter_from_which_relevance_counts() -> None:
    """Depths whose quarter is no third; the paper's blocks all count."""
    firsts = [resolve_config("sharpose-nano-128x96", depth=depth).first_relevance_block for depth in (3, 4, 7, 12)]
    assert firsts == [0, 1, 1, 3]
    assert resolve_config("sharpose-nano-128x96", semantics="paper").first_relevance_block == 0
