"""Measures on arrays: COCO's AP, PCK, PCKh, OKS-NMS."""
