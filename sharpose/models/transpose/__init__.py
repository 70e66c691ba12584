"""TransPose: what determines it, the network, and what it costs."""
