"""PRTR, its keypoint stage: what determines it, the network, and what it costs."""
