"""What every test may use: the folder of shared reference data, and shape checks while tests run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# configurations check their own fields, with messages for users
SYSTEMS = [
    "vit",
    "tokens",
    "token_merging",
    "heads",
    "output",
    "sharpose",
    "keypoint_vit",
    "regression_vit",
    "vitpose",
    "dynamicvit",
    "evit",
    "tome",
]
CHECKED = [f"sharpose.models.{name}" for name in SYSTEMS] + ["sharpose.codecs"]
install_import_hook(CHECKED, "beartype.beartype")

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("SHARPOSE_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with golden cases and real photographs; a clone without it skips the tests that need it."""
    if not (SHARED / "golden").is_dir():
        pytest.skip(f"no reference data at {SHARED} (set SHARPOSE_SHARED)")
    return SHARED
