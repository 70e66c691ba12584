"""DVT for poses: what determines it, the network, and what it costs."""
