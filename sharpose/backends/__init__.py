"""What runs a model: torch itself, or an optional runtime that takes its exported graphs. All behind `deploy`."""
