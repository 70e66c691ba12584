"""Numeric cases of public reference implementations, and whether we give the same numbers."""
