"""Measured numbers: the store that keeps one record per measurement, and what was published from it."""
