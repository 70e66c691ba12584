"""PRTR and TFPose: published sizes, torch's own layers, deformable attention, assignment, and what both learn."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from sharpose.codecs.choice import codec_of
from sharpose.models import create_model, resolve_config
from sharpose.models.layers.deformable import DeformableAttention
from sharpose.models.layers.tokens import gather_tokens
from sharpose.models.prtr.matching import assign, matching_costs
from sharpose.models.registry import closed_form
from sharpose.models.tfpose.model import centres, correct
from sharpose.pose.skeleton import COCO
from sharpose.training.criterion import criterion_for
from sharpose.training.queries import set_losses
from sharpose.training.recipe import load_recipe, own_recipe
from sharpose.training.step_plan import StepPlan
from sharpose.weights.importing import from_layout, import_weights

PRTR, TFPOSE = "prtr-nano-128x96", "tfpose-nano-128x96"
TINY = {"embed_dim": 32, "hidden_dim": 48, "num_heads": 4, "resnet_channels": 8, "stem_channels": 8}
# PRTR's Table 2 and TFPose's tables: millions of parameters, GFLOPs
PUBLISHED = {
    "prtr-r50-384x288": (41.5, 11.0),
    "prtr-r50-512x384": (41.5, 18.8),
    "prtr-w32-384x288": (57.2, 21.6),
    "prtr-w32-512x384": (57.2, 37.8),
    "tfpose-r50-256x192": (None, 9.15),
    "tfpose-r50-384x288": (None, 20.4),
}


@pytest.mark.parametrize(("name", "published"), PUBLISHED.items())
def test_sizes_are_the_published_ones(name: str, published: tuple[float | None, float]) -> None:
    cost = closed_form(resolve_config(name))
    assert cost is not None
    millions, gflops = published
    assert millions is None or cost.params / 1e6 == pytest.approx(millions, rel=0.01)
    assert cost.macs / 1e9 == pytest.approx(gflops, rel=0.01)
    assert cost.fvcore / 1e9 == pytest.approx(gflops, rel=0.015)


@pytest.mark.parametrize("levels", [2, 4])
def test_no_other_number_of_maps_fits_tfposes_gflops(levels: int) -> None:
    cost = closed_form(resolve_config("tfpose-r50-384x288", levels=levels))
    assert cost is not None and abs(cost.macs / 20.4e9 - 1) > 0.4


def public_prtr(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our PRTR weights as the public code has them."""
    public = {}
    for name, value in state.items():
        if name == "pos_embed":
            continue
        name = name.replace("cross_attn", "multihead_attn").replace("_attn.qkv.", "_attn.in_proj_")
        name = name.replace("_attn.proj.", "_attn.out_proj.").replace("class_head", "class_embed")
        for number, ours in enumerate(("head.0.", "head.2.", "head.4.")):
            name = name.replace(ours, f"kpt_embed.layers.{number}.") if name.startswith(ours) else name
        for part in ("encoder", "decoder"):
            name = f"transformer.{part}.layers.{name.removeprefix(f'{part}.')}" if name.startswith(part) else name
        name = f"transformer.decoder.{name}" if name.startswith("norm.") else name
        if name == "queries":
            name, value = "query_embed.weight", value[0]
        public[name.replace("backbone.", "backbone.0.body.", 1) if name.startswith("backbone.") else name] = value
    return public


@pytest.mark.parametrize("options", [{}, {"widths": (8, 16, 32, 64), "modules": (1, 1, 1), "blocks_per_branch": 1}])
def test_public_names_give_the_same_points(options: dict[str, object], tmp_path: Path) -> None:
    torch.manual_seed(0)
    given = {**TINY, "merge_planes": 4, "merged_channels": 32, **options}
    theirs, images = create_model(PRTR, **given).eval(), torch.randn(1, 3, 128, 96)
    public = public_prtr(theirs.state_dict())
    assert "transformer.decoder.layers.0.multihead_attn.in_proj_weight" in public
    torch.save({"state_dict": public}, tmp_path / "theirs.pth")
    # the table of positions is computed there, not stored
    report, _ = import_weights(
        str(tmp_path / "theirs.pth"), PRTR, tmp_path / "o.safetensors", options=given, allow=["pos_embed"]
    )
    assert report.layout == "PRTR, official" and not (report.unexpected or report.start)
    ours = create_model(PRTR, **given).eval()
    ours.load_state_dict(load_file(tmp_path / "o.safetensors"))
    with torch.inference_mode():
        assert torch.equal(ours(images).coordinates, theirs(images).coordinates)


@pytest.mark.parametrize(
    ("theirs", "layout", "name"),
    [
        (lambda: timm.create_model("hrnet_w32"), "timm", "prtr-w32-384x288"),
        (lambda: torchvision.models.resnet50(), "torchvision", "prtr-r50-384x288"),
    ],
)
def test_classifiers_have_every_name_and_shape_of_the_backbones(theirs, layout: str, name: str) -> None:
    with torch.device("meta"):
        public, ours = from_layout(theirs().state_dict(), "PRTR", layout), create_model(name).state_dict()
    wanted = {key: value.shape for key, value in ours.items() if key.startswith("backbone.")}
    assert {key: value.shape for key, value in public.items()} == wanted


def test_the_merged_trunk_is_timms() -> None:
    torch.manual_seed(0)
    theirs = timm.create_model("hrnet_w18_small", pretrained=False, num_classes=0, global_pool="").eval()
    ours = create_model(
        PRTR,
        widths=(16, 32, 64, 128),
        modules=(1, 1, 1),
        blocks_per_branch=2,
        stage1_blocks=1,
        stage1_planes=32,
        stem_channels=64,
        image_size=(64, 96),
        heatmap_size=(16, 24),
    ).eval()
    state = from_layout(theirs.state_dict(), "PRTR", "timm")
    missing, unexpected = ours.load_state_dict(state, strict=False)
    assert not unexpected and not [name for name in missing if name.startswith("backbone.")]
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        expected = theirs(images)
        torch.testing.assert_close(ours.backbone(images), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_a_decoder_layer_is_torchs_with_positions_on_queries_and_keys() -> None:
    torch.manual_seed(0)
    layer = create_model(PRTR, **TINY).eval().decoder[0]
    tokens, places = torch.randn(2, 5, 32), torch.randn(5, 32)
    memory, positions = torch.randn(2, 7, 32), torch.randn(1, 7, 32)

    def torchs(ours: nn.Module, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        theirs = nn.MultiheadAttention(32, 4, batch_first=True).eval()
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.load_state_dict(ours.proj.state_dict())
        return theirs(queries, keys, values)[0]

    with torch.no_grad():
        placed = tokens + places
        x = layer.norm1(tokens + torchs(layer.self_attn, placed, placed, tokens))
        x = layer.norm2(x + torchs(layer.cross_attn, x + places, memory + positions, memory))
        x = layer.norm3(x + layer.linear2(layer.linear1(x).relu()))
        torch.testing.assert_close(layer(tokens, places[None], memory, positions), x, atol=1e-5, rtol=1e-4)
        # the order of the memory, and of queries with their places, does not matter
        order, turn = torch.randperm(7), torch.randperm(5)
        mixed = layer(tokens[:, turn], places[None, turn], memory[:, order], positions[:, order])
        torch.testing.assert_close(mixed, x[:, turn], atol=1e-5, rtol=1e-4)


def test_assignment_costs_least_and_repeats_no_query() -> None:
    costs = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(0))
    found = assign(costs)
    for own, queries in zip(costs, found, strict=True):
        orders = itertools.permutations(range(5), 3)
        least = min(orders, key=lambda order: sum(float(own[k, q]) for k, q in enumerate(order)))
        assert tuple(queries.tolist()) == least
    logits, points, wanted = torch.zeros(1, 2, 3), torch.tensor([[[0.0, 0.0], [1.0, 1.0]]]), torch.ones(1, 2, 2)
    expected = torch.tensor([[[10.0, 0.0], [10.0, 0.0]]]) - 1 / 3
    torch.testing.assert_close(matching_costs(logits, points, wanted, 5.0), expected)


def test_reading_out_gives_each_query_once_unless_the_best_is_wanted() -> None:
    torch.manual_seed(0)
    model = create_model(PRTR, **TINY).eval()
    best = create_model(PRTR, readout="best", **TINY).eval()
    best.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, 128, 96)
    with torch.inference_mode():
        output, greedy = model(images), best(images)
    chances = output.query_logits[-1].softmax(dim=2)[..., :-1].transpose(1, 2)
    queries = assign(-chances)
    assert all(len(set(own.tolist())) == 17 for own in queries)
    assert torch.equal(output.coordinates, gather_tokens(output.query_points[-1], queries))
    assert torch.equal(greedy.coordinates, gather_tokens(output.query_points[-1], chances.argmax(dim=2)))
    points, scores = codec_of(model.config).decode(output.heatmaps)
    torch.testing.assert_close(points, output.coordinates * points.new_tensor([23, 31]), atol=2e-3, rtol=0)
    assert (scores <= chances.gather(2, queries[..., None])[..., 0] + 1e-6).all()


def test_sets_learn_from_labelled_keypoints_alone() -> None:
    wanted = torch.tensor([[[0.2, 0.2], [0.8, 0.8]]])
    logits = torch.tensor([[[0.0, 9, 0], [9, 0, 0], [0, 0, 9]]])
    points = torch.tensor([[[0.8, 0.8], [0.2, 0.3], [0.5, 0.5]]])
    losses = set_losses(logits, points, wanted, torch.ones(1, 2))
    assert float(losses["points"]) == pytest.approx(5 * 0.1 / 2, abs=1e-6) and float(losses["classes"]) < 1e-3
    # the second keypoint is not labelled: nothing is learnt of its place, and its query learns to be none
    half = set_losses(logits, points, wanted, torch.tensor([[1.0, 0.0]]))
    assert float(half["points"]) == pytest.approx(5 * 0.1 / 2, abs=1e-6) and float(half["classes"]) > 0.5


def test_deformable_attention_reads_where_it_looks() -> None:
    torch.manual_seed(0)
    layer = DeformableAttention(8, 2, levels=2, points=1).eval()
    sizes = [(4, 6), (2, 3)]
    memory = torch.randn(1, 30, 8)
    with torch.no_grad():
        layer.offsets.bias.zero_()
        nn.init.normal_(layer.value.weight)
        places = centres(sizes, memory)[:, 24:]
        values = layer.value(memory)
        fine = F.avg_pool2d(values[:, :24].transpose(1, 2).unflatten(2, (4, 6)), 2).flatten(2).transpose(1, 2)
        # the centre of a coarse cell is the corner of four fine ones; both maps count by half
        expected = layer.proj((fine + values[:, 24:]) / 2)
        torch.testing.assert_close(layer(torch.randn(1, 6, 8), places, memory, sizes), expected, atol=1e-5, rtol=1e-4)
        # far outside of every map there is nothing
        outside = layer(torch.randn(1, 6, 8), places + 5, memory, sizes)
        torch.testing.assert_close(outside, layer.proj.bias.expand(1, 6, 8), atol=1e-5, rtol=1e-4)


def test_layers_correct_the_points_of_the_layer_before() -> None:
    torch.manual_seed(0)
    model = create_model(TFPOSE, **TINY).eval()
    points = torch.rand(1, 17, 2)
    torch.testing.assert_close(correct(points, torch.zeros(1, 17, 2)), points, atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        corner = model.from_edges(torch.tensor([[[0.0, 1.0]]]))
        torch.testing.assert_close(corner, torch.tensor([[[0.5 / 96, 127.5 / 128]]]))
        for head in model.heads:
            nn.init.zeros_(head[-1].weight)
            nn.init.zeros_(head[-1].bias)
        output = model(torch.randn(2, 3, 128, 96))
    first = model.start(model.keypoint_queries).sigmoid().expand(2, -1, -1)
    assert output.layer_coordinates.shape == (3, 2, 17, 2)
    torch.testing.assert_close(output.layer_coordinates, first.expand(3, -1, -1, -1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("name", "names"), [(PRTR, {"classes", "points"}), (TFPOSE, {"coordinates"})])
def test_two_steps_teach_every_parameter(name: str, names: set[str]) -> None:
    torch.manual_seed(0)
    model = create_model(name, **TINY).train()
    before = {key: value.clone() for key, value in model.named_parameters()}
    criterion = criterion_for(model, codec_of(model.config), COCO.sigmas, load_recipe(own_recipe(name)))
    step = {
        "image": torch.randint(0, 256, (2, 3, 128, 96), dtype=torch.uint8),
        "keypoints": 90 * torch.rand(2, 17, 2),
        "visible": torch.ones(2, 17),
    }
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        losses = criterion(step, StepPlan(alpha=None, coarse_only=False, quality_weight=0.0))
        assert losses.keys() == names
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    unmoved = {key for key, value in model.named_parameters() if torch.equal(value, before[key])}
    # where a keypoint's first place is has no gradient but by the first layer's correction
    assert unmoved == {"pos_embed"}


@pytest.mark.parametrize(
    ("name", "options", "field"),
    [
        (PRTR, {"num_queries": 16}, "num_queries"),
        (PRTR, {"readout": "random"}, "readout"),
        (PRTR, {"image_size": (128, 100), "heatmap_size": (32, 25)}, "image_size"),
        (PRTR, {"widths": (8, 16)}, "widths"),
        (TFPOSE, {"embed_dim": 48}, "embed_dim"),
        (TFPOSE, {"levels": 5}, "levels"),
        (TFPOSE, {"drawn_sigma": 0}, "drawn_sigma"),
    ],
)
def test_bad_fields_are_named(name: str, options: dict[str, object], field: str) -> None:
    with pytest.raises(ValueError, match=rf"^{field} = "):
        resolve_config(name, **options)
