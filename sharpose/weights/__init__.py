"""Reading, importing, resampling and storing weights."""
