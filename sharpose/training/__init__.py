"""Training: recipes, optimiser groups, losses, checkpoints, and the loop."""
