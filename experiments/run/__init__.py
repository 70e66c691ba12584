"""What is missing, measured here or as jobs."""
