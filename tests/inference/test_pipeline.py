"""The one way from crops to keypoints: against its steps written out, and in the crop's own pixels."""

from __future__ import annotations

import pytest
import torch

from sharpose.codecs.choice import codec_of
from sharpose.inference.pipeline import crop_frame, look, mean_heatmaps, place
from sharpose.models import create_model
from sharpose.pose.flip import flip_back
from sharpose.pose.normalise import normalise
from sharpose.pose.skeleton import COCO


@pytest.mark.parametrize("flip", [False, True])
def test_it_is_its_steps_in_a_row(flip: bool) -> None:
    torch.manual_seed(0)
    model = create_model("vitpose-nano-128x96", depth=1, embed_dim=24, num_heads=2).eval()
    codec = codec_of(model.config)
    crops = torch.randint(0, 255, (3, 3, 128, 96), dtype=torch.uint8)
    center, scale = torch.tensor([[50.0, 60.0]] * 3), torch.tensor([[90.0, 120.0]] * 3)
    with torch.inference_mode():
        views = look(model, crops, flip_test=flip)
        found = place(mean_heatmaps(views, codec, COCO.flip_pairs), center, scale, codec)
        maps = model(normalise(crops)).heatmaps
        if flip:
            maps = (maps + flip_back(model(normalise(crops).flip(-1)).heatmaps, COCO.flip_pairs)) / 2
        points, scores = codec.decode(maps)
    assert torch.equal(found[1], scores)
    assert torch.equal(found[0], codec.to_image(points, center, scale))
    assert views[0].features.shape[0] == 3


def test_the_crops_own_frame_gives_the_crops_own_pixels() -> None:
    codec = codec_of(create_model("vitpose-nano-128x96", depth=1, embed_dim=24, num_heads=2).config)
    wanted = torch.tensor([[[20.0, 100.0], [70.5, 31.25]]])
    heatmaps, _ = codec.encode(wanted, torch.ones(1, 2))
    points, _ = place(heatmaps, *crop_frame((128, 96)), codec)
    assert torch.allclose(points, wanted, atol=0.05)
