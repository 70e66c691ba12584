"""How good a model is while it learns: the same numbers as an evaluation of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sharpose.codecs.choice import codec_of
from sharpose.data import photos
from sharpose.data.coco import CocoTopDown
from sharpose.data.photos import PhotoSource
from sharpose.evaluation.coco import score
from sharpose.evaluation.points import score_pck
from sharpose.evaluation.validation import validate_on
from sharpose.inference.dataset import predict
from sharpose.models import create_model
from sharpose.runtime.errors import InputError
from tests.evaluation.test_coco import write_people


def test_it_is_an_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    annotations = write_people(tmp_path)
    source = PhotoSource(str(annotations.relative_to(tmp_path)), ".")
    monkeypatch.setenv(photos.VARIABLE, str(tmp_path))
    monkeypatch.setitem(photos.PHOTO_SETS, "photos-val", (source,))
    torch.manual_seed(0)
    model = create_model("vitpose-nano-128x96", depth=1, embed_dim=24, num_heads=2).train()
    validate = validate_on(["photos-val"])
    assert validate is not None and validate_on([]) is None
    figures = validate(model.config, "no")(model)
    people = CocoTopDown(annotations, tmp_path, image_size=(128, 96))
    found = predict(model, people, codec_of(model.config))
    pck, _ = score_pck(found, people)
    assert figures == {"photos-val_ap": score(found, people, resamples=0).metrics.ap, "photos-val_pck": pck.value}
    assert model.training, "it goes on learning"
    monkeypatch.delenv(photos.VARIABLE)
    with pytest.raises(InputError, match=photos.VARIABLE):
        validate(model.config, "no")
