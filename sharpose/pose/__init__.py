"""What a keypoint, a box and a crop are: layouts, geometry, mirroring, OKS."""
