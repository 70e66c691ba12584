"""Choices of related methods on the same blocks: whose attention selects, and coordinates in place of heatmaps."""

from __future__ import annotations

import pytest
import torch

from experiments.cells.cells import weights_name
from experiments.spec.catalog import Catalog
from experiments.spec.reading import load_spec
from experiments.spec.spec import FOLDER
from sharpose.codecs.choice import codec_of
from sharpose.codecs.drawn import DrawnCodec
from sharpose.models import create_model, resolve_config
from sharpose.models.layers.tokens import patch_relevance
from sharpose.models.layers.vit import compute_densely
from sharpose.models.regression_vit.model import draw
from sharpose.pose.flip import flip_back
from sharpose.pose.skeleton import COCO

TINY = {"embed_dim": 24, "num_heads": 4, "depth": 4}
OUTSIDE = {"sharpose-nano-128x96-quality", "regression-vit-nano-128x96"}


def test_the_quality_token_selects_by_its_own_attention() -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 3, 128, 96)
    ours = create_model("sharpose-nano-128x96", relevance_rows="quality", alpha=0.25, **TINY).eval()
    usual = create_model("sharpose-nano-128x96", alpha=0.25, **TINY).eval()
    usual.load_state_dict(ours.state_dict())
    # every block is called as a whole then
    compute_densely(ours)
    seen: list[torch.Tensor] = []
    for block in ours.blocks:
        # a sequence of two results, of which the second is the attention of the queries asked for
        block.register_forward_hook(lambda _, given, result: seen.append(result[1]))
    with torch.inference_mode():
        coarse, other = ours.coarse(images), usual.coarse(images)
        attentions = [attention for attention in seen if attention is not None]
        assert [attention.shape for attention in attentions] == [(2, 4, 1, 66)] * 3
        running = torch.zeros_like(attentions[0])
        for attention in attentions:
            running = 0.99 * running + 0.01 * attention
        assert torch.allclose(coarse.relevance, patch_relevance(running)[:, 18:], rtol=1e-4)
        assert torch.allclose(coarse.keypoint_tokens, other.keypoint_tokens, atol=1e-6)
        keep, usual_keep = ours(images).keep_indices, usual(images).keep_indices
    assert keep.shape == (2, 12) and keep.sort().values.tolist() != usual_keep.sort().values.tolist()


@pytest.mark.parametrize("size", [(32, 24), (64, 48)])
def test_drawn_points_are_decoded_where_they_are(size: tuple[int, int]) -> None:
    points = torch.rand(3, 17, 2)
    points[0, 0], points[0, 1] = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.5])
    codec = codec_of(resolve_config("regression-vit-nano-128x96", heatmap_size=size))
    assert isinstance(codec, DrawnCodec)
    for sigma in (1.0, 2.0):
        decoded, scores = codec.decode(draw(points, size, sigma))
        assert (decoded - points * points.new_tensor([size[1] - 1, size[0] - 1])).abs().max() < 1e-3
        assert scores.min() > 0.75
    nothing, zero = codec.decode(torch.zeros(1, 1, *size))
    assert nothing.tolist() == [[[-1, -1]]] and float(zero) == 0
    mirrored = points * points.new_tensor([-1.0, 1.0]) + points.new_tensor([1.0, 0.0])
    swapped = mirrored[:, list(COCO.flip_order)]
    back = flip_back(draw(swapped, size, 2.0), COCO.flip_pairs)
    assert torch.allclose(back, draw(points, size, 2.0), atol=1e-5)


def test_regression_learns_one_picture() -> None:
    torch.manual_seed(0)
    model = create_model("regression-vit-nano-128x96", **{**TINY, "depth": 2})
    images, wanted = torch.randn(1, 3, 128, 96), torch.rand(1, 17, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    errors = []
    for _ in range(50):
        error = (model(images).coordinates - wanted).abs().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    # one point for all keypoints, however well chosen, is this far away
    common = (wanted - wanted.median(dim=1, keepdim=True).values).abs().mean()
    assert errors[-1] < 0.7 * float(common)
    with pytest.raises(ValueError, match=r"^drawn_sigma = "):
        resolve_config("regression-vit-nano-128x96", drawn_sigma=0)


def test_rows_of_related_work_have_weights_of_their_own() -> None:
    loaded = load_spec(FOLDER / "related.yaml")
    spec = loaded.spec
    settings = [loaded.settings(row) for row in spec.rows if "accuracy" in (row.measure or spec.measure)]
    names = {}
    for tier in ("nano", "photos"):
        catalog = Catalog(tier)
        assert catalog.tier.shared is not None
        there = [own for own in settings if own.model not in catalog.tier.without]
        names[tier] = [weights_name(catalog.stand_in("model", own.model), own.options) for own in there]
        unlisted = set(names[tier]) - set(catalog.tier.shared.trainings)
        # of the race on photographs these two are no part
        assert unlisted == (
            {"sharpose-nano-128x96-quality", "regression-vit-nano-128x96"} if tier == "photos" else set()
        )
    assert names["nano"] == [
        "sharpose-nano-128x96",
        "sharpose-nano-128x96-quality",
        "sharpose-nano-128x96",
        "dvt-nano-128x96",
        "keypoint-vit-nano-128x96",
        "regression-vit-nano-128x96",
        "quadtree-nano-128x96",
        "transpose-r-nano-128x96",
        "transpose-h-nano-128x96",
        "hourglass-nano-128x96",
        "prtr-nano-128x96",
        "tfpose-nano-128x96",
    ]
