"""The parts of the vision transformer that every system shares: what timm has of the same name, slow to import."""

from __future__ import annotations

import pytest
import torch
from timm.layers import DropPath as TimmDropPath
from timm.layers import Mlp as TimmMlp
from timm.layers import gen_relative_position_index

from sharpose.models.hrformer.model import relative_positions
from sharpose.models.layers.vit import DropPath, Mlp


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_dropped_paths_are_timms_for_the_same_seed(rate: float) -> None:
    branch = torch.randn(64, 5, 8)
    found = []
    for one in (DropPath(rate).train(), TimmDropPath(rate).train()):
        torch.manual_seed(3)
        found.append(one(branch))
    torch.testing.assert_close(*found)
    dropped = (found[0] == 0).flatten(1).all(dim=1)
    assert dropped.float().mean() == pytest.approx(rate, abs=0.15)
    assert DropPath(rate).eval()(branch) is branch


def test_an_mlp_has_timms_names_and_values() -> None:
    torch.manual_seed(0)
    ours, timms = Mlp(8, 32, 12), TimmMlp(8, 32, 12)
    timms.load_state_dict(ours.state_dict())
    tokens = torch.randn(2, 5, 8)
    torch.testing.assert_close(ours(tokens), timms(tokens))
    assert ours(tokens).shape == (2, 5, 12) and Mlp(8, 32)(tokens).shape == tokens.shape


@pytest.mark.parametrize("size", [1, 3, 7])
def test_relative_positions_are_timms(size: int) -> None:
    assert torch.equal(relative_positions(size), gen_relative_position_index((size, size)))
