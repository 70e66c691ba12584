"""Generated people in COCO's format: articulated, dressed, and drawn from a skeleton in three dimensions."""

from sharpose.data.mannequin.generate import VERSION, annotations_path, detections_path, generate, images_path
from sharpose.data.mannequin.parameters import MannequinParameters

__all__ = ["VERSION", "MannequinParameters", "annotations_path", "detections_path", "generate", "images_path"]
