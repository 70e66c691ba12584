"""Who exits early, judged from stored predictions."""
