"""SHaRPose, exact and measured: sparse high-resolution human pose estimation."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

FRONT_DOOR = {
    "Pose": "sharpose.inference.pose",
    "Person": "sharpose.inference.pose",
    "create_model": "sharpose.models",
    "list_models": "sharpose.models",
    "load_weights": "sharpose.weights.pretrained",
    "register": "sharpose.models.registry",
    "System": "sharpose.models.system",
    "PoseConfig": "sharpose.models.config",
    "PoseModel": "sharpose.models.output",
    "PoseOutput": "sharpose.models.output",
}
"""Names of the library by the module that has them, which is imported when a name is asked for."""

__all__ = [
    "Person",
    "Pose",
    "PoseConfig",
    "PoseModel",
    "PoseOutput",
    "System",
    "create_model",
    "list_models",
    "load_weights",
    "register",
]

if TYPE_CHECKING:
    from sharpose.inference.pose import Person, Pose
    from sharpose.models import create_model, list_models
    from sharpose.models.config import PoseConfig
    from sharpose.models.output import PoseModel, PoseOutput
    from sharpose.models.registry import register
    from sharpose.models.system import System
    from sharpose.weights.pretrained import load_weights


def __getattr__(name: str) -> Any:
    """Import what is asked for, and torch with it, at its first use."""
    if name not in FRONT_DOOR:
        raise AttributeError(f"module 'sharpose' has no attribute {name!r}")
    return getattr(import_module(FRONT_DOOR[name]), name)
