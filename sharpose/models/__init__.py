"""Every pose model behind one call: `create_model(name, **options)`.

Names and configurations (`list_models`, `resolve_config`) answer without importing torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sharpose.models.registry import find, list_models, register, resolve_config
from sharpose.models.system import load

if TYPE_CHECKING:
    from sharpose.models.output import PoseModel

__all__ = ["create_model", "list_models", "register", "resolve_config"]


def create_model(name: str, **options: Any) -> PoseModel:
    """Create a freshly initialised model from normalised images (B, 3, H, W) to a result with `.heatmaps` (B, K, h, w).

    Raises InputError for an unknown name or option, listing the valid ones.
    """
    return load(find(name).model)(resolve_config(name, **options))
