"""QuadTree attention in the keypoint-token ViT: what determines it, the network, and what it costs."""
