"""Generated people in COCO's format: articulated, dressed, and drawn from a skeleton in three dimensions.

`generate` is in `sharpose.data.mannequin.generate`, apart from here because it loads the drawing libraries.
"""

from sharpose.data.mannequin.parameters import PARAMETERS, MannequinParameters, SceneParameters
from sharpose.data.mannequin.request import annotations_path, detections_path, images_path

__all__ = [
    "PARAMETERS",
    "MannequinParameters",
    "SceneParameters",
    "annotations_path",
    "detections_path",
    "images_path",
]
