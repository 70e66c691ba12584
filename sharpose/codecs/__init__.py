"""Keypoints to heatmaps and back: UDP (with and without offset maps), DARK, plain; and the crop geometry they share."""
