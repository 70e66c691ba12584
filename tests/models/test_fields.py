"""What does not fit together is a ValueError that begins with the field, whichever system it is of."""

from __future__ import annotations

import pytest

from sharpose.models import create_model, list_models, resolve_config

VITS = ["sharpose", "vitpose", "keypoint-vit", "dynamicvit", "evit", "tome"]


@pytest.mark.parametrize("system", [*VITS, "tokenpose"])
def test_heads_that_do_not_divide_the_width(system: str) -> None:
    with pytest.raises(ValueError, match=r"^num_heads = 7 .*divisor of the width 96"):
        resolve_config(f"{system}-nano-128x96", num_heads=7)


@pytest.mark.parametrize("system", VITS)
def test_a_patch_that_does_not_divide_the_image(system: str) -> None:
    with pytest.raises(ValueError, match=r"^image_size = \(128, 96\) .*two multiples of patch_size"):
        resolve_config(f"{system}-nano-128x96", patch_size=7)


@pytest.mark.parametrize("rate", [0.0, -0.5, 1.01, float("nan"), "half", True])
@pytest.mark.parametrize("system", ["dynamicvit", "evit"])
def test_keep_rates_outside_of_zero_to_one(system: str, rate: object) -> None:
    with pytest.raises(ValueError, match=r"^keep_rate = "):
        resolve_config(f"{system}-nano-128x96", keep_rate=rate)
    several = "token_ratios" if system == "dynamicvit" else "keep_rates"
    with pytest.raises(ValueError, match=rf"^({several}|keep_rate) = "):
        resolve_config(f"{system}-nano-128x96", **{several: (0.9, rate, 0.5)})


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("inf"), None])
def test_shares_of_refined_patches(alpha: object) -> None:
    with pytest.raises(ValueError, match=r"^alpha = "):
        resolve_config("sharpose-nano-128x96", alpha=alpha)


@pytest.mark.parametrize("name", [name for name in list_models() if "nano" in name])
@pytest.mark.parametrize("size", [(0, 96), (128,), "128x96", (128.0, 96), (-128, 96), None])
def test_sizes_that_are_none(name: str, size: object) -> None:
    with pytest.raises(ValueError, match=r"^image_size = "):
        create_model(name, image_size=size)
