"""Weights under public names to weights under ours, by family of systems."""
