"""Who leaves early, judged from stored predictions."""
