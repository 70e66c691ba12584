"""How right keypoints are: AP, PCK, PCKh, controls, submissions."""
