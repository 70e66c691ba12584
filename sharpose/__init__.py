"""SHaRPose, exact and measured: sparse high-resolution human pose estimation."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sharpose.models import create_model, list_models
    from sharpose.pose import Person, Pose
    from sharpose.pretrained import load_weights

__version__ = "0.1.0"
__all__ = ["Person", "Pose", "create_model", "list_models", "load_weights"]
_HOMES = {"create_model": "models", "list_models": "models", "load_weights": "pretrained"}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and torch with it, at its first use."""
    if name not in __all__:
        raise AttributeError(f"module 'sharpose' has no attribute {name!r}")
    return getattr(import_module(f"sharpose.{_HOMES.get(name, 'pose')}"), name)
